"""The asyncio shell around a state machine: messages and time in, actions out, until the conversation is over."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

from p2pcopy.channel import Channel
from p2pcopy.config import TransferLimits
from p2pcopy.errors import ConnectionLost, InternalError, P2PCopyError
from p2pcopy.events import Event, Progress
from p2pcopy.transfer.conversation import Clock, State
from p2pcopy.transfer.receiver import Receiver
from p2pcopy.transfer.sender import Sender

TICK_S: Final = 0.1
RETELL_S: Final = 1.0
Tell = Callable[[Event], None]
Settled = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """For a session whose events are taken as they come."""


class Session(ABC):
    """Base of SendSession and ReceiveSession: carries messages between a channel and a machine.

    Subclasses carry out the actions. A failure of any part ends the whole session, and the peer is told.
    settled: awaited once a batch; returns when whoever takes the events has room for more.
    left_out: things of the source that could not be read for the manifest; omitted: others that are not sent.
    """

    machine: Sender | Receiver

    def __init__(self, channel: Channel, limits: TransferLimits, tell: Tell, settled: Settled = at_once) -> None:
        self.channel = channel
        self.limits = limits
        self.tell = tell
        self.settled = settled
        self._loop = asyncio.get_running_loop()
        self._clock = Clock(self._loop.time())
        self._over = asyncio.Event()
        self._error: Exception | None = None
        self._began: float | None = None
        self._ended = 0.0
        self._progress: Progress | None = None
        self._progress_told = 0.0
        self.left_out = 0
        self.omitted = 0

    # Sink

    def control_received(self, message: bytes) -> None:
        self._step(lambda: self.machine.control_received(message, self.now()))

    def data_received(self, message: bytes) -> None:
        self._step(lambda: self.machine.data_received(message, self.now()))

    def channel_closed(self) -> None:
        if not self._over.is_set():
            self.connection_ended()

    # For the app

    def stop(self, error: P2PCopyError) -> None:
        """End the session with this error, and tell the peer; run() raises it."""
        self._step(lambda: self.machine.fail(error))

    def report(self, event: Event) -> None:
        """Tell what happens to the connection. For its callbacks: when it cannot be told, the session ends."""
        self._step(lambda: self.tell(event))

    async def run(self) -> None:
        """Until both sides agree that everything is done. Raises the P2PCopyError that ended the session otherwise."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._guard(work)) for work in (self._tick, *self.work())]
            self.perform()
            self.channel.attach(self)
            await self._over.wait()
            for task in tasks:
                task.cancel()
        if self._error is not None:
            raise self._error
        self._tell_progress()

    @property
    def seconds(self) -> float:
        """From the moment when the first entries were accepted to the end, or to now."""
        if self._began is None:
            return 0.0
        return (self._ended or self._loop.time()) - self._began

    @property
    def has_arrived(self) -> bool:
        """Whether anything is at the destination that the next run need not send."""
        progress = self.progress()
        return progress is not None and (progress.bytes_done > 0 or progress.files_done > 0)

    def tick_machine(self) -> None:
        """A few times a second."""
        self.machine.tick(self.now())

    # For the subclasses

    @abstractmethod
    def work(self) -> list[Callable[[], Coroutine[None, None, None]]]:
        """What runs beside the messages."""

    @abstractmethod
    def perform(self) -> None:
        """Carry out the machine's actions."""

    @abstractmethod
    def progress(self) -> Progress | None:
        """How far it is; None before anything was accepted."""

    def begin(self) -> None:
        """Entries were accepted."""
        if self._began is None:
            self._began = self._loop.time()

    def now(self) -> float:
        """For the machine: stalls of the path take no time."""
        return self._clock.time(self._loop.time(), stalled=self.channel.stalled)

    def send_control(self, message: bytes) -> None:
        """Queue a message; when the connection is gone, channel_closed() has its say."""
        try:
            self.channel.send_control(message)
        except ConnectionLost:
            self.channel_closed()

    def send_data(self, message: bytes) -> None:
        try:
            self.channel.send_data(message)
        except ConnectionLost:
            self.channel_closed()

    def end(self, error: Exception | None) -> None:
        """The conversation is over; the first reason counts."""
        if not self._over.is_set():
            self._error = error
            self._ended = self._loop.time()
            self._over.set()

    def connection_ended(self) -> None:
        """The channel closed before the end."""
        self.machine.state = State.OVER
        self.end(
            self.channel.failure
            or ConnectionLost(
                "the connection to the other side ended before the transfer did",
                "Run the same two commands again, with fresh codes.",
            )
        )

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._step(self.tick_machine)
            self._tell_progress()

    def _tell_progress(self) -> None:
        """When it has changed, and once a second in any case: displays stand still between events."""
        now, progress = self._loop.time(), self.progress()
        if progress is not None and (progress != self._progress or now - self._progress_told >= RETELL_S):
            self._progress, self._progress_told = progress, now
            self.tell(progress)

    def _step(self, function: Callable[[], None]) -> None:
        """Run in a callback of the channel, which must not see an exception: it ends the session instead."""
        try:
            function()
            self.perform()
        except P2PCopyError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a defect: both sides are told
            self._fail(InternalError.from_defect(error))

    async def _guard(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await work()
        except P2PCopyError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a defect: both sides are told
            self._fail(InternalError.from_defect(error))

    def _fail(self, error: P2PCopyError) -> None:
        self.machine.fail(error)
        try:
            self.perform()
        finally:
            self.end(error)
