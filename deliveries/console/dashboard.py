"""The dashboard: how the service does now and did of late, on one page, from the tallies and a few looks at indexes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from deliveries.console.charts import Bar, Chart, Series, bars
from deliveries.console.columns import NOTHING, brief
from deliveries.console.figures import DEFAULT, RANGES, RECENT, Code, Figures, Range, highest, read
from deliveries.console.fleet import is_alive
from deliveries.console.present import MOST, Present, look
from deliveries.console.troubles import troubles
from deliveries.console.words import worker_command
from deliveries.models import Status, Worker

#: Layers of the throughput, from the ground up.
ENDINGS = (Status.SENT, Status.FAILED, Status.EXPIRED, Status.SKIPPED, Status.CANCELLED)
TOP_CODES = 8
SHOWN_WORKERS = 10
PERCENTILES = (("p50", 0.5), ("p95", 0.95))
FULL = 10_000  # dead letters are counted no further


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the present; `look` is empty, or `bad` where somebody should do something."""

    label: str
    figure: str
    detail: str
    address: str = ""
    look: str = ""


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the template of the admin's front page needs beyond what the theme gives it."""
    if not request.user.has_perm("deliveries.view_tally"):
        return context | {"title": "Dashboard", "is_closed": True}
    chosen = RANGES.get(request.GET.get("range", ""), DEFAULT)
    figures, present = read(chosen, time.time()), look()
    return context | {
        "title": "Dashboard",
        "troubles": troubles(present.workers, present.ledger),
        "tiles": tiles(figures, present),
        "ranges": RANGES.values(),
        "chosen": chosen,
        "charts": charts(figures, chosen),
        "codes": bars([_bar(code) for code in figures.codes[:TOP_CODES]]) if figures.codes else "",
        "workers": [_row(worker) for worker in present.workers[:SHOWN_WORKERS]],
        "present": present,
        "is_empty": not (present.is_used or figures.sampled),
        "worker_command": worker_command(),
        "sampled": figures.sampled,
    }


def tiles(figures: Figures, present: Present) -> list[Tile]:
    recent = figures.recent
    sent, lost = recent.total("ended", Status.SENT), recent.total("ended", Status.FAILED, Status.EXPIRED)
    return [
        _pace(figures),
        Tile(
            "Success",
            f"{_percent(100 * sent / (sent + lost))} %" if sent + lost else NOTHING,
            f"{sent:,} of {sent + lost:,} notifications in {RECENT} min",
        ),
        *(_latency(name, recent.latency(part)) for name, part in PERCENTILES),
        _depth(present),
        _dead_letters(present.dead_letters),
        Tile(
            "Oldest undelivered",
            NOTHING if present.oldest is None else brief(present.oldest),
            "nothing waits in the ledger" if present.oldest is None else "since it was accepted",
        ),
        _workers(present),
    ]


def _pace(figures: Figures) -> Tile:
    """The last minute that is over; the one that is not, beside it."""
    *_, last, this = (count or 0 for count in figures.recent.of("ended", Status.SENT))
    return Tile("Sent per minute", f"{last:,}", f"in the last whole minute; {this:,} in this one so far")


def _latency(name: str, seconds: float | None) -> Tile:
    figure = NOTHING if seconds is None else brief(seconds)
    return Tile(f"Latency {name}", figure, f"from acceptance to the provider's yes, {RECENT} min")


def _depth(present: Present) -> Tile:
    """What waits in RabbitMQ and in the ledger together."""
    waiting = f"{present.waiting:,}{'+' * (present.waiting >= MOST)} in the ledger"
    total = f"{present.waiting + (present.queued or 0):,}{'+' * (present.waiting >= MOST)}"
    if present.rabbitmq == "embedded":
        return Tile("Queue depth", total, waiting)
    if present.queued is None:
        word = "RabbitMQ does not answer" if present.rabbitmq == "down" else "RabbitMQ has no queue"
        return Tile("Queue depth", total, f"{waiting}; {word}", look="bad")
    return Tile("Queue depth", total, f"{present.queued:,} in RabbitMQ, {waiting}")


def _dead_letters(count: int) -> Tile:
    address = f"{reverse('admin:deliveries_deadletter_changelist')}?state__exact=open"
    detail = "nobody has decided about them yet" if count else "none is open"
    return Tile("Dead letters", f"{count:,}{'+' * (count >= FULL)}", detail, address, "bad" if count else "")


def _workers(present: Present) -> Tile:
    alive = present.alive
    flying = sum(worker.in_flight for worker in alive)
    return Tile(
        "Workers",
        f"{len(alive)} of {len(present.workers)}",
        f"alive; {flying:,} in flight" if alive else "none is alive: nothing is sent",
        look="" if alive else "bad",
    )


def charts(figures: Figures, chosen: Range) -> list[Chart]:
    return [_throughput(figures, chosen), _success(figures, chosen), _latencies(figures, chosen)]


def _throughput(figures: Figures, chosen: Range) -> Chart:
    charted = figures.charted
    counts = {status: charted.of("ended", status) for status in ENDINGS}
    total, devices = charted.total("ended", *ENDINGS), charted.total("device", Status.SENT)
    return Chart(
        "throughput",
        f"Notifications that ended, each {chosen.every}",
        f"{total:,} in {chosen.title}. Pushes to {devices:,} devices were accepted.",
        charted.times(),
        [Series(str(status.label), status, counts[status]) for status in ENDINGS],
        stacked=True,
    )


def _success(figures: Figures, chosen: Range) -> Chart:
    charted = figures.charted
    shares = charted.success()
    known = [share for share in shares if share is not None]
    worst = f"At worst {_percent(min(known))} %." if known else "Nothing was to be sent."
    return Chart(
        "success",
        f"Success, each {chosen.every} (%)",
        f"{worst} Of what was to be sent; not of what was skipped or cancelled.",
        charted.times(),
        [Series("sent %", "sent", shares)],
        _percent,
        top=100.0,
    )


def _latencies(figures: Figures, chosen: Range) -> Chart:
    charted = figures.charted
    series = [Series(name, name, charted.latencies(part)) for name, part in PERCENTILES]
    most = highest(series[-1].values)
    told = f"p95 at most {brief(most)}." if most else "No push was accepted."
    return Chart(
        "latency",
        f"Latency, each {chosen.every}",
        f"{told} From acceptance, or a resend, to the provider's yes.",
        charted.times(),
        series,
        brief,
    )


def _percent(value: float) -> str:
    """Never rounded up to 100: a failure among thousands is one."""
    return f"{min(value, 99.9) if value < 100 else 100:.1f}".removesuffix(".0")


def _bar(code: Code) -> Bar:
    """Leads to the list that has rows with this code."""
    model = "pushdelivery" if code.of_deliveries else "notification"
    address = reverse(f"admin:deliveries_{model}_changelist", query={"error_code__exact": code.name})
    return Bar(code.name, code.count, address)


def _row(worker: Worker) -> dict[str, Any]:
    return {
        "worker": worker,
        "alive": is_alive(worker),
        "silence": brief(worker.silence.total_seconds()),  # type: ignore[attr-defined]
        "address": reverse("admin:deliveries_worker_change", args=[worker.pk]),
    }
