"""Messages drawn from a feed: any type of msgspec's, with values at, in and beside its bounds."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from fuzz.feed import Feed

_FAR: Final = 2**53
_TEXTS: Final = ("", "a", "x" * 500, "\u00e9", "\u0000", "zstd", "../x", "a/b")
_MOST: Final = 4  # of a list
_DIGEST: Final = 32  # bytes


@cache
def described(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def drawn(kind: Any, feed: Feed) -> bytes:
    """As JSON, and nearly always legal."""
    return msgspec.json.encode(value(described(kind), feed))


def value(kind: inspect.Type, feed: Feed) -> Any:
    match kind:
        case inspect.UnionType():
            return value(feed.choice(kind.types), feed)
        case inspect.StructType(array_like=True):
            return [value(field.type, feed) for field in kind.fields]
        case inspect.StructType():
            made = {field.encode_name: value(field.type, feed) for field in kind.fields}
            return {kind.tag_field: kind.tag, **made} if kind.tag_field else made
        case inspect.EnumType():
            return feed.choice([member.value for member in kind.cls])
        case inspect.IntType():
            return number(kind, feed)
        case inspect.StrType(pattern=str()):
            return feed.choice(("0", "a")) * 64
        case inspect.StrType():
            return feed.choice(_TEXTS)
        case inspect.BytesType():
            count = feed.number(_MOST + 1)
            content = bytes([feed.number(256)]) * _DIGEST * count if count < _MOST else feed.chunk()
            return base64.b64encode(content).decode()
        case inspect.BoolType():
            return feed.flag()
        case inspect.TupleType():
            return [value(each, feed) for each in kind.item_types]
        case inspect.ListType():
            return [value(kind.item_type, feed) for _ in range(feed.number(_MOST))]
        case inspect.NoneType():
            return None
    raise TypeError(f"nothing is drawn for {kind}")


def number(kind: inspect.IntType, feed: Feed) -> int:
    least = kind.ge if kind.ge is not None else -_FAR
    most = kind.le if kind.le is not None else kind.lt - 1 if kind.lt is not None else _FAR
    pick = feed.number(256)
    match pick:
        case 255:
            return least - 1
        case 254:
            return most + 1
        case 253:
            return most
        case 252:
            return min(most, max(least, int.from_bytes(feed.take(8), "big")))
        case 251:
            return min(most, max(least, feed.number(65536)))
        case _:
            return min(most, max(least, pick))
