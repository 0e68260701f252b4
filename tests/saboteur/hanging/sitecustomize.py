"""A saboteur in a real worker: with this directory on PYTHONPATH, it obeys orders that a test leaves as files.

An order is obeyed once, by whichever process finds it first in the directory that SABOTEUR_ORDERS names.
"""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOR_EVER = 3600


def hang(*_: object, **__: object) -> None:
    time.sleep(FOR_EVER)


def hang_the_loop() -> None:
    sys.modules["deliveries.middleware"].EngineMiddleware.running._loop.call_soon_threadsafe(hang)


def hang_the_writer() -> None:
    sys.modules["deliveries.ledger.claiming"].Claim.apply = hang


def hang_a_thread() -> None:
    read = sys.modules["deliveries.actors"].read

    def hanging(body: bytes, **more: Any) -> Any:
        return hang() if b"hang-" in body else read(body, **more)

    sys.modules["deliveries.actors"].read = hanging


def hang_a_consumer() -> None:
    sys.modules["deliveries.broker.intake"].Intake._gather = hang


def hold_the_interpreter() -> None:
    ctypes.PyDLL(None).sleep(FOR_EVER)


def kill_a_thread() -> None:
    _kill("WorkerThread")


def kill_a_consumer() -> None:
    _kill("ConsumerThread")


def _kill(kind: str) -> None:
    """Again and again: amid a message Dramatiq catches even this."""
    victim = next(thread for thread in threading.enumerate() if type(thread).__name__ == kind)
    while victim.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(victim.ident or 0), ctypes.py_object(SystemExit))
        time.sleep(0.1)


ORDERS: dict[str, Callable[[], None]] = {
    order.__name__: order
    for order in (
        hang_the_loop,
        hang_the_writer,
        hang_a_thread,
        hang_a_consumer,
        hold_the_interpreter,
        kill_a_thread,
        kill_a_consumer,
    )
}


def obey(orders: Path) -> None:
    while True:
        for file in orders.iterdir():
            file.unlink(missing_ok=True)
            ORDERS[file.name]()
        time.sleep(0.1)


def be_there() -> None:
    """Workers are forked, and threads stay behind."""
    threading.Thread(target=obey, args=(Path(os.environ["SABOTEUR_ORDERS"]),), daemon=True).start()


os.register_at_fork(after_in_child=be_there)
