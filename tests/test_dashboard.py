"""The dashboard says how the service does, in the ledger's figures, and is cheap however much there is."""

import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from deliveries.console import dashboard
from deliveries.console.figures import DEFAULT, RANGES, SUMS, percentile, read
from deliveries.console.present import PRESENT, Present
from deliveries.console.troubles import LIMITS, Ledger, Trouble
from deliveries.health import rabbitmq
from deliveries.ledger.tallying import latency_class
from deliveries.models import Tally, Worker
from tests.console import dead_letter, notification, text, text_of
from tests.ledger_rows import delivered, notifications
from tests.world import query

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:index")
MINUTE = timedelta(minutes=1)
WELL = Ledger(read_only=False, oldest_due=None, due=0, new_letters=None, refused_reports=0)


def tally(name: str, count: int, *, minutes_ago: int = 1, kind: str = "ended", **more) -> None:
    """A minute's; that it was counted is told by its number of notifications sent."""
    this_minute = datetime.now(UTC).replace(second=0, microsecond=0)
    fields = {"span": 60, "begins_at": this_minute - minutes_ago * MINUTE} | more
    Tally.objects.create(kind=kind, name=name, count=count, **fields)
    Tally.objects.get_or_create(**fields, kind="ended", name="sent", defaults={"count": 0})


def tile(page, label: str) -> str:
    """What a tile says: its figure and what stands below it."""
    [found] = re.findall(rf"<h3>{label}</h3>(.*?)</li>", page.content.decode(), re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", found)).split())


def figures(page, chart: str) -> str:
    [found] = re.findall(rf'id="{chart}-figures".*?</details>', page.content.decode(), re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", found)).split())


# Tiles


def test_the_tiles_of_a_service_that_works(admin_client):
    tally("sent", 980)
    tally("failed", 15)
    tally("expired", 5)
    tally("skipped", 500)
    tally("sent", 30, minutes_ago=0)
    tally(latency_class(0.2), 900, kind="latency")
    tally(latency_class(2.0), 100, kind="latency")
    Worker.objects.create(id=uuid4(), host="a-host", pid=7, in_flight=12)
    page = admin_client.get(PAGE)
    assert tile(page, "Sent per minute") == "980 in the last whole minute; 30 in this one so far"
    assert tile(page, "Success") == "98.1 % 1,010 of 1,030 notifications in 15 min"
    assert tile(page, "Latency p50") == "209 ms from acceptance to the provider's yes, 15 min"
    assert tile(page, "Latency p95").startswith("2.0 s")
    assert tile(page, "Workers") == "1 of 1 alive; 12 in flight"
    assert tile(page, "Dead letters") == "0 none is open"
    assert tile(page, "Oldest undelivered") == "- nothing waits in the ledger"


def test_what_is_older_than_a_quarter_of_an_hour_is_in_no_tile(admin_client):
    tally("sent", 7, minutes_ago=17)
    page = admin_client.get(PAGE)
    assert tile(page, "Success").startswith("- 0 of 0")
    assert "7 in 1 h" in text(page)


def test_one_failure_among_thousands_is_no_full_success(admin_client):
    tally("sent", 99_999)
    tally("failed", 1)
    assert tile(admin_client.get(PAGE), "Success").startswith("99.9 %")


def test_what_waits_and_for_how_long(admin_client):
    ago = timezone.now() - timedelta(hours=3, minutes=1)
    notification("waits", created_at=ago)
    notification("later", next_attempt_at=timezone.now() + timedelta(hours=1))
    notification("owes a report", created_at=ago - timedelta(days=1), status="sent", ended_at=ago)
    page = admin_client.get(PAGE)
    assert tile(page, "Queue depth").startswith("3 3 in the ledger")
    assert tile(page, "Oldest undelivered") == "3 h since it was accepted"


def test_what_a_worker_has_in_hand_is_undelivered_too(admin_client):
    notification("n-1", created_at=timezone.now() - 3 * MINUTE, worker_id=uuid4(), next_attempt_at=None)
    assert tile(admin_client.get(PAGE), "Oldest undelivered").startswith(("2 min", "3 min"))


def test_open_dead_letters_are_counted_and_linked(admin_client):
    dead_letter(b"{")
    dead_letter(b"}", state="discarded")
    page = admin_client.get(PAGE)
    assert tile(page, "Dead letters") == "1 nobody has decided about them yet"
    assert 'aria-label="1 dead letters"' in page.content.decode()


@pytest.mark.parametrize(
    ("status", "queued", "words"),
    [
        ("up", 1200, "1,201: 1,200 in RabbitMQ, 1 in the ledger"),
        ("up", None, "1: 1 in the ledger; RabbitMQ has no queue"),
        ("down", None, "1: 1 in the ledger; RabbitMQ does not answer"),
        ("embedded", None, "1: 1 in the ledger"),
    ],
)
def test_what_waits_in_rabbitmq_is_told_apart(status, queued, words):
    present = Present(
        waiting=1, dead_letters=0, oldest=None, is_used=True, rabbitmq=status, queued=queued, workers=[], ledger=WELL
    )
    [depth] = [one for one in dashboard.tiles(read(DEFAULT, time.time()), present) if one.label == "Queue depth"]
    assert f"{depth.figure}: {depth.detail}" == words


def test_rabbitmq_itself_is_asked(admin_client, producer):
    producer.channel.queue_declare("push.queue", durable=True)
    producer.publish(b"{}")
    rabbitmq.forget()
    assert tile(admin_client.get(PAGE), "Queue depth") == "1 1 in RabbitMQ, 0 in the ledger"
    rabbitmq.forget()


# Charts


def test_an_hour_is_drawn_minute_by_minute_and_told_in_figures(admin_client):
    tally("sent", 41, minutes_ago=2)
    tally("failed", 3, minutes_ago=2)
    tally("sent", 20, minutes_ago=30)
    page = admin_client.get(PAGE)
    begun = datetime.now(UTC) - 2 * MINUTE
    assert f"{begun:%Y-%m-%d %H:%M} 41 3 0 0 0" in figures(page, "throughput")
    assert f"{begun:%Y-%m-%d %H:%M} 93.2" in figures(page, "success")
    assert "64 in 1 h" in text(page)
    assert page.content.decode().count('class="chart-drawing"') == 2  # and no latency
    assert "Nothing to draw yet." in text(page)


@pytest.mark.parametrize(("name", "total"), [("15m", 1), ("1h", 11), ("24h", 111), ("7d", 2000), ("nonsense", 11)])
def test_ranges_are_links(admin_client, name, total):
    for minutes, count in ((5, 1), (40, 10), (600, 100)):
        tally("sent", count, minutes_ago=minutes)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    tally("sent", 2000, span=3600, begins_at=hour - timedelta(days=3))
    page = admin_client.get(PAGE, {"range": name})
    chosen = RANGES.get(name, RANGES["1h"])
    assert f"{total:,} in {chosen.title}." in text(page)
    [current] = re.findall(r'<a href="\?range=(\w+)" aria-current="true">', page.content.decode())
    assert current == chosen.name


def test_the_steps_of_every_range_lie_in_it_and_the_last_is_now():
    now = time.time()
    for one in RANGES.values():
        begins = one.begins(now)
        assert (len(begins), begins[0] % one.step) == (one.steps, 0)
        assert begins[-1] <= now < begins[-1] + one.step


def test_a_minute_that_nobody_has_counted_yet_is_a_gap_and_an_empty_one_is_not():
    tally("sent", 0, minutes_ago=3)
    tally("sent", 5, minutes_ago=1)
    charted = read(RANGES["15m"], time.time()).charted
    assert charted.of("ended", "sent")[-4:] == [0, None, 5, None]


def test_a_percentile_is_right_by_a_tenth():
    seconds = [0.02 * 1.01**n for n in range(1000)]
    classes = sorted(Counter(int(latency_class(one)) for one in seconds).items())
    for part in (0.5, 0.95, 0.99):
        assert percentile(classes, part) == pytest.approx(seconds[int(part * 1000)], rel=0.1)
    assert percentile([], 0.5) is None


def test_the_top_error_codes_lead_to_the_rows_that_have_them(admin_client):
    delivered(["n-1"], error_code="UNREGISTERED")
    notifications(["n-2"], error_code="opted_out", status="skipped")
    tally("opted_out", 9, kind="code")
    tally("UNREGISTERED", 7, kind="code")
    for number in range(9):
        tally(f"rare_{number}", 1, kind="code")
    html = admin_client.get(PAGE).content.decode()
    names = re.findall(r'href="([^"]*)\?error_code__exact=([^"]*)"', html)
    assert names[:2] == [
        (reverse("admin:deliveries_notification_changelist"), "opted_out"),
        (reverse("admin:deliveries_pushdelivery_changelist"), "UNREGISTERED"),
    ]
    assert len(names) == dashboard.TOP_CODES


# The rest of the page


def test_workers_are_listed_with_the_age_of_their_heartbeat(admin_client):
    Worker.objects.create(id=uuid4(), host="a-host", pid=7, in_flight=12)
    Worker.objects.create(id=uuid4(), host="gone-host", pid=8, heartbeat_at=timezone.now() - timedelta(hours=2))
    shown = text(admin_client.get(PAGE))
    assert "1 alive of 2 known." in shown
    assert re.search(r"a-host:7 alive \d+ ms ago 12 gone-host:8 gone 2 h ago -", shown)


def test_troubles_are_told_with_where_to_look():
    found = [Trouble("error", "FCM is <throttled>.", "/there"), Trouble("warning", "The disk is full.")]
    html = render_to_string(
        "deliveries/troubles.html", {"troubles": found, "perms": {"deliveries": {"view_worker": True}}}
    )
    assert "Faults in progress FCM is <throttled>. Look there The disk is full." in text_of(html)
    assert '<a href="/there">' in html


def test_an_empty_service_says_what_to_do(admin_client):
    shown = text(admin_client.get(PAGE))
    assert "Nothing has been sent yet" in shown
    assert "No worker runs: start one with python manage.py" in shown
    assert "python manage.py apikey <name>" in shown
    notification("n-1")
    assert "Nothing has been sent yet" not in text(admin_client.get(PAGE))


def test_sample_history_is_added_in_and_said_to_be_one(admin_client):
    tally("sent", 1)
    assert "sample" not in text(admin_client.get(PAGE))
    tally("sent", 10, is_sample=True)
    page = admin_client.get(PAGE)
    assert "Part of these figures is sample history" in text(page)
    assert "11 in 1 h." in text(page)


def test_areas_that_change_have_ids_of_their_own_and_hold_no_control_that_would_be_lost(admin_client):
    tally("sent", 1)
    html = admin_client.get(PAGE).content.decode()
    ids = re.findall(r'id="([\w-]+)"', html)
    assert len(ids) == len(set(ids))
    live = re.findall(r'id="([\w-]+)" data-live', html)
    assert {"troubles", "tiles", "throughput-chart", "throughput-figures", "codes", "workers"} <= set(live)


def test_who_may_see_figures_alone_sees_no_links_to_what_is_closed_to_them(client):
    ada = User.objects.create_user("ada", is_staff=True)
    ada.user_permissions.add(Permission.objects.get(codename="view_tally"))
    client.force_login(ada)
    tally("sent", 1)
    dead_letter(b"{")
    page = client.get(PAGE)
    assert tile(page, "Sent per minute").startswith("1 ")
    html = page.content.decode()
    assert reverse("admin:deliveries_deadletter_changelist") not in html
    assert "a-host" not in html


# Its cost


@pytest.mark.parametrize("name", RANGES)
def test_it_takes_six_queries_at_most_with_who_looks(admin_client, name):
    tally("sent", 1)
    for pid in range(30):
        Worker.objects.create(id=uuid4(), host="a-host", pid=pid)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        admin_client.get(PAGE, {"range": name})
    assert len(queries) <= 6, [query["sql"][:100] for query in queries]


@pytest.mark.parametrize("waiting", [0, 500])
def test_no_statement_reads_a_big_table_row_by_row(waiting):
    delivered(f"n-{n}" for n in range(20_000))
    query("UPDATE notifications SET next_attempt_at = now() WHERE substr(notification_id, 3)::int < %s", waiting)
    query("UPDATE push_deliveries SET error_code = 'UNREGISTERED' WHERE id %% 100 = 0")
    query(
        "INSERT INTO tallies (span, begins_at, kind, name, count)"
        " SELECT 60, now() - make_interval(mins => n), 'ended', 'sent', 1 FROM generate_series(1, 2000) n"
    )
    query("ANALYZE notifications, push_deliveries, tallies")
    if waiting:  # statistics of a rush that is over
        query("UPDATE notifications SET next_attempt_at = NULL")
    now = int(time.time())
    for statement, parameters in (
        (SUMS, {"span": 60, "since": now - 3600, "step": 60, "recently": now - 900}),
        (PRESENT, LIMITS),
    ):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {statement}", parameters)
            plan = "\n".join(line for [line] in cursor.fetchall())
        assert "Seq Scan on notifications" not in plan, plan
        assert "Seq Scan on push_deliveries" not in plan, plan
