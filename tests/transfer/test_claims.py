"""What a receiver tells of what it has."""

from __future__ import annotations

import pytest

from p2pcopy.transfer import claims, held, wire
from p2pcopy.transfer.claims import Claims, messages
from p2pcopy.transfer.held import Digests, Held, told_cost
from p2pcopy.transfer.items import Useless
from p2pcopy.transfer.offer import Sizes
from p2pcopy.transfer.wire import Check

BLOCK = 4096


def there(entry: int, blocks: int, check: Check = Check.SAMPLE) -> Held:
    digests = Digests()
    digests.append(0, bytes(32 * blocks))
    return Held(entry, digests, check)


@pytest.fixture
def sizes() -> Sizes:
    sizes = Sizes(BLOCK)
    for _ in range(4):
        sizes.append(3 * BLOCK - 1)
    return sizes


def test_what_is_told_counts_until_it_is_closed(sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "AHEAD", told_cost(1) + 1)
    told = Claims()
    growth = [told.may_grow]
    assert told.add([there(0, 1), there(1, 3, Check.ONLY)], sizes) == ([there(0, 1), there(1, 3, Check.ONLY)], [])
    growth.append(told.may_grow)
    assert (told.is_only_compared(0), told.is_only_compared(1)) == (False, True)
    assert told.bytes_there == BLOCK
    told.end(1)
    growth.append(told.may_grow)
    assert growth == [True, False, True]
    assert not told.is_only_compared(1)
    assert told.bytes_there == BLOCK + 3 * BLOCK - 1
    told.start_over(0)
    assert told.bytes_there == 3 * BLOCK - 1
    told.give_up(0)
    assert told.bytes_there == 3 * BLOCK - 1


def test_what_is_too_much_starts_over(sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_HELD", told_cost(1) + told_cost(2))
    monkeypatch.setattr(claims, "MOST_OF_A_FILE", told_cost(2))
    told, beyond = Claims().add([there(0, 1), there(1, 3), there(2, 2), there(3, 1)], sizes)
    assert [file.entry for file in told] == [0, 2]
    assert [file.entry for file in beyond] == [1, 3]


def test_messages_are_in_the_order_of_the_protocol() -> None:
    blocks = wire.MAX_DIGESTS + 1
    told = list(messages([there(0, blocks), there(2, 1, Check.ALL)], [Useless(3, "x" * 500), Useless(1, "damaged")]))
    assert told == [
        wire.Have(0, 0, bytes(32 * wire.MAX_DIGESTS)),
        wire.Have(0, wire.MAX_DIGESTS, bytes(32)),
        wire.Have(2, 0, bytes(32), Check.ALL),
        wire.Over(1, "damaged"),
        wire.Over(3, "x" * wire.MAX_TEXT),
    ]
    costs = [len(each.digests) + held.HAVE_COST for each in told[:2] if isinstance(each, wire.Have)]
    assert sum(costs) == there(0, blocks).digests.cost
