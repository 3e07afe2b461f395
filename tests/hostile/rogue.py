"""The programmable peer: it speaks the protocol as far as a case wants, and then says what it likes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any

from hostile import forging
from hostile.forging import BLOCK, Entry, Json, message
from p2pcopy.channel import Channel
from p2pcopy.errors import ConnectionLost
from p2pcopy.transfer.records import FileEnd, Piece, decode_records

WINDOW = 64 * 1024 * 1024
SOFTWARE = "rogue \x1b[31m\u202e 1.0"
HIGH_WATER = 4 * 1024 * 1024

# What a rogue sender offers unless a case says otherwise.
A = bytes(range(251)) * 653  # two blocks and a half
B = b"ten bytes!"
TREE = [forging.directory(), forging.entry(path="tree/a", size=len(A)), forging.entry(path="tree/b", size=len(B))]
FILES = {1: A, 2: B}
WHOLE = {"tree/a": A, "tree/b": B}


class Step(IntEnum):
    """How far a conversation has come, before the rogue does what it is here for."""

    HELLO = 0  # connected, nothing said
    OPEN = 1  # both have said hello
    LISTED = 2  # the manifest is complete
    ACCEPTED = 3  # the receiver has said go to all of it
    SENDING = 4  # some data has come, of a file that is not complete
    ENDED = 5  # the sender has said that it is at the end
    PARTING = 6  # the totals were compared, and only the last bye is missing


class Rogue:
    """A sink, and the one who sends. It answers pings as long as it is not mute.

    out: where the victim stores what it receives, for attacks by other programs on its machine. channel: Joined or PeerChannel.
    """

    def __init__(self, channel: Any, work: Path) -> None:
        self.channel: Channel = channel
        self.work = work
        self.out = work / "out"
        self.ends: dict[int, FileEnd] = {}
        self.pieces: list[Piece] = []
        self.data_bytes = 0
        self.pongs = 0
        self.stored = 0
        self.entries: list[Entry] = []
        self.closed = False
        self._mute = False
        self._heard: list[dict[str, Json]] = []
        self._changed = asyncio.Event()
        self.channel.attach(self)

    # Sink

    def control_received(self, received: bytes) -> None:
        heard = json.loads(received)
        match heard["type"]:
            case "ping":
                if not self._mute:
                    self.say("pong", number=heard["number"])
            case "pong":
                self.pongs += 1
            case "credit":
                self.stored = heard["stored"]
                self._heard.append(heard)
            case "manifest":
                self.entries += heard["entries"]
            case _:
                self._heard.append(heard)
        self._changed.set()

    def data_received(self, received: bytes) -> None:
        self.data_bytes += len(received)
        self.channel.consumed(len(received))
        for record in decode_records(received, limit=len(received)):
            match record:
                case FileEnd():
                    self.ends[record.entry] = record
                case Piece():
                    self.pieces.append(record)
        self._changed.set()

    def channel_closed(self) -> None:
        self.closed = True
        self._changed.set()

    # What any peer does

    def mute(self) -> None:
        """From now on not even pings are answered."""
        self._mute = True

    def say(self, kind: str, **fields: Json) -> None:
        """A control message."""
        self.raw(message(kind, **fields))

    def raw(self, control: bytes) -> None:
        """Anything on the control channel."""
        with suppress(ConnectionLost):
            self.channel.send_control(control)

    def throw(self, *data: bytes) -> None:
        """Messages on the data channel."""
        with suppress(ConnectionLost):
            for each in data:
                self.channel.send_data(each)

    async def pour(self, messages: Iterable[bytes], *, control: bool = False) -> None:
        """Many messages, as fast as they go."""
        for number, each in enumerate(messages):
            if self.closed:
                return
            (self.raw if control else self.throw)(each)
            if number % 64 == 0 or self.channel.backlog > HIGH_WATER:
                await asyncio.sleep(0)
                with suppress(ConnectionLost):
                    await self.channel.drain(HIGH_WATER)

    async def pour_pings(self) -> None:
        """Legal, but not answered one by one."""
        await self.pour((message("ping", number=number) for number in range(30_000)), control=True)
        assert self.pongs < 300, self.pongs

    async def hear(self, *kinds: str) -> dict[str, Json]:
        """The next message of one of these types; what came before it is passed over."""
        while True:
            while self._heard:
                heard = self._heard.pop(0)
                if heard["type"] in kinds:
                    return heard
            await self.change()

    async def until(self, condition: Callable[[], object]) -> None:
        """Also for what shows in the file system only."""
        while not condition():
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await self.change()

    async def change(self) -> None:
        """Something has come."""
        if self.closed:
            await asyncio.Event().wait()  # the victim is about to end, and nothing else will happen
        self._changed.clear()
        await self._changed.wait()

    # As a sender

    async def greet(self, **lies: Json) -> None:
        """Hello as a sender."""
        honest = {"version": 1, "role": "sender", "software": SOFTWARE, "block_size": BLOCK}
        self.say("hello", **(honest | lies))
        await self.hear("hello")

    def offer(self, entries: list[Entry]) -> None:
        """A whole manifest, of as many messages as it takes."""
        for first in range(0, len(entries), 1000):
            self.say("manifest", first=first, entries=entries[first : first + 1000])
        self.say("manifest_end", entries=len(entries))

    async def accepted(self, entries: int) -> None:
        """The receiver takes them all."""
        while (await self.hear("go"))["upto"] < entries:
            pass

    def send_files(self, files: dict[int, bytes]) -> None:
        for index, content in files.items():
            self.throw(*forging.file(index, content))

    def end(self, sent: dict[int, bytes], /, **lies: Json) -> None:
        """The sender's totals."""
        digests = {index: forging.file_digest(content) for index, content in sent.items()}
        honest = {
            "files": len(sent),
            "bytes": sum(map(len, sent.values())),
            "faults": 0,
            "digest": forging.total(digests),
        }
        self.say("end", **(honest | lies))

    async def part(self) -> None:
        """Everything was sent: the rest of what an honest sender does."""
        await self.hear("done")
        self.say("bye")
        await self.hear("bye")

    async def send_up_to(self, step: Step) -> None:
        """Be an honest sender of TREE until then."""
        if step >= Step.OPEN:
            await self.greet()
        if step >= Step.LISTED:
            self.offer(TREE)
        if step >= Step.ACCEPTED:
            await self.accepted(len(TREE))
        if step == Step.SENDING:
            self.throw(forging.piece(1, 0, A[:1000], size=BLOCK, of=BLOCK, check=forging.digest(A[:BLOCK])))
        if step == Step.ENDED:
            self.throw(*list(forging.file(1, A))[1:])  # without its first block
            self.send_files({2: B})
        if step == Step.PARTING:
            self.send_files(FILES)
        if step >= Step.ENDED:
            self.end(FILES)
        if step == Step.PARTING:
            await self.hear("done")

    # As a receiver

    async def greet_sender(self, **lies: Json) -> None:
        """Hello as a receiver."""
        honest = {
            "version": 1,
            "role": "receiver",
            "software": SOFTWARE,
            "block_size": BLOCK,
            "credit": WINDOW,
            "features": ["zstd"],
        }
        self.say("hello", **(honest | lies))
        await self.hear("hello")

    async def listed(self) -> None:
        """The sender has sent its whole manifest."""
        await self.hear("manifest_end")

    def go(self, **lies: Json) -> None:
        """Accept everything."""
        self.say("go", **({"upto": len(self.entries)} | lies))

    @property
    def files(self) -> list[int]:
        """Which entries of the sender's manifest are files."""
        return [index for index, each in enumerate(self.entries) if each[0] == "f"]

    def index(self, name: str) -> int:
        """Of the entry with this path."""
        return next(index for index, each in enumerate(self.entries) if each[1] == name)

    def done(self, **lies: Json) -> None:
        """Everything is final: results and totals."""
        self.say("results", done=[[0, len(self.entries)]])
        self.totals(**lies)

    def totals(self, **lies: Json) -> None:
        digests = {index: end.digest for index, end in self.ends.items()}
        honest = {
            "files": len(self.ends),
            "bytes": sum(end.file_size for end in self.ends.values()),
            "faults": 0,
            "digest": forging.total(digests),
            "failed": 0,
            "damaged": 0,
            "skipped": 0,
        }
        self.say("done", **(honest | lies))

    async def receive_up_to(self, step: Step) -> None:
        """Be an honest receiver until then. SENDING: the sender has used up its credit in the middle of the largest file."""
        if step >= Step.OPEN:
            await self.greet_sender(**({"credit": 4 * 1024 * 1024} if step == Step.SENDING else {}))
        if step >= Step.LISTED:
            await self.listed()
        if step >= Step.ACCEPTED:
            self.go()
        if step == Step.SENDING:
            await self.until(lambda: self.data_bytes)
        if step >= Step.ENDED:
            await self.hear("end")
            await self.until(lambda: len(self.ends) == len(self.files))
        if step == Step.PARTING:
            self.done()
            await self.hear("bye")
