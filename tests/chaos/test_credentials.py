"""The key of the service account changes hands while pushes are sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.scene import Scene, at_work, wait
from tests.world import counted, eventually

BATCH = 40  # notifications, five times a second: some are always in the air
WAITING = 1000  # notifications at a cold start
ENOUGH = 100  # notifications that show that sending goes on


@contextmanager
def steady_stream(scene: Scene) -> Iterator[None]:
    """Publishes in the background, in small batches, for as long as the block lasts."""
    over = threading.Event()

    def publish() -> None:
        number = 0
        while not over.wait(0.2):
            scene.publish(f"n{number + more}" for more in range(BATCH))
            number += BATCH

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def tokens(scene: Scene) -> int:
    """How many access tokens have been given out."""
    return int(scene.sandbox.book(full=False)["counts"]["tokens"])


def goes_on(scene: Scene) -> None:
    """Waits until a good number more has been sent."""
    already = scene.accepted()
    eventually(lambda: scene.accepted() > already + ENOUGH, what="sending that goes on")


def each_fetches_one(scene: Scene, before: int, workers: int) -> None:
    """Waits until every process has fetched a token, and shows that none fetches two, however many sends go on."""
    eventually(lambda: tokens(scene) >= before + workers, what="a token for each process")
    goes_on(scene)
    assert tokens(scene) == before + workers


@pytest.mark.fault("credentials rotated")
def test_a_cold_start_fetches_one_token_for_each_process_and_a_revoked_one_costs_one_more(scene):
    scene.publish(f"n{number}" for number in range(WAITING))
    before = tokens(scene)
    workers = [scene.worker(), scene.worker()]
    with steady_stream(scene):  # one worker alone can be done with what waits before the other is up
        each_fetches_one(scene, before, len(workers))
        scene.sandbox.revoke_tokens()
        goes_on(scene)
        each_fetches_one(scene, before + len(workers), len(workers))
    scene.drained()
    assert tokens(scene) == before + 2 * len(workers)
    assert scene.statuses() == {"sent": len(scene.confirmed)}
    assert counted("push_attempts", "outcome") == {}, "nobody had to wait"
    assert counted("brakes", "scope") == {}
    scene.check()


@pytest.mark.fault("credentials rotated")
def test_a_new_key_is_read_again_by_itself_and_nothing_fails(scene):
    workers = [scene.worker(), scene.worker()]
    at_work(scene, *workers)
    sizes = [scene.size(worker) for worker in workers]
    key_file = scene.sandbox.key_file
    with steady_stream(scene):
        goes_on(scene)
        before = tokens(scene)
        scene.sandbox.rotate_key()
        each_fetches_one(scene, before, len(workers))
        assert counted("push_attempts", "outcome") == {}, "nobody had to wait"
        whole = key_file.read_bytes()
        key_file.write_bytes(whole[: len(whole) // 2])
        scene.sandbox.revoke_tokens()
        eventually(
            lambda: counted("push_deliveries", "error_code").get("credentials_malformed", 0) > BATCH, what="waits"
        )
        eventually(lambda: counted("brakes", "scope") == {"process": len(workers)}, what="a brake for each process")
        wait(1)
        before = tokens(scene)
        scene.sandbox.rotate_key()
        each_fetches_one(scene, before, len(workers))  # as soon as the file is whole
    scene.drained()  # by itself: nobody waits for the end of a pause
    assert scene.statuses() == {"sent": len(scene.confirmed)}
    assert set(counted("push_attempts", "outcome")) == {"waiting"}
    for worker in workers:
        assert worker.words().count("Nothing is sent through fcm by this process") == 1, "one line, not one for each"
        assert worker.words().count("The pause is over: fcm") == 1
    assert set(counted("push_deliveries", "attempts")) == {1}, "only the one that succeeded, of each"
    for worker, size in zip(workers, sizes, strict=True):
        scene.check_size(worker, size)
    scene.check()
