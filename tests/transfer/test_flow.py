"""Credit on both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.errors import ProtocolError
from p2pcopy.transfer.flow import ITEM_COST, ReceiveWindow, SendCredit, cost


def test_every_item_costs_more_than_its_bytes() -> None:
    assert cost(100, 3) == 100 + 3 * ITEM_COST


def test_credit_is_spent_and_granted_as_a_running_total() -> None:
    credit = SendCredit()
    credit.grant(100)
    credit.spend(60)
    assert credit.available == 40
    credit.grant(150)
    assert credit.available == 90


def test_credit_is_never_taken_back() -> None:
    credit = SendCredit()
    credit.grant(100)
    with pytest.raises(ProtocolError):
        credit.grant(99)


def test_nothing_is_sent_without_credit() -> None:
    credit = SendCredit()
    credit.grant(10)
    with pytest.raises(ValueError, match="11 bytes sent with a credit of 10"):
        credit.spend(11)


def test_a_peer_that_sends_without_credit_is_found_out() -> None:
    window = ReceiveWindow(100)
    window.take(100)
    with pytest.raises(ProtocolError):
        window.take(1)


def test_what_did_not_come_cannot_be_consumed() -> None:
    window = ReceiveWindow(100)
    window.take(10)
    with pytest.raises(ValueError, match="11 bytes consumed, 10 held"):
        window.consume(11)


def test_a_limit_is_told_when_an_eighth_of_the_window_is_free_again() -> None:
    window = ReceiveWindow(100)
    window.take(100)
    window.consume(11)
    assert window.announce() is None
    assert window.announce(always=True) == 111
    window.consume(12)
    assert window.announce() == 123
    assert window.announce(always=True) is None


@given(
    st.integers(1, 100_000),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 20_000), st.booleans()), max_size=50),
)
def test_what_is_held_and_what_may_come_never_exceed_the_window(size: int, steps: list[tuple[int, int, bool]]) -> None:
    credit, receive = SendCredit(), ReceiveWindow(size)
    credit.grant(receive.limit)
    for send, consume, always in steps:
        sent = min(send, credit.available)
        credit.spend(sent)
        receive.take(sent)
        receive.consume(min(consume, receive.held))
        limit = receive.announce(always=always)
        if limit is not None:
            credit.grant(limit)
        assert receive.held >= 0
        assert receive.held + credit.available <= size
