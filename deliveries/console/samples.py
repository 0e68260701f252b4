"""The demo's sample history in the console: it is called what it is wherever it is shown, and goes with one click."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from deliveries.console.badges import Look, badge
from deliveries.console.operating import actor
from deliveries.ledger import samples
from deliveries.ledger.audit import Audited

SAMPLE = Look("sample", "science")


def sample_badge(row: Model) -> SafeString | str:
    """Nothing where the row is real."""
    return badge("sample", SAMPLE, "made up by the demo") if getattr(row, "is_sample", False) else ""


def count_badge(count: int) -> SafeString | str:
    """Of several rows in one; nothing where all are real."""
    return badge(f"{count:,} sample", SAMPLE, "made up by the demo") if count else ""


@require_POST
def remove_samples(request: HttpRequest) -> HttpResponseRedirect:
    """Without asking again: nothing that is real is lost. Raises PermissionDenied."""
    if not request.user.has_perm("deliveries.operate"):
        raise PermissionDenied
    removed = samples.remove(Audited(actor(request), "the sample history of the demo was removed"))
    if any(removed.values()):
        count = removed["notifications"]
        messages.success(request, f"The sample history is removed: {count} notifications and all that was with them.")
    else:
        messages.info(request, "There is no sample history: it was removed before.")
    return HttpResponseRedirect(reverse("admin:index"))


def urls(site: admin.AdminSite) -> list[URLPattern]:
    """The button's address, for the console's site."""
    return [path("samples/remove/", site.admin_view(remove_samples), name="remove_samples")]
