"""What a sender sends: blocks, ends and faults that do not fit, damage, and bombs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import zstandard

from hostile import nonsense
from hostile.case import INTEGRITY, OK, Case, Play, Receiving
from hostile.forging import (
    BLOCK,
    blocks,
    digest,
    directory,
    end,
    entry,
    fault,
    file,
    file_digest,
    piece,
    total,
    whole,
)
from hostile.rogue import FILES, WHOLE, A, B, Rogue, Step
from hostile.senders import then
from p2pcopy.config import MIB, TransferLimits


def cases() -> Iterator[Case]:
    yield from _data()
    yield from _damage()
    yield from _bombs()


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
        "pieces with and without compression": [
            *pieces((0, 10)),
            piece(1, 0, b"x", size=BLOCK, of=BLOCK, offset=10, flags=1),
        ],
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
            then(Step.ACCEPTED, lambda rogue, messages=messages: rogue.throw(*messages)),  # type: ignore[misc]
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
                    piece(
                        1,
                        number,
                        content[at : at + step],
                        size=len(content),
                        of=len(content),
                        offset=at,
                        check=digest(content),
                    )
                    for at in reversed(range(0, len(content), step))
                )
            )
        rogue.throw(*whole(2, 0, B))
        await rogue.part()

    yield Case("data: in any order", any_order, (OK,), arrives=WHOLE, really=True)

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

    yield Case("data: beyond all credit", no_credit, really=True)

    async def tiny_pieces(rogue: Rogue) -> None:
        """A record for each byte: what they cost is what is kept of them."""
        await rogue.greet(block_size=2 * MIB)
        rogue.offer([entry(path=f"{number}", size=2 * MIB) for number in range(40)])
        await rogue.accepted(40)

        def messages() -> Iterator[bytes]:
            for index in range(40):
                for start in range(1, 2 * MIB, 1000):
                    yield b"".join(
                        piece(index, 0, b"x", size=2 * MIB, of=2 * MIB, offset=at) for at in range(start, start + 1000)
                    )

        await rogue.pour(messages())

    yield Case("data: a record for each byte", tiny_pieces, really=True)

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

    yield Case("data: 5000 files begun at once", many_really_open, really=True)

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
        really=True,
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
        check = digest(digest(content))
        rogue.throw(end(1, content, blocks=1, check=check))
        rogue.send_files({2: B})
        rogue.end({}, files=2, bytes=size + len(B), digest=total({1: check, 2: file_digest(B)}))
        await rogue.part()

    return play


def _damage() -> Iterator[Case]:
    block = bytes(BLOCK)

    def wrong() -> list[bytes]:
        return [piece(1, 0, block, check=digest(b"another"))]

    yield Case(
        "damage: a digest that never fits", _insisting(wrong, BLOCK), (INTEGRITY,), arrives={"tree/b": B}, really=True
    )
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

    yield Case("damage: everywhere", many, (INTEGRITY,), really=True)

    async def wrong_file(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ACCEPTED)
        rogue.throw(*list(file(1, A))[:-1], end(1, A, check=bytes(32)))
        rogue.send_files({2: B})
        rogue.end(FILES, digest=total({1: bytes(32), 2: file_digest(B)}))
        await rogue.part()

    yield Case(
        "damage: a file that is not the sum of its blocks", wrong_file, (INTEGRITY,), arrives={"tree/b": B}, really=True
    )

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
        rogue.end({}, files=1, bytes=size, digest=total({0: digest(check)}))
        await rogue.part()

    yield Case("frame that is as it should be", honest, (OK,), arrives={"a": content})
