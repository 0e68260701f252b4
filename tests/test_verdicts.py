"""Every row of FCM's table of verdicts, from a message on RabbitMQ to what the ledger, the console and the gateway say.

One worker, as operators start it, meets them all: first the devices of which FCM says something of their own, at once,
then one after the other what FCM says of the whole project or process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.apps import apps

from deliveries.ledger.holding import NOT_MINE
from providers.fcm_verdict import TABLE
from tests.rabbit import RabbitNode
from tests.test_end_to_end import declare_as_dns_core
from tests.world import Producer, SandboxProcess, WorkerProcess, emptied, eventually, message, query, surroundings

#: Waits in seconds, with what is added at random: of our own backoff (set below), of FCM's 5xx, of a Retry-After of
#: 30 s, and where FCM does not say.
OURS, TROUBLE, ASKED, UNSAID = (40.0, 44.0), (10.0, 20.0), (30.0, 33.0), (60.0, 66.0)

SETTINGS = {
    "RETRY_MIN_WAIT": "40",
    "RETRY_MAX_WAIT": "80",
    "CIRCUIT_BREAKER_FAIL_MAX": "1000",
    "USER_SERVICE_DEAD_TOKEN_PATH": "/api/v1/users/{user_id}/push-tokens/dead",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row by its name, what the sandbox is to say, and what has to become of the push."""

    row: str
    state: str = ""  # of the device's token
    fault: str = ""  # of the sandbox's FCM
    how: dict[str, Any] = field(default_factory=dict)  # more about the fault
    http: int
    fields: str = ""  # that the advice names
    code: str
    wait: tuple[float, float] | None = None  # seconds until it is tried again; None where it has failed
    burnt: int = 1
    unknown: int = 0
    guarantee: str = "at_least_once"
    fate: str | None = None  # of the token; None is kept
    brake: str | None = None  # its scope

    @property
    def id(self) -> str:
        once = ["once"] if self.guarantee == "at_most_once" else []
        return "-".join([self.row, self.state or self.fault, *once])

    @property
    def advice(self) -> str:
        [row] = [row for row in TABLE if row.name == self.row]
        return row.advice.format(http=self.http, fields=self.fields)


def dead(row: str, state: str, http: int, code: str) -> Case:
    return Case(row=row, state=state, http=http, code=code, fate="dead")


def refused(row: str, state: str, http: int, code: str, fields: str = "") -> Case:
    return Case(row=row, state=state, http=http, code=code, fields=fields)


def trouble(state: str, http: int, code: str) -> Case:
    return Case(row="server_trouble", state=state, http=http, code=code, wait=TROUBLE)


def quota(state: str, wait: tuple[float, float]) -> Case:
    return Case(row="target_quota", state=state, http=429, code="QUOTA_EXCEEDED", wait=wait, burnt=0, brake="device")


def shut_out(row: str, fault: str, http: int, code: str, **how: Any) -> Case:
    return Case(
        row=row, fault=fault, how={"times": 1} | how, http=http, code=code, wait=UNSAID, burnt=0, brake="process"
    )


#: What is tried again soonest comes first, so that it is looked at before.
OF_DEVICES = [
    trouble("unavailable", 503, "UNAVAILABLE"),
    trouble("internal", 500, "INTERNAL"),
    trouble("html500", 500, "HTTP_500"),
    trouble("html502", 502, "HTTP_502"),
    trouble("html503", 503, "HTTP_503"),
    trouble("html504", 504, "HTTP_504"),
    dead("unregistered", "dead", 404, "UNREGISTERED"),
    dead("unregistered", "dead410", 404, "UNREGISTERED"),
    dead("apple_says_gone", "apns410", 400, "INVALID_ARGUMENT"),
    dead("not_a_token", "malformed", 400, "INVALID_ARGUMENT"),
    dead("not_a_token_in_words", "notatoken", 400, "INVALID_ARGUMENT"),
    refused("refused_field", "baddata", 400, "INVALID_ARGUMENT", "message.data"),
    refused("unreadable_field", "badrequest", 400, "INVALID_ARGUMENT", "message.data[0].value"),
    refused("refused", "nodetails", 400, "INVALID_ARGUMENT"),
    Case(row="another_senders_token", state="mismatch", http=403, code="SENDER_ID_MISMATCH", fate="quarantined"),
    refused("third_party_key_refused", "apnsauth", 401, "THIRD_PARTY_AUTH_ERROR"),
    refused("third_party_key_refused", "apnsenv", 401, "THIRD_PARTY_AUTH_ERROR"),
    refused("third_party_key_refused", "webauth", 401, "THIRD_PARTY_AUTH_ERROR"),
    refused("apns_key_refused", "apnsold", 401, "APNS_AUTH_ERROR"),
    refused("unspecified_error", "unspecified", 500, "UNSPECIFIED_ERROR"),
    refused("refused_otherwise", "newword", 409, "NEWLY_INVENTED"),
    quota("quota", ASKED),
    quota("quotanowait", UNSAID),
    Case(row="accepted_without_a_name", state="garbage", http=200, code="HTTP_200", wait=OURS, unknown=1),
    Case(
        row="accepted_without_a_name",
        state="garbage",
        http=200,
        code="unknown_outcome",
        unknown=1,
        guarantee="at_most_once",
    ),
]

OF_THE_PROJECT = [
    Case(row="timed_out", fault="html408", how={"times": 1}, http=408, code="HTTP_408", wait=OURS),
    Case(
        row="server_trouble",
        fault="refuse504",
        how={"times": 1},
        http=504,
        code="DEADLINE_EXCEEDED",
        wait=TROUBLE,
    ),
    shut_out("access_token_refused", "refuse401", 401, "ACCESS_TOKEN_EXPIRED", times=2),
    shut_out("permission_denied", "refuse403", 403, "IAM_PERMISSION_DENIED"),
    shut_out("api_disabled", "disabled", 403, "SERVICE_DISABLED"),
    shut_out("scope_missing", "noscope", 403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
    shut_out("not_let_in", "html403", 403, "HTTP_403"),
    shut_out("wrong_project", "refuse404", 404, "NOT_FOUND"),
    shut_out("wrong_address", "html404", 404, "HTTP_404"),
    shut_out("redirected", "html302", 302, "HTTP_302"),
    Case(
        row="project_quota",
        fault="quota",
        how={"times": 1, "retry_after": None},
        http=429,
        code="RATE_LIMIT_EXCEEDED",
        wait=UNSAID,
        burnt=0,
        brake="project",
    ),
]
CASES = OF_DEVICES + OF_THE_PROJECT


pytestmark = pytest.mark.django_db  # so that there is one: the tests only look at what the fixtures found


@dataclass(frozen=True)
class Found:
    """What became of the push of one case."""

    status: str
    code: str
    reason: str
    attempts: int
    unknown: int
    wait: float | None  # seconds from the landing to the next attempt
    fate: str | None
    told: bool  # whether the user service is, or is owed word
    brakes: list[tuple[str, float]]  # (scope, seconds)
    notification: tuple[str, str]  # (status, reason)
    reports: list[tuple[str, str | None]]  # to the gateway: (status, error)
    tokens: int  # access tokens that were fetched meanwhile


@dataclass(frozen=True)
class Renewed:
    """What became of a push whose access token FCM refused once."""

    tokens: int
    refusals: int
    delivery: tuple[str, str, int]  # (status, error code, attempts)


LANDED = """
SELECT d.status, d.error_code, d.error_message, d.attempts, d.unknown_count,
       extract(epoch FROM d.next_attempt_at - d.updated_at)::float8, n.status, n.error_message
FROM push_deliveries d JOIN notifications n USING (notification_id)
WHERE d.notification_id = %s AND d.status <> 'sending' AND d.error_code <> '' AND n.worker_id IS NULL
  AND (n.status = 'pending' OR n.reported_at IS NOT NULL)
"""
TOKEN = "SELECT fate, report_due_at IS NOT NULL OR reported_at IS NOT NULL FROM dead_tokens WHERE notification_id = %s"
BRAKES = "SELECT scope, extract(epoch FROM until - set_at)::float8 FROM brakes WHERE notification_id = %s"


class Street:
    """The whole way: a queue, a worker, the sandbox."""

    def __init__(self, producer: Producer, sandbox: SandboxProcess) -> None:
        self.producer = producer
        self.sandbox = sandbox

    def send(self, *cases: Case) -> None:
        for case in cases:
            user = f"{case.state or 'ok'}-{case.id}"
            self.producer.publish(message(case.id, user, guarantee=case.guarantee))

    def found(self, case: Case, tokens_before: int) -> Found:
        """Waits until the push has landed, and what ended is reported."""
        [landed] = eventually(lambda: query(LANDED, case.id), what=f"{case.id} to land")
        *delivery, status, reason = landed
        fate, told = next(iter(query(TOKEN, case.id)), (None, False))
        tokens = self.tokens_fetched() - tokens_before
        reports = [(body["status"], body.get("error")) for body in self.sandbox.reports().get(case.id, [])]
        return Found(*delivery, fate, told, query(BRAKES, case.id), (status, reason), reports, tokens)

    def clear(self) -> None:
        """Nothing waits any more, and nothing holds anything up."""
        for table in ("brakes", "push_attempts", "push_deliveries", "notifications"):
            query(f"DELETE FROM {table}")

    def tokens_fetched(self) -> int:
        """How many access tokens Google has given."""
        return int(self.sandbox.book(full=False)["counts"].get("tokens", 0))


@pytest.fixture(scope="module")
def street(
    django_db_setup: None,
    django_db_blocker: Any,
    rabbitmq: RabbitNode,
    _sandbox: SandboxProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Street]:
    _sandbox.reset()
    producer = Producer(emptied(rabbitmq).url)
    declare_as_dns_core(producer.channel)
    log = tmp_path_factory.mktemp("verdicts") / "worker.log"
    with django_db_blocker.unblock():
        worker = WorkerProcess(log, surroundings(_sandbox, rabbitmq) | SETTINGS)
        try:
            worker.wait_until_ready()
            yield Street(producer, _sandbox)
        finally:
            worker.kill()
            producer.close()
            tables = ", ".join(model._meta.db_table for model in apps.get_app_config("deliveries").get_models())
            query(f"TRUNCATE {tables} CASCADE")


@pytest.fixture(scope="module")
def all_found(street: Street) -> dict[str, Found]:
    """What became of every case, by its id."""
    street.send(*OF_DEVICES)
    found = {case.id: street.found(case, 0) for case in OF_DEVICES}
    street.clear()
    for case in OF_THE_PROJECT:
        street.sandbox.control("fcm", case.fault, **case.how)
        tokens = street.tokens_fetched()
        street.send(case)
        found[case.id] = street.found(case, tokens)
        street.sandbox.control("fcm", "none")
        street.clear()
    return found


@pytest.fixture(scope="module")
def renewed(street: Street, all_found: dict[str, Found]) -> Renewed:
    before = street.tokens_fetched()
    street.sandbox.control("fcm", "refuse401", times=1)
    street.producer.publish(message("renewed"))
    delivery = "SELECT status, error_code, attempts FROM push_deliveries WHERE notification_id = 'renewed'"
    [landed] = eventually(lambda: query(delivery + " AND status <> 'sending'"), what="the push to land")
    return Renewed(street.tokens_fetched() - before, street.sandbox.hits("fcm"), landed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_row_of_the_table_is_what_happens(all_found: dict[str, Found], case: Case) -> None:
    found = all_found[case.id]
    status = "failed" if case.wait is None else "pending"
    assert (found.status, found.code, found.reason) == (status, case.code, case.advice)
    assert (found.attempts, found.unknown) == (case.burnt, case.unknown)
    assert (found.fate, found.told) == (case.fate, case.fate == "dead")
    assert found.notification == (status, case.advice)
    if case.wait is None:
        assert found.wait is None
        assert found.reports == [("failed", case.advice)]
    else:
        shortest, longest = (0, NOT_MINE) if case.brake == "process" else case.wait
        assert found.wait is not None
        assert shortest <= found.wait <= longest
        assert found.reports == []
    assert [scope for scope, _ in found.brakes] == ([case.brake] if case.brake else [])
    for _, seconds in found.brakes:
        assert case.wait is not None
        assert seconds == pytest.approx(case.wait[0], abs=1.0)


def test_every_row_of_the_table_has_its_case() -> None:
    assert {case.row for case in CASES} == {row.name for row in TABLE}


def test_only_a_refused_access_token_is_fetched_anew_and_only_once(all_found: dict[str, Found]) -> None:
    fetched = {case.id: all_found[case.id].tokens for case in OF_THE_PROJECT}
    assert {id: tokens for id, tokens in fetched.items() if tokens} == {"access_token_refused-refuse401": 1}


def test_a_push_whose_access_token_was_taken_back_is_sent_with_a_fresh_one(renewed: Renewed) -> None:
    assert renewed == Renewed(tokens=1, refusals=1, delivery=("sent", "", 1))


def test_what_is_said_of_devices_makes_nobody_fetch_another_access_token(all_found: dict[str, Found]) -> None:
    assert {all_found[case.id].tokens for case in OF_DEVICES} == {1}
