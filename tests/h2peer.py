"""A peer that speaks HTTP/2 over TLS, as Google does, with its limit of 100 streams."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.settings import SettingCodes

STREAMS = 100


def certificate(directory: Path) -> tuple[Path, Path]:
    """(the authority's certificate, a file with the certificate and key of 127.0.0.1)."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _unsigned("authority", authority_key.public_key())
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = _unsigned("127.0.0.1", key.public_key()).add_extension(address, critical=False)
    trusted, pair = directory / "authority.pem", directory / "peer.pem"
    trusted.write_bytes(_pem(authority.sign(authority_key, hashes.SHA256())))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, *form)
    pair.write_bytes(_pem(leaf.sign(authority_key, hashes.SHA256())) + private)
    return trusted, pair


def _unsigned(name: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _pem(signed: x509.Certificate) -> bytes:
    return signed.public_bytes(serialization.Encoding.PEM)


class H2Peer:
    """What has arrived, and what is done with the requests: held, answered, dropped or disowned."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.url = ""
        self.connections: list[_Connection] = []

    @property
    def requests(self) -> int:
        return sum(connection.requests for connection in self.connections)

    @property
    def waiting(self) -> int:
        return sum(len(connection.waiting) for connection in self.connections)

    def answer_all(self) -> None:
        for connection in self.connections:
            connection.answer_all()


class _Connection(asyncio.Protocol):
    def __init__(self, there: H2Peer) -> None:
        self.requests = self.most_open = 0
        self.waiting: list[int] = []
        self._there = there
        self._open: set[int] = set()
        self._h2 = H2Connection(H2Configuration(client_side=False))
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, _: Exception | None) -> None:
        self.lost.set_result(None)

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._there.connections.append(self)
        self._h2.initiate_connection()
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS})
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        for event in self._h2.receive_data(data):
            match event:
                case RequestReceived():
                    self._open.add(event.stream_id)
                    self.most_open = max(self.most_open, len(self._open))
                case DataReceived():
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self.requests += 1
                    self._act(event.stream_id)
        self._flush()

    def _act(self, stream: int) -> None:
        match self._there.manner:
            case "hold":
                self.waiting.append(stream)
            case "refuse first" if self._there.requests == 1:
                self._h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
            case "take and go":
                self._h2.close_connection(last_stream_id=stream)
                self._flush()
                self._transport.close()
            case "take and drop":
                self._transport.abort()
            case _:
                self._answer(stream)

    def answer_all(self) -> None:
        while self.waiting:
            self._answer(self.waiting.pop())
        self._flush()

    def _answer(self, stream: int) -> None:
        self._open.discard(stream)
        self._h2.send_headers(stream, [(":status", "200"), ("content-length", "2")])
        self._h2.send_data(stream, b"{}", end_stream=True)

    def _flush(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())


@asynccontextmanager
async def h2_peer(pair: Path, manner: str = "answer") -> AsyncIterator[H2Peer]:
    there = H2Peer(manner)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    context.set_alpn_protocols(["h2", "http/1.1"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(there), "127.0.0.1", 0, ssl=context)
    there.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield there
    finally:
        server.close()
        for connection in there.connections:
            connection.abort()
        await asyncio.gather(*(connection.lost for connection in there.connections))
