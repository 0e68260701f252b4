"""Who may call the API: whoever shows a key that is valid, for what the key is good for."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from deliveries.api import keys
from deliveries.api.codes import CODES
from deliveries.api.errors import Refused
from deliveries.models import ApiKey

Scope = ApiKey.Scope

#: What each action of a view needs of the key that is shown.
SCOPES = {
    "list": Scope.READ,
    "retrieve": Scope.READ,
    "create": Scope.SEND,
    "resend": Scope.OPERATE,
    "cancel": Scope.OPERATE,
}


class BearerKey(BaseAuthentication):
    """`Authorization: Bearer <key>`; the key becomes `request.auth`. It stands for no user."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        """None without the header; raises AuthenticationFailed for one that is not good."""
        words = get_authorization_header(request).split()
        if not words:
            return None
        if len(words) != 2 or words[0].lower() != b"bearer":
            raise AuthenticationFailed("The Authorization header is not of the form: Bearer <key>.")
        key = keys.find(words[1])
        if key is None:
            raise _refusal(words[1])
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        """What 401 answers say in WWW-Authenticate (RFC 6750)."""
        return 'Bearer realm="push"'


def _refusal(key: bytes) -> AuthenticationFailed:
    expired_at = keys.expiry(key)
    if expired_at is None:
        return AuthenticationFailed(CODES["authentication_failed"].meaning)
    sentence = f"This API key expired at {expired_at:%Y-%m-%d %H:%M:%S} UTC. Ask for another one."
    return AuthenticationFailed(sentence, "key_expired")


class HasScope(BasePermission):
    """Refuses requests without a key, and those with a key that is not good for them."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """True, or raises: NotAuthenticated without a key, Refused for one without the scope that the action needs."""
        if not isinstance(request.auth, ApiKey):
            raise NotAuthenticated(CODES["not_authenticated"].meaning)
        needed = SCOPES.get(
            getattr(view, "action", "")
        )  # none for a method that the address does not know: that is 405
        if needed is not None and needed.value not in request.auth.scopes:
            raise Refused(
                "scope_missing",
                f"The key {request.auth.name} lacks the scope {needed.value}. One that has it is made with: "
                f"manage.py apikey <name> --scope {needed.value}",
            )
        return True
