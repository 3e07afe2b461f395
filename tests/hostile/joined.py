"""The victim in this process: all of the program but the connection, in place of which messages are handed over."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from hostile.case import Case, Outcome, Receiving
from hostile.rogue import Rogue
from p2pcopy import app, events, meeting, stories
from p2pcopy.channel import Sink
from p2pcopy.config import NetSettings, ReceiveSettings, SendSettings, Talk
from p2pcopy.desk import Held
from p2pcopy.errors import ConnectionLost, P2PCopyError
from p2pcopy.stops import Stops
from p2pcopy.ui.reporter import Reporter, make_reporter

_PATH = events.Path(events.PathKind.LOCAL, "127.0.0.1:1", "127.0.0.1:2", "host", "host")


class Joined:
    """One end of a channel."""

    message_size = 262144
    window = 32 * 1024 * 1024
    stalled = False
    failure = None

    def __init__(self) -> None:
        self.peer: Joined
        self.backlog = 0
        self.is_over = False
        self._sink: Sink | None = None
        self._coming: deque[tuple[bool, bytes]] = deque()
        self._drained = asyncio.Event()

    def attach(self, sink: Sink) -> None:
        self._sink = sink
        self._soon()
        if self.is_over:
            sink.channel_closed()

    def send_control(self, message: bytes) -> None:
        self._send(False, message)

    def send_data(self, message: bytes) -> None:
        self._send(True, message)

    async def drain(self, below: int) -> None:
        while self.backlog > below and not self.is_over:
            self._drained.clear()
            await self._drained.wait()

    def consumed(self, size: int) -> None:
        """There is no window here: credit alone holds the sender back."""

    def close(self) -> None:
        """Both ends are over."""
        for end in (self, self.peer):
            end.is_over = True
            end._drained.set()
        if self.peer._sink is not None:
            self.peer._sink.channel_closed()

    def _send(self, is_data: bool, message: bytes) -> None:
        if self.is_over:
            raise ConnectionLost("the connection is over")
        self.backlog += len(message)
        self.peer._coming.append((is_data, message))
        self.peer._soon()

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        if self._sink is None or not self._coming:
            return
        is_data, message = self._coming.popleft()
        self.peer.backlog -= len(message)
        self.peer._drained.set()
        (self._sink.data_received if is_data else self._sink.control_received)(message)


class Nowhere:
    """A peer without a network."""

    on_path: Any = None

    def path(self) -> events.Path:
        return _PATH


async def play(case: Case, work: Path) -> Outcome:
    """Attack the program here. Raises TimeoutError when it does not end in time, and whatever the attack raises."""
    mine, theirs = Joined(), Joined()
    mine.peer, theirs.peer = theirs, mine
    rogue = Rogue(mine, work)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="") as said:
        began = time.monotonic()
        victim = asyncio.create_task(_victim(case, work, theirs, said))
        attack = asyncio.create_task(_attack(case, rogue))
        try:
            async with asyncio.timeout(case.seconds):
                await asyncio.wait({victim, attack}, return_when=asyncio.FIRST_COMPLETED)
                if attack.done():
                    attack.result()
                exit_code = await victim
        finally:
            for task in (victim, attack):
                task.cancel()
            await asyncio.wait({victim, attack})
        seconds = time.monotonic() - began
        said.seek(0)
        return Outcome(exit_code, said.read(), seconds)


async def _attack(case: Case, rogue: Rogue) -> None:
    await case.play(rogue)


async def _victim(case: Case, work: Path, channel: Joined, said: Any) -> int:
    reporter = make_reporter(
        json="--json" in case.options,
        quiet="--quiet" in case.options,
        verbose=True,
        progress=True,
        qr=None,
        role="receive" if isinstance(case.victim, Receiving) else "send",
        code_to=None,
        stderr=said,
        stdout=said,
        color=None,
        prompts=False,
    )

    @asynccontextmanager
    async def met() -> AsyncIterator[tuple[Nowhere, Joined, Held]]:
        try:
            yield Nowhere(), channel, Held()
        finally:
            channel.close()

    def meet(*_: object, **__: object) -> AbstractAsyncContextManager[Any]:
        return met()

    def asks(*_: object) -> Any:
        async def ask(*_: object) -> None:
            await asyncio.Event().wait()

        return ask

    with (
        reporter,
        mock.patch.object(meeting, "meet", meet),
        mock.patch.object(stories, "_LIMITS", case.limits),
        mock.patch.object(app, "asking_consent", asks),
    ):
        try:
            return await _run(case, work, reporter)
        except P2PCopyError as error:
            reporter.tell(events.Failed.of(error))
            return error.exit_code


async def _run(case: Case, work: Path, reporter: Reporter) -> int:
    talk, net = Talk(json="--json" in case.options), NetSettings(stun=())
    if isinstance(case.victim, Receiving):
        settings = ReceiveSettings(
            net,
            talk,
            output=str(work / "out"),
            yes=not case.victim.asks,
            existing=case.victim.existing,
            max_bytes=case.victim.max_bytes,
        )
        return await app.receive(settings, reporter, Stops())
    return await app.send(SendSettings(net, talk, paths=(str(work / "tree"),)), reporter, Stops())
