"""Attacks of a sender on the program that receives."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import zstandard
from hostile import nonsense
from hostile.case import (
    DECLINED,
    IMPATIENT,
    INTEGRITY,
    LIMITS,
    LOCAL,
    LOST,
    OK,
    OURS,
    PROTOCOL,
    Case,
    Play,
    Receiving,
)
from hostile.forging import (
    BLOCK,
    Entry,
    Json,
    blocks,
    digest,
    directory,
    end,
    entry,
    fault,
    file,
    file_digest,
    link,
    message,
    piece,
    raw,
    whole,
)
from hostile.nonsense import ABORTS, EVIL
from hostile.rogue import FILES, TREE, WHOLE, A, B, Rogue, Step
from trees import make

from p2pcopy.config import Existing, TransferLimits

MIB = 1024 * 1024
REALLY = True


def cases() -> Iterator[Case]:
    yield from _names()
    yield from _nasty_names()
    yield from _links()
    yield from _manifests()
    yield from _hellos()
    yield from _nonsense()
    yield from _out_of_turn()
    yield from _data()
    yield from _damage()
    yield from _bombs()
    yield from _totals()
    yield from _silence()
    yield from _floods()
    yield from _aborts()


# What is offered


def _offering(*entries: Entry) -> Play:
    """Greet, and offer a directory and these."""

    async def play(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer([directory(), *entries])

    return play


def _names() -> Iterator[Case]:
    deep = "/".join(["d"] * 129)
    parents = [directory("/".join(["tree", *["d"] * depth])) for depth in range(1, 128)]
    bad: dict[str, list[Entry]] = {
        "absolute": [entry(path="/etc/cron.d/rogue")],
        "absolute twice": [entry(path="//etc/rogue")],
        "the parent": [entry(path="..")],
        "above": [entry(path="../beside/secret")],
        "above, from within": [entry(path="tree/../../beside/secret")],
        "within, by a detour": [entry(path="tree/../tree/a")],
        "above, as a directory": [directory("..")],
        "a dot": [entry(path=".")],
        "a dot in front": [entry(path="./tree/a")],
        "a dot in the middle": [entry(path="tree/./a")],
        "two slashes": [entry(path="tree//a")],
        "a slash at the end": [directory("tree/a/")],
        "a slash": [entry(path="/")],
        "no name": [entry(path="")],
        "NUL": [entry(path="tree/a\0b")],
        "NUL at the end": [entry(path="tree/a\0")],
        "a name of 256 bytes": [entry(path="tree/" + "n" * 256)],
        "a name of 256 bytes in 128 characters": [entry(path="tree/" + "\u00e9" * 128)],
        "a path of 4097 bytes": [entry(path="/".join(["n" * 240] * 17))],
        "a path of 250 kB": [entry(path="tree/" + "n" * 250_000)],
        "129 directories deep": [entry(path=deep)],
        "one directory too deep, step by step": [*parents, entry(path=parents[-1][1] + "/a")],
        "a part file": [entry(path="tree/.a.p2pcopy-part")],
        "a journal": [entry(path="tree/.a.p2pcopy-journal")],
        "a part file in capitals": [entry(path="tree/.a.P2PCOPY-PART")],
        "a part file with a long s": [entry(path="tree/.a.p2pcopy-part".replace("s", "\u017f").replace("p-", "P-"))],
        "a part file as a directory": [directory("tree/.b.p2pcopy-part")],
        "below a part file": [entry(path="tree/.b.p2pcopy-part/a")],
        "half a character": [entry(path="tree/\ud800")],
        "two halves that are bytes": [entry(path="tree/\udcc3\udca9")],
        "raw bytes that are text": [entry(path=raw(b"tree/a"))],
        "raw bytes that go up": [entry(path=raw(b"tree/\xff/../../beside"))],
        "raw bytes that are absolute": [entry(path=raw(b"/\xff"))],
        "raw bytes with NUL": [entry(path=raw(b"tree/\xff\0"))],
        "raw bytes that are no base64": [entry(path={"base64": "@@@@"})],
        "raw bytes without any": [entry(path={})],
        "below nothing": [entry(path="nowhere/a")],
        "below a file": [entry(path="tree/a"), entry(path="tree/a/b")],
        "a directory below a file": [entry(path="tree/a"), directory("tree/a/b")],
        "below a link": [link("tree/x", "y"), entry(path="tree/x/a")],
        "a directory in place of a link": [link("tree/x", "y"), directory("tree/x")],
        "a link in place of a directory": [directory("tree/x"), link("tree/x", "y")],
        "a file twice": [entry(path="tree/a"), entry(path="tree/a")],
        "a directory twice": [directory("tree")],
        "a file in place of a directory": [entry(path="tree")],
        "setuid": [entry(mode=0o4755)],
        "a negative mode": [entry(mode=-1)],
        "a mode that is text": [entry(mode="0644")],
        "a time too late": [entry(s=2**33)],
        "a time too early": [entry(s=-(2**33) - 1)],
        "too many nanoseconds": [entry(ns=10**9)],
        "negative nanoseconds": [entry(ns=-1)],
        "a time with a fraction": [entry(s=0.5)],
        "a negative size": [entry(size=-1)],
        "a size of 2**53": [entry(size=2**53)],
        "a size of 2**64": [entry(size=2**64)],
        "a size of many digits": [entry(size=int("9" * 4000))],
        "a size with a fraction": [entry(size=1.5)],
        "a size that is text": [entry(size="1")],
        "a size that is true": [entry(size=True)],
        "a size above what has numbers for its blocks": [entry(size=2**32 * BLOCK + 1)],
        "a directory with a size": [entry("d", "tree/d", size=1)],
        "a link with a size": [entry("l", "tree/l", size=1, target="a")],
        "a file with a target": [entry(target="b")],
        "a directory with a target": [entry("d", "tree/d", target="b")],
        "a directory of unknown size": [entry("d", "tree/d", size=None)],
        "a device": [entry("c", "tree/null")],
        "a hard link": [entry("h", "tree/h", target="a")],
        "no kind": [entry("", "tree/a")],
        "a kind that is a number": [[1, "tree/a", 0, 420, 0, 0, ""]],
        "an entry that ends early": [["f", "tree/a", 0]],
        "an empty entry": [[]],
    }
    really = {"above", "below a link", "a part file", "a size of many digits", "NUL"}
    for name, entries in bad.items():
        yield Case(f"name: {name}", _offering(*entries), really=name in really)
    not_entries: dict[str, Json] = {"an object": {"kind": "f"}, "null": None, "a number": 1, "text": "tree/a"}
    for name, line in not_entries.items():
        yield Case(f"name: {name} for an entry", _offering(line))


def _nasty_names() -> Iterator[Case]:
    """Legal ones, which must arrive as they are and be shown as they are not."""
    nasty: dict[str, tuple[Json, str]] = {
        "escape sequences": (text := "tree/\x1b]0;rogue\x07\x1b[2J", text),
        "C1": (text := "tree/\x9b31m\x85\x90", text),
        "lines": (text := "tree/a\nerror: all is well\r\x0b\x0c", text),
        "backspaces": (text := "tree/a\x08\x08\x7f\x7f", text),
        "another direction": (text := "tree/\u202egpj.exe\u2066\u2069\u200f\u061c", text),
        "invisible": (text := "tree/\u200b\u2060\ufeff\u00ad\U000e0041", text),
        "separators of lines": (text := "tree/a\u2028b\u2029c", text),
        "bytes that are C1": (raw(b"tree/\x9b31m\xff\x1b[1m"), "tree/\udc9b31m\udcff\x1b[1m"),
        "markup": (text := "tree/[bold red]x [link=file:]y [@click=a]z", text),
        "an option": (text := "tree/-rf --help $(reboot) `reboot` %s{}", text),
        "marks without end": (text := "tree/a" + "\u0300" * 120, text),
        "wide": (text := "tree/" + "\U0001f468\u200d" * 30, text),
    }

    def sending(line: Entry) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.greet()
            rogue.offer([directory(), line])
            await rogue.accepted(2)
            rogue.send_files({1: B})
            rogue.end({1: B})
            await rogue.part()

        return play

    def giving_up(line: Entry) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.greet()
            rogue.offer([directory(), line])
            await rogue.accepted(2)
            rogue.throw(fault(1, 2))
            rogue.end({}, faults=1)
            await rogue.part()

        return play

    for name, (sent, arrives) in nasty.items():
        line = entry(path=sent, size=len(B))
        really = name in ("escape sequences", "another direction", "bytes that are C1")
        verbose = ("--verbose",) if really else ()
        yield Case(
            f"shown: {name}", sending(line), (OK,), arrives={arrives: B}, really=really, options=verbose
        )
        yield Case(f"shown: {name}, as JSON", sending(line), (OK,), arrives={arrives: B}, options=("--json",))
        yield Case(f"shown: {name}, of a file that fails", giving_up(line), (LOCAL,), options=("--json",))
        yield Case(f"shown: {name}, in an error", _offering(line, line))
        yield Case(f"shown: {name}, of a link", _offering(link(sent, "../x")), options=("--json",))


def _links() -> Iterator[Case]:
    bad = {
        "absolute": link("tree/x", "/etc/passwd"),
        "to the parent": link("tree/x", ".."),
        "above": link("tree/x", "../beside/secret"),
        "above, later": link("tree/x", "y/../../beside"),
        "above, after a dot": link("tree/x", "./../beside"),
        "above, after slashes": link("tree/x", ".//..//beside"),
        "to nothing": link("tree/x", ""),
        "with NUL": link("tree/x", "a\0b"),
        "too long": link("tree/x", "a/" * 2100),
        "at the top": link("x", "tree"),
        "in raw bytes above": link("tree/x", raw(b"../\xff")),
        "in raw bytes that are text": link("tree/x", raw(b"a")),
        "that is null": link("tree/x", None),
    }
    for name, line in bad.items():
        yield Case(f"link: {name}", _offering(line), really=name == "above")
    yield Case(
        "link: two that leave together",
        _offering(directory("tree/d"), link("tree/d/up", ".."), link("tree/out", "d/up/../..")),
    )

    async def through_a_link(rogue: Rogue) -> None:
        """The destination has a link of its own in the way: to a directory beside."""
        await rogue.greet()
        rogue.offer(TREE)
        await rogue.accepted(len(TREE))
        rogue.send_files(FILES)
        rogue.end(FILES)
        await rogue.part()

    def linked(work: Path) -> None:
        (work / "out").mkdir()
        (work / "out" / "tree").symlink_to("../beside")

    def linked_file(work: Path) -> None:
        (work / "out" / "tree").mkdir(parents=True)
        (work / "out" / "tree" / "a").symlink_to("../../beside/secret")

    def linked_part(work: Path) -> None:
        (work / "out" / "tree").mkdir(parents=True)
        (work / "out" / "tree" / ".a.p2pcopy-part").symlink_to("../../beside/secret")
        (work / "out" / "tree" / ".b.p2pcopy-part").hardlink_to(work / "beside" / "secret")
        (work / "out" / "tree" / ".a.p2pcopy-journal").symlink_to("../../beside/secret")

    policies = (Existing.REPLACE, Existing.RENAME, Existing.SKIP, Existing.REFUSE)
    for policy in policies:
        yield Case(
            f"link: one at the destination in place of a directory, {policy}",
            _whatever(through_a_link),
            (LOCAL, DECLINED, INTEGRITY, PROTOCOL),
            Receiving(policy),
            prepare=linked,
            really=policy is Existing.REPLACE,
        )
    yield Case(
        "link: one at the destination in place of a file is replaced itself",
        through_a_link,
        (OK,),
        prepare=linked_file,
        arrives=WHOLE,
    )
    yield Case(
        "link: part files that are links",
        _whatever(through_a_link),
        (LOCAL,),
        prepare=linked_part,
        arrives=WHOLE,
        really=REALLY,
    )


def _whatever(play: Play) -> Play:
    """The receiver may skip or refuse some of the files: a sender that sends them nevertheless, and then fails them."""
    del play

    async def sending(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer(TREE)
        taken: dict[int, bytes] = dict(FILES)
        position = 0
        while position < len(TREE):
            go = await rogue.hear("go")
            for first, last in go.get("skip", []):
                for index in range(first, last):
                    taken.pop(index, None)
            position = go["upto"]
        rogue.send_files(taken)
        rogue.end(taken)
        await rogue.part()

    return sending


def _manifests() -> Iterator[Case]:
    many = [entry(path=f"tree/{number}") for number in range(4097)]

    def saying(*messages: bytes) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.greet()
            for each in messages:
                rogue.raw(each)

        return play

    first = message("manifest", first=0, entries=[directory()])
    bad = {
        "begins in the middle": [message("manifest", first=1, entries=[directory()])],
        "has a gap": [first, message("manifest", first=2, entries=[entry()])],
        "begins again": [first, first],
        "has a negative beginning": [message("manifest", first=-1, entries=[directory()])],
        "is empty": [message("manifest", first=0, entries=[])],
        "has no entries": [message("manifest", first=0)],
        "has null for entries": [message("manifest", first=0, entries=None)],
        "has too many entries in a message": [first, message("manifest", first=1, entries=many)],
        "ends with a count too high": [first, message("manifest_end", entries=2)],
        "ends with a count too low": [first, message("manifest_end", entries=0)],
        "ends with a negative count": [first, message("manifest_end", entries=-1)],
        "ends twice": [first, message("manifest_end", entries=1), message("manifest_end", entries=1)],
        "goes on after its end": [
            first,
            message("manifest_end", entries=1),
            message("manifest", first=1, entries=[entry()]),
        ],
        "left out too much": [first, message("manifest_end", entries=1, left_out=2**53)],
    }
    for name, messages in bad.items():
        yield Case(f"manifest: {name}", saying(*messages), really=name == "goes on after its end")

    async def too_many(rogue: Rogue) -> None:
        await rogue.greet()
        batches = (
            message("manifest", first=first, entries=[entry("f", f"{number}") for number in range(first, first + 100)])
            for first in range(0, 2100, 100)
        )
        await rogue.pour(batches, control=True)

    yield Case(
        "manifest: of more entries than there may be",
        too_many,
        limits=TransferLimits(block_size=BLOCK, max_entries=2000),
    )

    async def a_million(rogue: Rogue) -> None:
        """As fast as credit allows: a thousand times a thousand entries, and one."""
        await rogue.greet()
        granted, spent = 32 * MIB, 0
        for first in range(0, 1_001_000, 1000):
            batch = message("manifest", first=first, entries=[entry("f", f"{n:07}") for n in range(first, first + 1000)])
            spent += len(batch) + 256 * 1000
            while spent > granted:
                granted = (await rogue.hear("credit"))["limit"]
            rogue.raw(batch)
            await rogue.channel.drain(MIB)

    yield Case(
        "manifest: of a million entries and more",
        a_million,
        victim=Receiving(asks=True),
        seconds=300,
        memory=300_000_000,
        really=REALLY,
        heavy=True,
    )

    async def without_credit(rogue: Rogue) -> None:
        await rogue.greet()
        batches = (
            message("manifest", first=first, entries=[entry("f", f"{number}") for number in range(first, first + 4000)])
            for first in range(0, 200_000, 4000)
        )
        await rogue.pour(batches, control=True)

    yield Case("manifest: that waits for no credit", without_credit, really=REALLY)

    async def sizes(rogue: Rogue) -> None:
        await rogue.greet()
        largest = min(2**53 - 1, 2**32 * BLOCK)
        rogue.offer([directory(), *(entry(path=f"tree/{number}", size=largest) for number in range(3000))])

    for asks in (False, True):
        yield Case(f"manifest: of 700 PiB{', and a person' * asks}", sizes, (LOCAL,), Receiving(asks=asks), really=asks)
    yield Case("manifest: of 700 PiB, with a limit", sizes, (DECLINED,), Receiving(max_bytes=10**9), really=REALLY)
    yield Case(
        "manifest: of 700 PiB, at once", sizes, (LOCAL, PROTOCOL), Receiving(Existing.SKIP), options=("--json",)
    )

    async def endless(rogue: Rogue) -> None:
        """A stream of zeros that are sent in a few bytes a block, and never ends."""
        await rogue.greet()
        rogue.offer([entry(path="stream", size=None)])
        await rogue.accepted(1)
        body = zstandard.ZstdCompressor().compress(bytes(BLOCK))
        check = digest(bytes(BLOCK))
        block = (piece(0, number, body, size=BLOCK, flags=1, check=check) for number in itertools.count())
        await rogue.pour(block)

    yield Case("manifest: a stream without end, with a limit", endless, (DECLINED,), Receiving(max_bytes=5 * MIB), really=REALLY)

    async def larger(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer([entry(path="stream", size=None)])
        await rogue.accepted(1)
        rogue.throw(*whole(0, 70_000, bytes(BLOCK)))

    yield Case("manifest: a stream that begins far behind its beginning", larger)


# What is said


def _hellos() -> Iterator[Case]:
    honest = {"version": 1, "role": "sender", "software": "x", "block_size": BLOCK}
    lies: dict[str, dict[str, Json]] = {
        "version 0": {"version": 0},
        "version 2": {"version": 2},
        "version 2**32": {"version": 2**32},
        "version -1": {"version": -1},
        "version 1.5": {"version": 1.5},
        "a version of many digits": {"version": int("9" * 4000)},
        "a version that is text": {"version": "1"},
        "version 2, and a name that is none": {"version": 2, "software": EVIL * 100},
        "a receiver": {"role": "receiver"},
        "another role": {"role": "relay"},
        "a long name": {"software": "x" * 401},
        "a name that is a number": {"software": 1},
        "blocks of 0": {"block_size": 0},
        "negative blocks": {"block_size": -1},
        "small blocks": {"block_size": 4095},
        "large blocks": {"block_size": 2 * MIB + 1},
        "huge blocks": {"block_size": 2**53},
        "negative credit": {"credit": -1},
        "credit out of range": {"credit": 2**53},
        "many features": {"features": ["zstd"] * 65},
        "long features": {"features": ["x" * 401]},
        "features that are none": {"features": [1]},
    }

    def greeting(fields: dict[str, Json]) -> Play:
        async def play(rogue: Rogue) -> None:
            rogue.say("hello", **(honest | fields))

        return play

    for name, fields in lies.items():
        really = name in ("version 2, and a name that is none", "a version of many digits", "huge blocks")
        yield Case(f"hello: {name}", greeting(fields), really=really, options=("--json",) if "name" in name else ())

    async def twice(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.say("hello", **honest)

    yield Case("hello: twice", twice)


def _then(step: Step, do: Callable[[Rogue], object]) -> Play:
    async def play(rogue: Rogue) -> None:
        await rogue.send_up_to(step)
        do(rogue)

    return play


def _at(step: Step) -> Receiving:
    """The victim with which a conversation stays at this step."""
    return Receiving(asks=step is Step.LISTED)


def _nonsense() -> Iterator[Case]:
    for step, (name, control) in itertools.product(Step, nonsense.CONTROL.items()):
        if step is Step.HELLO and name == "another hello":
            continue
        yield Case(
            f"nonsense at {step.name.lower()}: {name}",
            _then(step, lambda rogue, control=control: rogue.raw(control)),  # type: ignore[misc]
            victim=_at(step),
            arrives=WHOLE if step is Step.PARTING else {"tree/b": B},
            really=(step, name) in ((Step.OPEN, "deep arrays"), (Step.SENDING, "a number of many digits")),
        )


# What docs/protocol.md lets a receiver take; anything else has to end the conversation.
_TAKEN = {
    Step.HELLO: {"hello", "abort"},
    Step.OPEN: {"manifest", "manifest_end", "ping", "abort"},
    Step.LISTED: {"ping", "abort"},
    Step.ACCEPTED: {"ping", "abort"},
    Step.SENDING: {"ping", "abort"},
    Step.ENDED: {"ping", "abort"},
    Step.PARTING: {"ping", "abort", "bye"},
}
_MESSAGES = {
    "hello": message("hello", version=1, role="sender", software="", block_size=BLOCK),
    "manifest": message("manifest", first=3, entries=[entry(path="tree/c")]),
    "manifest_end": message("manifest_end", entries=3),
    "have": message("have", entry=1, first=0, digests="A" * 43 + "="),
    "go": message("go", upto=3),
    "credit": message("credit", limit=2**40),
    "again": message("again", entry=1, block=0),
    "results": message("results", done=[[0, 1]]),
    "end": message("end", files=2, bytes=len(A) + len(B), faults=0, digest="0" * 64),
    "done": message("done", files=2, bytes=0, faults=0, digest="0" * 64, failed=0, damaged=0, skipped=0),
    "bye": message("bye"),
    "ping": message("ping", number=1),
    "pong": message("pong", number=10**6),
}


def _out_of_turn() -> Iterator[Case]:
    for step, taken in _TAKEN.items():
        for name, control in _MESSAGES.items():
            if name in taken or (name == "end" and step in (Step.ACCEPTED, Step.SENDING)):
                continue
            yield Case(
                f"out of turn at {step.name.lower()}: {name}",
                _then(step, lambda rogue, control=control: rogue.raw(control)),  # type: ignore[misc]
                victim=_at(step),
                arrives=WHOLE if step is Step.PARTING else {"tree/b": B},
            )
    for step in (Step.HELLO, Step.OPEN, Step.LISTED):
        for name, data in {"a piece": whole(1, 0, A[:BLOCK])[0], "an end": end(1, A), "a fault": fault(1)}.items():
            yield Case(
                f"data before consent at {step.name.lower()}: {name}",
                _then(step, lambda rogue, data=data: rogue.throw(data)),  # type: ignore[misc]
                victim=_at(step),
                really=name == "a piece" and step is not Step.OPEN,
            )

    async def end_at_once(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.LISTED)
        rogue.end(FILES)

    yield Case("out of turn: end before consent", end_at_once, victim=Receiving(asks=True))


# What is sent


def _data() -> Iterator[Case]:
    block = A[:BLOCK]
    half = BLOCK // 2
    check = digest(block)

    def pieces(*parts: tuple[int, int]) -> list[bytes]:
        return [piece(1, 0, block[a:b], size=BLOCK, of=BLOCK, offset=a, check=check) for a, b in parts]

    bad: dict[str, list[bytes]] = {
        "of an entry that there is not": whole(3, 0, block),
        "of the last entry of all": whole(2**32 - 1, 0, block),
        "of a directory": whole(0, 0, block),
        "a fault of a directory": [fault(0)],
        "an end of a directory": [end(0, b"")],
        "a block behind the end": whole(1, 3, block),
        "the last block of all": whole(1, 2**32 - 1, block),
        "a block that is too short": whole(1, 0, block[:-1]),
        "a block that is too long": whole(1, 0, block + b"x"),
        "the last block, longer than it is": whole(1, 2, block),
        "more than the small file has": whole(2, 0, B + b"!"),
        "an empty block": [piece(1, 0, b"x", size=0, of=1)],
        "a block of 4 GiB": [piece(1, 0, b"x", size=2**32 - 1, of=2**32 - 1)],
        "a body of 4 GiB": [piece(1, 0, b"x", size=BLOCK, of=2**32 - 1)],
        "a frame larger than its block": [piece(1, 0, block[:100], size=BLOCK, of=BLOCK, flags=1)],
        "a piece of nothing": [piece(1, 0, b"", size=BLOCK, of=BLOCK)],
        "a piece longer than its message": [piece(1, 0, b"x", size=BLOCK, of=BLOCK, length=2)],
        "a piece behind its body": [piece(1, 0, b"x", size=BLOCK, of=BLOCK, offset=BLOCK)],
        "a piece at 4 GiB": [piece(1, 0, b"x", size=BLOCK, of=BLOCK, offset=2**32 - 1)],
        "unknown flags": [piece(1, 0, b"x", size=BLOCK, of=BLOCK, flags=4)],
        "all flags": [piece(1, 0, b"x", size=BLOCK, of=BLOCK, flags=0xFF)],
        "a block twice": whole(1, 0, block) * 2,
        "a piece twice": pieces((0, 10), (10, 20), (10, 20)),
        "pieces that overlap": pieces((0, half), (half - 10, half), (half, BLOCK - 10), (BLOCK - 1, BLOCK)),
        "pieces that overlap at the end": pieces((0, half), (half - 1, BLOCK)),
        "pieces with a gap": pieces((0, half - 1), (half + 10, BLOCK), (1, 12)),
        "pieces of two sizes": [*pieces((0, 10)), piece(1, 0, b"x", size=BLOCK, of=100, offset=10, flags=1)],
        "pieces with and without compression": [*pieces((0, 10)), piece(1, 0, b"x", size=BLOCK, of=BLOCK, offset=10, flags=1)],
        "an end with too few blocks": [end(1, A, blocks=2)],
        "an end with too many blocks": [end(1, A, blocks=4)],
        "an end with 2**32 blocks": [end(1, A, blocks=2**32 - 1, size=2**64 - 1)],
        "an end of another size": [end(1, A, size=len(A) - 1)],
        "an end with flags": [end(1, A, flags=0x80)],
        "two ends": [end(1, A), end(1, A)],
        "two faults": [fault(1), fault(1)],
        "an end after all of it, twice": [*file(2, B), end(2, B)],
        "a block after all of it": [*file(2, B), *whole(2, 0, B)],
        **{f"no record: {name}": [message] for name, message in nonsense.RECORDS.items()},
    }
    really = {
        "a block twice",
        "pieces that overlap",
        "the last block of all",
        "more than the small file has",
        "no record: nothing",
    }
    for name, messages in bad.items():
        yield Case(
            f"data: {name}",
            _then(Step.ACCEPTED, lambda rogue, messages=messages: rogue.throw(*messages)),  # type: ignore[misc]
            arrives={"tree/b": B},
            really=name in really,
        )

    async def any_order(rogue: Rogue) -> None:
        """Legal: the end first, blocks from the last to the first, and the same of their pieces."""
        await rogue.send_up_to(Step.ACCEPTED)
        rogue.end(FILES)
        rogue.throw(end(1, A), end(2, B))
        for number, content in reversed(list(enumerate(blocks(A)))):
            step = 1000
            rogue.throw(
                *(
                    piece(1, number, content[at : at + step], size=len(content), of=len(content), offset=at, check=digest(content))
                    for at in reversed(range(0, len(content), step))
                )
            )
        rogue.throw(*whole(2, 0, B))
        await rogue.part()

    yield Case("data: in any order", any_order, (OK,), arrives=WHOLE, really=REALLY)

    async def short_in_the_middle(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer([entry(path="stream", size=None)])
        await rogue.accepted(1)
        rogue.throw(*whole(0, 0, b"short"), *whole(0, 1, b"short, too"))

    yield Case("data: two short blocks in a stream", short_in_the_middle)

    async def no_credit(rogue: Rogue) -> None:
        """Pieces of a file that can never be done with: there is always one that is missing."""
        await rogue.greet()
        size = 3000 * BLOCK
        rogue.offer([entry(path="large", size=size)])
        await rogue.accepted(1)
        await rogue.pour(
            piece(0, number, bytes(BLOCK - 1), size=BLOCK, of=BLOCK, offset=1) for number in range(size // BLOCK)
        )

    yield Case("data: beyond all credit", no_credit, really=REALLY)

    async def tiny_pieces(rogue: Rogue) -> None:
        """A record for each byte: what they cost is what is kept of them."""
        await rogue.greet(block_size=2 * MIB)
        rogue.offer([entry(path=f"{number}", size=2 * MIB) for number in range(40)])
        await rogue.accepted(40)
        one = [piece(0, 0, b"x", size=2 * MIB, of=2 * MIB, offset=at) for at in range(1, 1000)]
        del one

        def messages() -> Iterator[bytes]:
            for index in range(40):
                for start in range(1, 2 * MIB, 1000):
                    yield b"".join(
                        piece(index, 0, b"x", size=2 * MIB, of=2 * MIB, offset=at) for at in range(start, start + 1000)
                    )

        await rogue.pour(messages())

    yield Case("data: a record for each byte", tiny_pieces, really=REALLY)

    async def many_open(rogue: Rogue) -> None:
        await rogue.greet()
        names = [entry(path=f"{number}", size=2 * BLOCK) for number in range(300)]
        rogue.offer(names)
        await rogue.accepted(len(names))
        await rogue.pour(piece(index, 0, b"x", size=BLOCK, of=BLOCK) for index in range(300))

    yield Case(
        "data: too many files begun at once", many_open, limits=TransferLimits(block_size=BLOCK, max_open_files=200)
    )

    async def many_really_open(rogue: Rogue) -> None:
        await rogue.greet()
        names = [entry(path=f"{number}", size=2 * BLOCK) for number in range(5000)]
        rogue.offer(names)
        await rogue.accepted(len(names))
        await rogue.pour(
            b"".join(piece(index, 0, b"x", size=BLOCK, of=BLOCK) for index in range(first, first + 500))
            for first in range(0, 5000, 500)
        )

    yield Case("data: 5000 files begun at once", many_really_open, really=REALLY)

    async def never_the_first(rogue: Rogue) -> None:
        """To a pipe: everything but the first block, which all others wait for."""
        await rogue.greet(block_size=MIB)
        rogue.offer([entry(path="large", size=200 * MIB)])
        await rogue.accepted(1)
        content = bytes(MIB)
        body = zstandard.ZstdCompressor().compress(content)
        check = digest(content)
        for number in range(1, 200):
            rogue.throw(piece(0, number, body, size=MIB, flags=1, check=check))
            if number % 8 == 0:
                await rogue.until(lambda number=number: rogue.stored >= (number - 8) * MIB)  # type: ignore[misc]

    yield Case(
        "data: never the first block, to standard output",
        never_the_first,
        victim=Receiving(to_stdout=True),
        really=REALLY,
        memory=250_000_000,
        apart=True,
    )


def _insisting(bodies: Callable[[], list[bytes]], size: int, times: int = 3) -> Play:
    """Send the one block of a file, whatever it is, as often as it is asked for, and then end as if all were well."""

    async def play(rogue: Rogue) -> None:
        await rogue.greet(block_size=2 * MIB)
        rogue.offer([directory(), entry(path="tree/a", size=size), entry(path="tree/b", size=len(B))])
        await rogue.accepted(3)
        for time in range(times):
            if time:
                await rogue.hear("again")
            rogue.throw(*bodies())
        content = bytes(size)
        rogue.throw(end(1, content, blocks=1, check=digest(digest(content))))
        rogue.send_files({2: B})
        files = {1: content, 2: B}
        digests = {1: digest(digest(content)), 2: file_digest(B)}
        del files
        from hostile.forging import total

        rogue.end({}, files=2, bytes=size + len(B), digest=total(digests))
        await rogue.part()

    return play


def _damage() -> Iterator[Case]:
    block = bytes(BLOCK)

    def wrong() -> list[bytes]:
        return [piece(1, 0, block, check=digest(b"another"))]

    yield Case("damage: a digest that never fits", _insisting(wrong, BLOCK), (INTEGRITY,), arrives={"tree/b": B}, really=REALLY)
    yield Case(
        "damage: no digest of any kind",
        _insisting(lambda: [piece(1, 0, block, check=bytes(32))], BLOCK),
        (INTEGRITY,),
        arrives={"tree/b": B},
    )

    async def many(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer([entry(path="large", size=100 * BLOCK)])
        await rogue.accepted(1)
        await rogue.pour(piece(0, number, block, check=bytes(32)) for number in range(100))

    yield Case("damage: everywhere", many, (INTEGRITY,), really=REALLY)

    async def wrong_file(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ACCEPTED)
        rogue.throw(*list(file(1, A))[:-1], end(1, A, check=bytes(32)))
        rogue.send_files({2: B})
        from hostile.forging import total

        rogue.end(FILES, digest=total({1: bytes(32), 2: file_digest(B)}))
        await rogue.part()

    yield Case("damage: a file that is not the sum of its blocks", wrong_file, (INTEGRITY,), arrives={"tree/b": B}, really=REALLY)

    async def unasked(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ACCEPTED)
        rogue.throw(*wrong())
        await rogue.hear("again")
        rogue.throw(*whole(1, 1, A[BLOCK : 2 * BLOCK]), *whole(1, 1, A[BLOCK : 2 * BLOCK]))

    yield Case("damage: another block again than was asked for", unasked)


def _bombs() -> Iterator[Case]:
    size = 2 * MIB
    content = bytes(size)
    check = digest(content)
    compress = zstandard.ZstdCompressor(level=19).compress
    unstated = zstandard.ZstdCompressor(write_content_size=False)

    def magic(descriptor: int, *rest: bytes) -> bytes:
        return b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + b"".join(rest)

    def rle_blocks(count: int) -> bytes:
        """Each of 4 bytes is unpacked to 128 KiB of zeros."""
        size_and_type = (131072 << 3) | (1 << 1)
        last = size_and_type | 1
        return (size_and_type.to_bytes(3, "little") + b"\0") * (count - 1) + last.to_bytes(3, "little") + b"\0"

    stated = size.to_bytes(4, "little")
    bombs = {
        "that states 1 GiB": magic(0xA0, (1 << 30).to_bytes(4, "little"), rle_blocks(16)),
        "that states 16 EiB": magic(0xE0, b"\xff" * 8, rle_blocks(16)),
        "that states nothing": unstated.compress(content),
        "that states nothing, of 1 GiB": magic(0x00, b"\x58", rle_blocks(8192)),
        "that states its size and has 1 GiB": magic(0xA0, stated, rle_blocks(8192)),
        "that states its size and has little": magic(0xA0, stated, rle_blocks(1)),
        "that states zero": magic(0x20, b"\0", rle_blocks(16)),
        "with a window of 2 GiB": magic(0x80, bytes([(31 - 10) << 3]), stated, rle_blocks(16)[:-4]),
        "with a window of 3.75 TiB": magic(0x80, b"\xff", stated, rle_blocks(16)),
        "with a window of 128 MiB, cut": magic(0x80, bytes([(27 - 10) << 3]), stated, rle_blocks(15)[:-1]),
        "with a dictionary": magic(0xA3, (7).to_bytes(4, "little"), stated, rle_blocks(16)),
        "with a checksum that is wrong": magic(0xA4, stated, rle_blocks(16), b"\0\1\2\3"),
        "twice": compress(content[: size // 2]) * 2,
        "and another behind it": compress(content) * 2,
        "and something behind it": compress(content) + b"x",
        "behind one that is skipped": b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"xxxx" + compress(content),
        "of skipped ones only": (b"\x50\x2a\x4d\x18" + bytes(4)) * 1000,
        "that is cut": compress(content)[:-2],
        "that is a head only": magic(0xA0, stated),
        "that is noise": bytes(range(256)) * 8,
        "that is a gzip": b"\x1f\x8b\x08" + bytes(100),
        "of something else": compress(b"\1" * size),
        "with a reserved bit": magic(0xA8, stated, rle_blocks(16)),
    }
    for name, frame in bombs.items():
        def bodies(frame: bytes = frame) -> list[bytes]:
            return [piece(1, 0, frame, size=size, flags=1, check=check)]

        really = name in (
            "that states 1 GiB",
            "that states its size and has 1 GiB",
            "that states nothing, of 1 GiB",
            "with a window of 2 GiB",
            "with a window of 128 MiB, cut",
        )
        yield Case(f"frame {name}", _insisting(bodies, size), (INTEGRITY,), arrives={"tree/b": B}, really=really)

    async def honest(rogue: Rogue) -> None:
        await rogue.greet(block_size=size)
        rogue.offer([entry(path="a", size=size)])
        await rogue.accepted(1)
        rogue.throw(piece(0, 0, compress(content), size=size, flags=1, check=check))
        rogue.throw(end(0, content, blocks=1, check=digest(check)))
        from hostile.forging import total

        rogue.end({}, files=1, bytes=size, digest=total({0: digest(check)}))
        await rogue.part()

    yield Case("frame that is as it should be", honest, (OK,), arrives={"a": content})


def _totals() -> Iterator[Case]:
    lies: dict[str, tuple[dict[str, Json], tuple[int, ...]]] = {
        "one file too few": ({"files": 1}, (PROTOCOL,)),
        "one file too many": ({"files": 3}, (PROTOCOL,)),
        "a fault that was none": ({"files": 1, "faults": 1}, (PROTOCOL,)),
        "a byte too much": ({"bytes": len(A) + len(B) + 1}, (INTEGRITY,)),
        "2**53 bytes": ({"bytes": 2**53}, (PROTOCOL,)),
        "another digest": ({"digest": "f" * 64}, (INTEGRITY,)),
        "no digest": ({"digest": "x"}, (PROTOCOL,)),
    }

    def ending(lie: dict[str, Json]) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.send_up_to(Step.ACCEPTED)
            rogue.send_files(FILES)
            rogue.end(FILES, **lie)

        return play

    brief = TransferLimits(block_size=BLOCK, ping_s=0.1, silence_s=0.5)
    for name, (lie, codes) in lies.items():
        yield Case(f"totals: {name}", ending(lie), codes, arrives=WHOLE, limits=brief, really=name == "another digest")

    async def nothing_sent(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ACCEPTED)
        rogue.end(FILES)

    yield Case("totals: of what was never sent", nothing_sent, limits=brief)

    async def one_missing(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ENDED)

    yield Case("totals: of what was not all sent", one_missing, limits=brief, arrives={"tree/b": B})

    async def no_bye(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.PARTING)

    yield Case("totals: and no bye", no_bye, (OK,), limits=brief, arrives=WHOLE)


# What is not said


def _silence() -> Iterator[Case]:
    for step in Step:
        expected = OK if step is Step.PARTING else LOST
        yield Case(
            f"silence after {step.name.lower()}",
            _then(step, Rogue.mute),
            (expected,),
            victim=_at(step),
            arrives=WHOLE if step is Step.PARTING else {"tree/b": B},
            limits=IMPATIENT,
        )
    for step in (Step.HELLO, Step.SENDING):
        yield Case(
            f"a quarter of a minute of silence after {step.name.lower()}",
            _then(step, Rogue.mute),
            (LOST,),
            seconds=30,
            really=REALLY,
            apart=True,
        )


def _floods() -> Iterator[Case]:
    async def pings(rogue: Rogue) -> None:
        """Legal, but not answered one by one."""
        await rogue.send_up_to(Step.ACCEPTED)
        await rogue.pour((message("ping", number=number) for number in range(30_000)), control=True)
        assert rogue.pongs < 300, rogue.pongs
        rogue.send_files(FILES)
        rogue.end(FILES)
        await rogue.part()

    yield Case("flood: pings", pings, (OK,), arrives=WHOLE, really=REALLY, seconds=20)

    async def pongs(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ACCEPTED)
        await rogue.pour((message("pong", number=1) for _ in range(10_000)), control=True)

    yield Case("flood: pongs for no ping", pongs)

    async def faults(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer([entry(path=f"{number}", size=1) for number in range(1000)])
        await rogue.accepted(1000)
        await rogue.pour(b"".join(map(fault, range(first, first + 100))) for first in range(0, 1000, 100))
        rogue.end({}, faults=1000)
        await rogue.part()

    yield Case("flood: every file fails", faults, (LOCAL,))

    async def ends(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer([entry(path=f"{number}") for number in range(3000)])
        await rogue.accepted(3000)
        await rogue.pour(b"".join(end(index, b"") for index in range(first, first + 1000)) for first in range(0, 3000, 1000))
        rogue.say("abort", error="declined", message=EVIL)

    yield Case(
        "flood: empty files, and no",
        ends,
        (DECLINED,),
        arrives={f"{number}": b"" for number in range(3000)},
    )

    async def entries_one_by_one(rogue: Rogue) -> None:
        await rogue.greet()
        await rogue.pour(
            (message("manifest", first=n, entries=[entry("d", f"{n}", mode=0o755)]) for n in range(2000)), control=True
        )
        rogue.say("manifest_end", entries=2001)

    yield Case("flood: a manifest of single entries", entries_one_by_one)


def _aborts() -> Iterator[Case]:
    for name, code in ABORTS.items():
        for step in (Step.HELLO, Step.LISTED, Step.SENDING):
            yield Case(
                f"abort {name!r} at {step.name.lower()}",
                _then(step, lambda rogue, name=name: rogue.say("abort", error=name, message=EVIL)),  # type: ignore[misc]
                (code,),
                victim=_at(step),
                really=step is Step.SENDING and name == "declined",
                options=("--json",) if step is Step.LISTED else (),
            )
    yield Case(
        "abort with a long message",
        _then(Step.OPEN, lambda rogue: rogue.say("abort", error="declined", message="x" * 401)),
    )
    yield Case(
        "abort when all is done",
        _then(Step.PARTING, lambda rogue: rogue.say("abort", error="declined", message=EVIL)),
        (OK, DECLINED),
        arrives=WHOLE,
    )


