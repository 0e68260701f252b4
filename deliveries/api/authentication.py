"""Who may call the API: whoever shows a key that is valid."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from deliveries.api import keys
from deliveries.models import ApiKey


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
            raise AuthenticationFailed("This API key is unknown or has been revoked.")
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        """What 401 answers say in WWW-Authenticate (RFC 6750)."""
        return 'Bearer realm="push"'


class HasKey(BasePermission):
    """Refuses requests without a key."""

    message = "An API key is needed: Authorization: Bearer <key>."

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        return isinstance(request.auth, ApiKey)
