"""The push services that pushes went to: each has a breaker, and a say in whether Web Push is well."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from providers.breaker import Breaker
from providers.exchange import Exchange
from providers.http import HttpClient
from providers.verdicts import LONGEST_WAIT
from providers.webpush_verdict import receipt

#: Push services that are remembered. There are some five; more are somebody's joke.
MAX_SERVICES = 256
#: Seconds since its last use for which a push service has its say: as long as one may ask to be left alone.
LATELY = LONGEST_WAIT
#: Troubles that are told of by name.
TOLD = 5


@dataclass(slots=True)
class Service:
    """One push service. `refusal` says why it refuses our signature; "" where it last took a push."""

    origin: str
    exchange: Exchange
    refusal: str = ""
    used_at: float = 0.0

    @property
    def held(self) -> float:
        """Seconds for which it is left alone. An open breaker whose time is up holds nothing back."""
        return self.exchange.breaker.retry_after

    @property
    def trouble(self) -> str:
        """What is wrong with it; "" where nothing is."""
        return self.refusal or ("failed several times in a row" if self.held > 0 else "")


class Services:
    """Those that were used last. A breaker opens after `patience[0]` failures in a row, for `patience[1]` seconds."""

    def __init__(self, http: HttpClient, name: str, patience: tuple[int, float]) -> None:
        self._http = http
        self._name = name
        self._patience = patience
        self._known: OrderedDict[str, Service] = OrderedDict()

    def at(self, origin: str) -> Service:
        """The one to be used now; of too many, the one is forgotten that was used longest ago."""
        service = self._known.pop(origin, None) or Service(origin, self._exchange(origin))
        service.used_at = time.monotonic()
        self._known[origin] = service
        if len(self._known) > MAX_SERVICES:
            self._known.popitem(last=False)
        return service

    def health(self) -> dict[str, Any]:
        """`ok` unless most of those that were used lately are in trouble: anybody can subscribe at one of his own.

        The breaker and the credentials tell of the worst only then; `troubles` names a few of them in any case, and
        `p95` is the slowest one's.
        """
        since = time.monotonic() - LATELY
        lately = [service for service in self._known.values() if service.used_at >= since]
        troubled = [service for service in lately if service.trouble]
        ok = 2 * len(troubled) <= len(lately)
        worst = Breaker(self._name, *self._patience)
        if not ok and (held := [service for service in troubled if service.held > 0]):
            worst = max(held, key=lambda service: service.held).exchange.breaker
        refused = [f"{service.origin}: {service.refusal}" for service in troubled if service.refusal and not ok]
        durations = [p95 for service in lately if (p95 := service.exchange.breaker.p95) is not None]
        return {
            "ok": ok,
            "breaker": worst.snapshot() | {"p95": max(durations, default=None)},
            "credentials": refused[-1] if refused else "ok",
            "troubles": {service.origin: service.trouble for service in troubled[-TOLD:]},
        }

    def _exchange(self, origin: str) -> Exchange:
        breaker = Breaker(f"{self._name} {origin}", *self._patience)
        return Exchange(self._http, breaker, receipt, code=self._name, who=f"The push service {origin}")
