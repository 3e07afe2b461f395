"""Another program on the receiver's machine, in league with the sender or not: it moves directories away and puts symbolic links
in their place while files arrive. Whatever becomes of the files, nothing may be written where the links lead.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile.case import INTEGRITY, LOCAL, OK, OURS, PROTOCOL, Case, Play
from hostile.forging import BLOCK, blocks, directory, end, entry, link, whole
from hostile.rogue import A, B, Rogue

_ANY = (OK, LOCAL, INTEGRITY, PROTOCOL)
_ENTRIES = [
    directory(),
    directory("tree/below"),
    entry(path="tree/a", size=len(A)),
    entry(path="tree/below/b", size=len(B)),
    link("tree/below/link", "../a"),
]
_FILES = {2: A, 3: B}
_ARRIVES = {
    f"{top}/{path}": content
    for top in ("tree", "moved", "tree/tree")
    for path, content in {"a": A, "below/b": B, "b": B, "moved/b": B}.items()
} | {"tree/moved/b": B, "moved/moved/b": B, "moved/below/b": B}

Act = Callable[[Path], None]


def _swap_tree(out: Path) -> None:
    (out / "tree").rename(out / "moved")
    (out / "tree").symlink_to("../beside")


def _swap_below(out: Path) -> None:
    (out / "tree" / "below").rename(out / "tree" / "moved")
    (out / "tree" / "below").symlink_to("../../beside")


def _swap_part(out: Path) -> None:
    part = out / "tree" / ".a.p2pcopy-part"
    part.rename(out / "tree" / "moved.p2pcopy-part")
    part.symlink_to("../../beside/secret")


def _swap_part_for_hard_link(out: Path) -> None:
    part = out / "tree" / ".a.p2pcopy-part"
    part.unlink()
    part.hardlink_to(out.parent / "beside" / "secret")


def _take_name(out: Path) -> None:
    (out / "tree" / "a").symlink_to("../../beside/secret")


def _take_journal(out: Path) -> None:
    journal = out / "tree" / ".a.p2pcopy-journal"
    journal.unlink(missing_ok=True)
    journal.symlink_to("../../beside/secret")


def _take_link(out: Path) -> None:
    (out / "tree" / "below" / "link").symlink_to("../../../beside")
    (out / "tree" / "below" / ".link.p2pcopy-part").symlink_to("../../../beside/secret")


def _replace_below_by_file(out: Path) -> None:
    (out / "tree" / "below").rename(out / "tree" / "moved")
    (out / "tree" / "below").write_bytes(OURS)


def cases() -> Iterator[Case]:
    acts: dict[str, Act] = {
        "the top directory": _swap_tree,
        "the directory below": _swap_below,
        "the part file": _swap_part,
        "the part file, for a hard link": _swap_part_for_hard_link,
        "the final name": _take_name,
        "the journal": _take_journal,
        "the name of a link": _take_link,
        "a directory, for a file": _replace_below_by_file,
    }
    for (name, act), when in ((pair, when) for pair in acts.items() for when in ("before", "amid", "after")):
        if ("part" in name and when != "amid") or (act is _take_name and when == "after"):
            continue
        yield Case(
            f"race: {name}, {when} the data",
            _playing(act, when),
            _ANY,
            arrives=_ARRIVES | {"tree/below": OURS},
            traps=True,
            really=name == "the directory below",
        )
    yield Case(
        "race: all the time",
        _all_the_time,
        _ANY,
        arrives={f"tree/below/{n}": B for n in range(400)},
        traps=True,
        really=True,
    )


def _playing(act: Act, when: str) -> Play:
    async def play(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer(_ENTRIES)
        await rogue.accepted(len(_ENTRIES))
        await rogue.until((rogue.out / "tree" / "below").exists)
        if when == "before":
            act(rogue.out)
        first, *rest = blocks(A)
        rogue.throw(*whole(2, 0, first))
        if when == "amid":
            await rogue.until(lambda: rogue.stored >= BLOCK)
            act(rogue.out)
        for number, block in enumerate(rest, 1):
            rogue.throw(*whole(2, number, block))
        rogue.throw(end(2, A), *whole(3, 0, B), end(3, B))
        if when == "after":
            await rogue.hear("results")
            act(rogue.out)
        rogue.end(_FILES)
        await rogue.part()

    return play


async def _all_the_time(rogue: Rogue) -> None:
    """A thread swaps the directory for a link and back, as fast as it can, while hundreds of files arrive in it."""
    count = 400
    entries = [
        directory(),
        directory("tree/below"),
        *(entry(path=f"tree/below/{n}", size=len(B)) for n in range(count)),
    ]
    await rogue.greet()
    rogue.offer(entries)
    await rogue.accepted(len(entries))
    await rogue.until((rogue.out / "tree" / "below").exists)
    below, moved, trap = (rogue.out / "tree" / name for name in ("below", "moved", "trap"))
    trap.symlink_to("../../beside")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            os.rename(below, moved)
            os.rename(trap, below)
            os.rename(below, trap)
            os.rename(moved, below)

    thread = threading.Thread(target=swap, daemon=True)
    thread.start()
    try:
        for index in range(2, 2 + count):
            rogue.throw(*whole(index, 0, B), end(index, B))
            if index % 50 == 0:
                await rogue.until(lambda: rogue.stored)
        rogue.end(dict.fromkeys(range(2, 2 + count), B))
        await rogue.hear("done")
    finally:
        over.set()
        thread.join(10)
    rogue.say("bye")
    await rogue.hear("bye")
