"""Web Push: the key that browsers have to be given. No push service is asked: it would want a browser's address."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from deliveries.doctor.configuration import in_production
from deliveries.doctor.findings import Finding, ok, warning
from providers.webpush import public_key, signer


def examine() -> Iterator[Finding]:
    options = settings.PROVIDERS.get("webpush")
    if options is None:
        yield ok("Web Push", "It is not used: VAPID_PRIVATE_KEY is not set.")
        return
    key = public_key(signer(options["private_key"]))
    yield ok("Web Push", f"Browsers must have subscribed with this applicationServerKey: {key}")
    if options["loopback"] and in_production():
        what = "WEBPUSH_LOOPBACK: is true, so whoever can register a browser can have this machine asked."
        yield warning("Web Push", what, "Set WEBPUSH_LOOPBACK=false, unless this is a test.")
