"""The services around ours, in every dialect that they speak: each is one class, and strict about its own contract."""

from sandbox.dialects.ancestor import Ancestor
from sandbox.dialects.base import Dialect
from sandbox.dialects.dns_core import DnsCore
from sandbox.dialects.spec import Spec

__all__ = ["DIALECTS", "Dialect"]

DIALECTS: dict[str, type[Dialect]] = {dialect.name: dialect for dialect in (Spec, Ancestor, DnsCore)}
