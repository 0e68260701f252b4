"""The fakes as a process of their own, and what they have counted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.processes import running, said


class Fakes:
    """The running fakes: their address, their service-account file, their book."""

    def __init__(self, url: str, account: str) -> None:
        self.url = url
        self.account = account
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=30)

    def stats(self) -> dict[str, Any]:
        return self._ask("GET", "/stats")

    def arrivals(self) -> dict[str, float]:
        """When FCM was first asked to send to a device token: seconds, monotonic."""
        return self._ask("GET", "/arrivals")

    def reset(self) -> None:
        self._ask("POST", "/reset")

    def variables(self) -> dict[str, str]:
        """The settings that lead the service here."""
        neighbours = ("USER_SERVICE_URL", "TEMPLATE_SERVICE_URL", "API_GATEWAY_URL", "FCM_ENDPOINT")
        return dict.fromkeys(neighbours, self.url) | {"GOOGLE_APPLICATION_CREDENTIALS": self.account}

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        self._connection.request(method, path)
        answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return answer


@contextmanager
def fakes(directory: Path, latency_ms: float) -> Iterator[Fakes]:
    """The fakes, up; FCM answers after `latency_ms`."""
    log = directory / "fakes.log"
    options = ["--directory", str(directory), "--fcm-latency-ms", str(latency_ms)]
    with running(["-m", "bench.fakes", *options], log) as process:
        yield Fakes(**json.loads(said(process, log)))
