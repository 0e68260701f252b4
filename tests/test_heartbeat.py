"""A worker cut off from the database says so, once, and what it does not do meanwhile."""

from deliveries.heartbeat import Heartbeat
from tests.world import all_ended, eventually, message


def test_a_worker_that_is_cut_off_says_so_once_and_when_it_no_longer_is(engine, postgres, caplog):
    running = engine(delivery_lease=2.0)
    heartbeat: Heartbeat = running.engine._heartbeat
    with postgres.frozen():
        eventually(lambda: "Cut off from the database since" in caplog.text)
        assert not heartbeat.alive()
    eventually(lambda: "The database answers again after" in caplog.text)
    running.accept(message("n1"))
    eventually(all_ended)
    for words in ("Cut off from the database since", "The database answers again after"):
        assert caplog.text.count(words) == 1
