"""coturn with what a test asks of it: TLS, a shared secret, no UDP, quotas. And servers that are deaf, or talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from aioice import stun
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lab.ports import free_port
from lab.turn import START_S

from p2pcopy.net.endpoint import Address, is_ipv6
from p2pcopy.net.interfaces import local_addresses

USERNAME, PASSWORD, SECRET = "north", "south", "between both"
HERE = next(each.address for each in local_addresses() if not is_ipv6(each.address))
HERE_6 = next((each.address for each in local_addresses() if is_ipv6(each.address)), "::1")


class TurnServer:
    """Use as a context manager. options: lines of turnserver.conf besides the usual; secret: time-limited credentials."""

    def __init__(self, address: str = HERE, *options: str, secret: bool = False, port: int = 0) -> None:
        self.address = address
        self.port = port or free_port(address)
        self.tls_port = free_port(address)
        self._directory = tempfile.TemporaryDirectory(prefix="p2pcopy-turn-")
        self._place = Path(self._directory.name)
        self.certificate = self._place / "certificate"
        self._only_tcp = "no-udp" in options
        self._process: subprocess.Popen[bytes] | None = None
        write_certificate(address, self.certificate, self._place / "key")
        credential = ["use-auth-secret", f"static-auth-secret={SECRET}"] if secret else [f"user={USERNAME}:{PASSWORD}"]
        settings = [
            f"listening-ip={address}",
            f"relay-ip={address}",
            f"listening-port={self.port}",
            f"tls-listening-port={self.tls_port}",
            f"cert={self.certificate}",
            f"pkey={self._place / 'key'}",
            "lt-cred-mech",
            *credential,
            "realm=lab",
            "no-dtls",
            "no-cli",
            "allow-loopback-peers",
            f"userdb={self._place / 'users'}",
            f"pidfile={self._place / 'pid'}",
            f"log-file={self._place / 'log'}",
            "simple-log",
            *options,
        ]
        (self._place / "conf").write_text("\n".join(settings) + "\n")

    def url(self, query: str = "", scheme: str = "turn") -> str:
        host = f"[{self.address}]" if is_ipv6(self.address) else self.address
        return f"{scheme}:{host}:{self.tls_port if scheme == 'turns' else self.port}{query}"

    def __enter__(self) -> TurnServer:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._directory.cleanup()

    def start(self) -> None:
        command = ["turnserver", "-c", str(self._place / "conf")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + START_S
        for is_there in (self._takes_connections, self._answers_datagrams):
            while not is_there():
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError("coturn did not start")
                time.sleep(0.02)

    def _takes_connections(self) -> bool:
        for port in (self.port, self.tls_port):
            try:
                socket.create_connection((self.address, port), 1).close()
            except OSError:
                return False
        return True

    def _answers_datagrams(self) -> bool:
        if self._only_tcp:
            return True
        request = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
        with socket.socket(socket.AF_INET6 if is_ipv6(self.address) else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.2)
            probe.connect((self.address, self.port))
            with contextlib.suppress(OSError):
                probe.send(request)
                return bool(probe.recv(1500))
        return False

    def stop(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """From now on it says nothing, and neither does the system in its place."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def write_certificate(address: str, certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "p2pcopy test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """Takes UDP datagrams and TCP connections, and never says a word."""
    port = free_port(HERE)
    with socket.socket(type=socket.SOCK_STREAM) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind((HERE, port))
        tcp.listen()
        udp.bind((HERE, port))
        yield port


Answer = Callable[[stun.Message, Address], bytes | None]


@contextlib.asynccontextmanager
async def talking_server(
    answer: Answer, heard: list[stun.Message] | None = None, address: str = HERE
) -> AsyncIterator[int]:
    """A UDP server that answers requests as it is told. Yields its port."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
            request = stun.parse_message(data)
            if heard is not None:
                heard.append(request)
            reply = answer(request, (addr[0], addr[1]))
            if reply is not None:
                self.transport.sendto(reply, addr)

    port = free_port(address)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=(address, port))
    try:
        yield port
    finally:
        transport.close()
        await asyncio.sleep(0)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def stream_server(talk: Talk) -> AsyncIterator[Address]:
    """A TCP server that ends when all who came have hung up, in whatever way. Yields its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with asyncio.TaskGroup() as group:
        server = await asyncio.start_server(lambda *both: group.create_task(serve(*both)), HERE, free_port(HERE))
        try:
            yield server.sockets[0].getsockname()
        finally:
            server.close()
            await server.wait_closed()


def reply(request: stun.Message, **attributes: Any) -> bytes:
    """A success, or an error where there is an ERROR_CODE."""
    kind = stun.Class.ERROR if "ERROR_CODE" in attributes else stun.Class.RESPONSE
    message = stun.Message(request.message_method, kind, request.transaction_id)
    message.attributes.update({name.replace("_", "-"): value for name, value in attributes.items()})
    return bytes(message)
