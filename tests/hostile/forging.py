"""Control messages and records with anything in them, and the parts that honest ones are made of (docs/protocol.md)."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from blake3 import blake3

BLOCK = 65536
ZERO = bytes(32)
PIECE_HEAD = 26

Json = Any
Entry = list[Json]


def message(kind: str, **fields: Json) -> bytes:
    """A control message. Half characters (surrogates) become escapes, as JSON has them."""
    return json.dumps({"type": kind, **fields}).encode()


def entry(
    kind: str = "f",
    path: Json = "tree/a",
    size: Json = 0,
    mode: Json = 0o644,
    s: Json = 0,
    ns: Json = 0,
    target: Json = "",
) -> Entry:
    """A line of a manifest."""
    return [kind, path, size, mode, s, ns, target]


def directory(path: Json = "tree") -> Entry:
    return entry("d", path, mode=0o755)


def link(path: Json, target: Json) -> Entry:
    return entry("l", path, mode=0o777, target=target)


def raw(name: bytes) -> Json:
    """A name in bytes."""
    import base64

    return {"base64": base64.b64encode(name).decode()}


def digest(content: bytes) -> bytes:
    return blake3(content).digest()


def blocks(content: bytes) -> list[bytes]:
    return [content[start : start + BLOCK] for start in range(0, len(content), BLOCK)]


def file_digest(content: bytes) -> bytes:
    return digest(b"".join(map(digest, blocks(content))))


def total(files: dict[int, bytes]) -> str:
    """Over the digests of files, by index."""
    numbers = (int.from_bytes(digest(struct.pack("!I", index) + each)) for index, each in files.items())
    return f"{sum(numbers) % 2**256:064x}"


def piece(
    index: int,
    block: int,
    body: bytes,
    *,
    size: int | None = None,
    of: int | None = None,
    offset: int = 0,
    length: int | None = None,
    flags: int = 0,
    check: bytes | None = None,
) -> bytes:
    """A record with a part of a block. size: of the block in the file; of: of its body; check: its digest, if not the right one."""
    head = struct.pack(
        "!BBIIIIII",
        1,
        flags,
        index,
        block,
        len(body) if size is None else size,
        len(body) if of is None else of,
        offset,
        len(body) if length is None else length,
    )
    return head + ((digest(body) if check is None else check) if offset == 0 else b"") + body


def whole(index: int, block: int, content: bytes) -> list[bytes]:
    """The data messages of a block, each of one piece."""
    most = 200_000
    return [
        piece(
            index, block, content[at : at + most], size=len(content), of=len(content), offset=at, check=digest(content)
        )
        for at in range(0, len(content), most)
    ]


def end(index: int, content: bytes, **lies: Json) -> bytes:
    """The end record of a file. lies: flags, blocks, size, check."""
    honest = {"flags": 0, "blocks": len(blocks(content)), "size": len(content), "check": file_digest(content)} | lies
    return struct.pack("!BBIIQ32s", 2, honest["flags"], index, honest["blocks"], honest["size"], honest["check"])


def fault(index: int, reason: int = 1) -> bytes:
    return struct.pack("!BBI", 3, reason, index)


def file(index: int, content: bytes) -> Iterator[bytes]:
    """All data messages of a file."""
    for number, block in enumerate(blocks(content)):
        yield from whole(index, number, block)
    yield end(index, content)
