"""Logs: one JSON line per event, with the ids of the notification it is about."""

import asyncio
import io
import logging
import logging.config
from datetime import UTC, datetime

import orjson
import pytest

from deliveries import tracing
from pushproject.logs import JsonLines, configuration


@pytest.fixture
def lines():
    """A logger, and what it has written so far."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("tests.logs")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel("INFO")
    yield logger, lambda: [orjson.loads(line) for line in stream.getvalue().splitlines()]
    logger.handlers, logger.propagate = [], True


def test_a_line_says_when_how_bad_who_and_what(lines):
    logger, written = lines
    logger.warning("%d of %d", 1, 2, extra={"code": "QUOTA"})
    [line] = written()
    age = datetime.now(UTC) - datetime.fromisoformat(line.pop("time"))
    assert age.total_seconds() < 60
    assert line == {"level": "WARNING", "logger": "tests.logs", "message": "1 of 2", "code": "QUOTA"}


def test_each_coroutine_writes_the_ids_of_its_own_notification(lines):
    logger, written = lines

    async def work(number: int) -> None:
        tracing.follow(f"n{number}", f"c{number}")
        await asyncio.sleep(0)
        logger.info("sent %d", number)

    async def both() -> None:
        await asyncio.gather(*(asyncio.create_task(work(number)) for number in range(2)))
        logger.info("done")

    asyncio.run(both())
    ids = [(line.get("notification_id"), line.get("correlation_id")) for line in written()]
    assert ids == [("n0", "c0"), ("n1", "c1"), (None, None)]


def test_an_id_given_with_the_line_wins(lines):
    logger, written = lines
    tracing.notification_id.set("of the coroutine")
    try:
        logger.info("x", extra={"notification_id": "of the line"})
    finally:
        tracing.notification_id.set(None)
    assert written()[0]["notification_id"] == "of the line"


def test_whatever_is_logged_stays_one_line_of_json(lines):
    logger, written = lines
    try:
        int("two\nlines")
    except ValueError:
        logger.exception("a\nb \x00 \ud800", extra={"odd": {1, 2}, "raw": b"\xff"})
    [line] = written()
    assert line["message"] == "a\nb \x00 ?"
    assert "ValueError" in line["exc_info"]


def test_an_address_with_what_people_put_into_it_is_not_logged(lines, rf):
    logger, written = lines
    logger.warning("Not Found: /x", extra={"request": rf.get("/x?key=geheim"), "status_code": 404})
    assert "geheim" not in str(written())


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "ERROR"])
def test_the_configuration_is_one_that_logging_takes(level):
    kept = logging.root.handlers[:], logging.root.level
    try:
        logging.config.dictConfig(configuration(level) | {"incremental": False})
        assert logging.getLogger("deliveries").getEffectiveLevel() == logging.getLevelName(level)
    finally:
        logging.root.handlers[:], logging.root.level = kept


def test_a_refused_request_is_no_line_and_a_failed_one_is():
    usual = logging.getLogger("django.request").level
    for level, told in (("INFO", False), ("DEBUG", True)):
        logging.getLogger("django.request").setLevel(configuration(level)["loggers"]["django.request"]["level"])
        assert logging.getLogger("django.request").isEnabledFor(logging.WARNING) == told
        assert logging.getLogger("django.request").isEnabledFor(logging.ERROR)
    logging.getLogger("django.request").setLevel(usual)
