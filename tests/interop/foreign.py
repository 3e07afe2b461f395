"""Foreign WebRTC stacks that do what the tests say: aiortc as it comes, libdatachannel in Node, and headless Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, Final

from aioice import ice
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSctpTransport, RTCSessionDescription
from ours import BACKLOG, Entry, Message, entry, text

HERE: Final = Path(__file__).resolve().parent
START_S: Final = 60.0
STOP_S: Final = 5.0


class Foreign(ABC):
    """A peer of another stack. Either offer() and accept(), or answer(); channels: as in ours.CHANNELS."""

    @abstractmethod
    async def offer(self, channels: list[dict[str, Any]]) -> str: ...

    @abstractmethod
    async def answer(self, sdp: str, channels: list[dict[str, Any]]) -> str: ...

    @abstractmethod
    async def accept(self, sdp: str) -> None: ...

    @abstractmethod
    async def open_in_band(self, label: str, *, ordered: bool) -> None:
        """Another channel, of which the other side is told in band (RFC 8832)."""

    @abstractmethod
    async def opened(self, label: str) -> None: ...

    @abstractmethod
    async def send(self, label: str, messages: Iterable[Message]) -> list[Entry]: ...

    @abstractmethod
    async def received(self, label: str, count: int) -> list[tuple[str, Entry]]:
        """The kind of each message, and the rest."""

    @abstractmethod
    async def close_channel(self, label: str) -> None: ...

    @abstractmethod
    async def closed(self, label: str) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...


class AiortcPeer(Foreign):
    """Stock aiortc on one address of this machine; by itself it leaves out loopback. before: called with the association before its
    handshake."""

    def __init__(self, address: str) -> None:
        self.before: Callable[[RTCSctpTransport], None] = lambda sctp: None
        self._address = address
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._pc.on("datachannel", self._add)
        self._channels: dict[str, RTCDataChannel] = {}
        self._arrived: dict[str, list[tuple[str, Entry]]] = {}
        self._changed = asyncio.Event()

    async def offer(self, channels: list[dict[str, Any]]) -> str:
        self._open(channels)
        return await self._describe(await self._pc.createOffer())

    async def answer(self, sdp: str, channels: list[dict[str, Any]]) -> str:
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        self._open(channels)
        return await self._describe(await self._pc.createAnswer())

    async def accept(self, sdp: str) -> None:
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def _describe(self, description: RTCSessionDescription) -> str:
        original = ice.get_host_addresses
        ice.get_host_addresses = lambda use_ipv4, use_ipv6: [self._address]
        try:
            await self._pc.setLocalDescription(description)
        finally:
            ice.get_host_addresses = original
        return str(self._pc.localDescription.sdp)

    def _open(self, channels: list[dict[str, Any]]) -> None:
        for each in channels:
            self._add(
                self._pc.createDataChannel(each["label"], ordered=each["ordered"], negotiated=True, id=each["id"])
            )
        assert self._pc.sctp is not None
        self.before(self._pc.sctp)

    async def open_in_band(self, label: str, *, ordered: bool) -> None:
        self._add(self._pc.createDataChannel(label, ordered=ordered))

    def _add(self, channel: RTCDataChannel) -> None:
        arrived = self._arrived[channel.label] = []
        self._channels[channel.label] = channel

        def take(message: bytes | str) -> None:
            kind, data = ("text", message.encode()) if isinstance(message, str) else ("binary", message)
            arrived.append((kind, entry(data)))
            self._changed.set()

        channel.on("message", take)
        for event in ("open", "close", "bufferedamountlow"):
            channel.on(event, self._changed.set)
        channel.bufferedAmountLowThreshold = BACKLOG
        self._changed.set()

    async def opened(self, label: str) -> None:
        await self._until(lambda: label in self._channels and self._channels[label].readyState == "open")

    async def send(self, label: str, messages: Iterable[Message]) -> list[Entry]:
        channel, sent = self._channels[label], []
        for kind, size in messages:
            await self._until(lambda: channel.bufferedAmount <= BACKLOG)
            data = text(size) if kind == "text" else os.urandom(size)
            channel.send(data)
            sent.append(entry(data.encode() if isinstance(data, str) else data))
        return sent

    async def received(self, label: str, count: int) -> list[tuple[str, Entry]]:
        arrived = self._arrived[label]
        await self._until(lambda: len(arrived) >= count)
        entries = arrived[:count]
        del arrived[:count]
        return entries

    async def close_channel(self, label: str) -> None:
        self._channels[label].close()

    async def closed(self, label: str) -> None:
        await self._until(lambda: self._channels[label].readyState == "closed")

    async def close(self) -> None:
        await self._pc.close()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()


class Wire:
    """JSON messages to another program and back, each ended by the same byte. Works from any event loop."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes], end: bytes) -> None:
        self._incoming, self._outgoing, self._end = incoming, outgoing, end
        self._numbers = itertools.count(1)
        self._asked: dict[int, Future[dict[str, Any]]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, message: dict[str, Any]) -> Future[dict[str, Any]]:
        number = next(self._numbers)
        answer = self._asked[number] = Future()
        self._outgoing.write(json.dumps({"id": number, **message}).encode() + self._end)
        self._outgoing.flush()
        return answer

    def _read(self) -> None:
        waiting = b""
        while piece := os.read(self._incoming.fileno(), 1 << 20):
            *messages, waiting = (waiting + piece).split(self._end)
            for message in messages:
                answer = json.loads(message)
                asked = self._asked.pop(answer.get("id"), None)  # None: an event
                if asked is not None and asked.set_running_or_notify_cancel():
                    asked.set_result(answer)
        for asked in self._asked.values():
            if asked.set_running_or_notify_cancel():
                asked.set_exception(ConnectionError("the other program has ended"))

    def close(self) -> None:
        """After the program has ended."""
        self._reader.join(STOP_S)
        self._incoming.close()
        with contextlib.suppress(BrokenPipeError):
            self._outgoing.close()


class Stack(ABC):
    """A program in which peers of peer.js live."""

    _numbers = itertools.count(1)

    @abstractmethod
    async def call(self, number: int, method: str, *args: Any) -> Any:
        """Raises AssertionError for what the script throws."""

    async def peer(self, **options: Any) -> ScriptedPeer:
        number = next(self._numbers)
        await self.call(number, "new", options)
        return ScriptedPeer(self, number)


class ScriptedPeer(Foreign):
    """One Peer of peer.js."""

    def __init__(self, stack: Stack, number: int) -> None:
        self._stack = stack
        self._number = number

    async def _call(self, method: str, *args: Any) -> Any:
        return await self._stack.call(self._number, method, *args)

    async def offer(self, channels: list[dict[str, Any]]) -> str:
        return str(await self._call("offer", channels))

    async def answer(self, sdp: str, channels: list[dict[str, Any]]) -> str:
        return str(await self._call("answer", sdp, channels))

    async def accept(self, sdp: str) -> None:
        await self._call("accept", sdp)

    async def open_in_band(self, label: str, *, ordered: bool) -> None:
        await self._call("openInBand", label, ordered)

    async def opened(self, label: str) -> None:
        await self._call("opened", label)

    async def send(self, label: str, messages: Iterable[Message]) -> list[Entry]:
        return [(size, digest) for _, size, digest in await self._call("send", label, list(messages))]

    async def received(self, label: str, count: int) -> list[tuple[str, Entry]]:
        return [(kind, (size, digest)) for kind, size, digest in await self._call("received", label, count)]

    async def close_channel(self, label: str) -> None:
        await self._call("closeChannel", label)

    async def closed(self, label: str) -> None:
        await self._call("closed", label)

    async def close(self) -> None:
        await self._call("close")


class Node(Stack):
    """libdatachannel, through the npm package node-datachannel."""

    def __init__(self) -> None:
        self._program = subprocess.Popen(["node", HERE / "node.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._wire = Wire(self._program.stdout, self._program.stdin, b"\n")

    @staticmethod
    def why_not() -> str:
        if shutil.which("node") and (HERE / "node_modules/node-datachannel").is_dir():
            return ""
        return "needs node and the package node-datachannel: npm ci --prefix tests/interop"

    async def call(self, number: int, method: str, *args: Any) -> Any:
        asked = self._wire.ask({"number": number, "method": method, "args": args})
        answer = await asyncio.wrap_future(asked)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def close(self) -> None:
        self._program.kill()
        self._program.wait()
        self._wire.close()


# Chromium reads its orders from descriptor 3 and answers at 4.
_LAUNCH: Final = (
    "import fcntl, os, sys; a, b = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]);"
    "os.dup2(a, 3); os.dup2(b, 4); os.close(a); os.close(b); os.execv(sys.argv[3], sys.argv[3:])"
)
_FLAGS: Final = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
    "--remote-debugging-pipe",
]


class Browser(Stack):
    """Headless Chromium with one page, told over the Chrome DevTools Protocol."""

    def __init__(self) -> None:
        program = self._program_path()
        assert program is not None
        self._folder = tempfile.TemporaryDirectory(prefix="p2pcopy-chromium-", ignore_cleanup_errors=True)
        orders, to_write = os.pipe()
        to_read, answers = os.pipe()
        launch = [sys.executable, "-c", _LAUNCH, str(orders), str(answers)]
        self._program = subprocess.Popen(
            [*launch, program, *_FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"],
            pass_fds=(orders, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(orders)
        os.close(answers)
        self._wire = Wire(os.fdopen(to_read, "rb"), os.fdopen(to_write, "wb"), b"\0")
        # Pages that may use a camera are told of all addresses, others only of those that lead to the world.
        self._now("Browser.grantPermissions", permissions=["audioCapture", "videoCapture"])
        target = self._now("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._now("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._now("Page.navigate", url=(HERE / "peer.html").as_uri())  # a page of a file may use crypto.subtle
        loaded = "document.readyState == 'complete' || new Promise((loaded) => addEventListener('load', loaded))"
        self._now("Runtime.evaluate", expression=loaded, awaitPromise=True)

    _session: str | None = None

    @staticmethod
    def _program_path() -> str | None:
        return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

    @classmethod
    def why_not(cls) -> str:
        if sys.platform == "win32":
            return "only on POSIX systems can Chromium be handed pipes"
        return "" if cls._program_path() else "needs Chromium (Debian, Ubuntu: apt install chromium)"

    def _ask(self, method: str, **params: Any) -> Future[dict[str, Any]]:
        session = {"sessionId": self._session} if self._session else {}
        return self._wire.ask({"method": method, "params": params, **session})

    def _now(self, method: str, **params: Any) -> Any:
        answer = self._ask(method, **params).result(START_S)
        assert "result" in answer, answer
        return answer["result"]

    async def call(self, number: int, method: str, *args: Any) -> Any:
        expression = f"call({number}, {json.dumps(method)}, {json.dumps(args)})"
        asked = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        answer = await asyncio.wrap_future(asked)
        assert "result" in answer, answer
        assert "exceptionDetails" not in answer["result"], answer["result"]
        return answer["result"]["result"].get("value")

    def close(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
            self._wire.ask({"method": "Browser.close"})
            self._program.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._program.pid, signal.SIGKILL)
        self._program.wait()
        self._wire.close()
        self._folder.cleanup()


@contextlib.contextmanager
def running(stack: type[Node] | type[Browser]) -> Iterator[Node | Browser]:
    program = stack()
    try:
        yield program
    finally:
        program.close()
