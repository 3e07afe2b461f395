"""What a sender offers: names that escape or deceive, and links that lead out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hostile.case import DECLINED, INTEGRITY, LOCAL, OK, PROTOCOL, Case, Play, Receiving
from hostile.forging import (
    BLOCK,
    Entry,
    Json,
    directory,
    entry,
    fault,
    link,
    raw,
)
from hostile.rogue import FILES, TREE, WHOLE, B, Rogue
from p2pcopy.config import Existing


def cases() -> Iterator[Case]:
    yield from _names()
    yield from _nasty_names()
    yield from _links()


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
        yield Case(f"shown: {name}", sending(line), (OK,), arrives={arrives: B}, really=really, options=verbose)
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
            _send_what_is_taken,
            (LOCAL, DECLINED, INTEGRITY, PROTOCOL),
            Receiving(policy),
            prepare=linked,
            really=policy is Existing.REPLACE,
        )
    yield Case(
        "link: one at the destination in place of a file is replaced itself",
        _send_what_is_taken,
        (OK,),
        prepare=linked_file,
        arrives=WHOLE,
    )
    yield Case(
        "link: part files that are links",
        _send_what_is_taken,
        (LOCAL,),
        prepare=linked_part,
        arrives=WHOLE,
        really=True,
    )


async def _send_what_is_taken(rogue: Rogue) -> None:
    """An honest sender: the receiver skips some of the files, or fails them."""
    await rogue.greet()
    rogue.offer(TREE)
    taken = dict(FILES)
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
