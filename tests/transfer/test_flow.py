"""Credit on both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.errors import ProtocolError
from p2pcopy.transfer.flow import ITEM_COST, ReceiveWindow, SendCredit, cost

KIB = 1024


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
    window = ReceiveWindow(100, 100)
    window.take(100)
    with pytest.raises(ProtocolError):
        window.take(1)


def test_what_did_not_come_cannot_be_consumed() -> None:
    window = ReceiveWindow(100, 100)
    window.take(10)
    with pytest.raises(ValueError, match="11 bytes consumed, 10 held"):
        window.consume(11, 0.0, 0.0)


def test_a_limit_is_told_when_a_quarter_of_the_window_is_free_again() -> None:
    window = ReceiveWindow(100, 100)
    window.take(100)
    window.consume(24, 0.0, 0.0)
    assert window.announce() is None
    assert window.announce(always=True) == 124
    window.consume(25, 0.0, 0.0)
    assert window.announce() == 149
    assert window.announce(always=True) is None


@pytest.mark.parametrize(
    ("rtt_s", "rate", "window"),
    [
        (0.1, 100 * KIB, 64 * KIB),  # a slow disk
        (0.1, 1000 * KIB, 200 * KIB),  # two round trips' worth
        (0.5, 10_000 * KIB, 1024 * KIB),  # the most there may be
        (0.0, 10_000 * KIB, 1000 * KIB),  # no less than 50 ms count
    ],
)
def test_the_window_follows_what_is_consumed_in_a_round_trip(rtt_s: float, rate: int, window: int) -> None:
    receive = ReceiveWindow(64 * KIB, 1024 * KIB)
    now = 0.0
    for _ in range(400):
        receive.take(min(rate // 100, receive.limit - receive.received))
        receive.consume(receive.held, now, rtt_s)
        receive.announce(always=True)
        now += 0.01
    assert receive.window == pytest.approx(window, rel=0.15)


@given(
    st.integers(1, 10_000),
    st.integers(1, 100_000),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 20_000), st.floats(0, 1), st.booleans()), max_size=50),
)
def test_what_is_held_never_exceeds_the_largest_window(
    first: int, more: int, steps: list[tuple[int, int, float, bool]]
) -> None:
    credit, receive, now = SendCredit(), ReceiveWindow(first, first + more), 0.0
    credit.grant(receive.limit)
    for send, consume, wait, always in steps:
        now += wait
        sent = min(send, credit.available)
        credit.spend(sent)
        receive.take(sent)
        receive.consume(min(consume, receive.held), now, 0.1)
        limit = receive.announce(always=always)
        if limit is not None:
            credit.grant(limit)
        assert 0 <= receive.held <= receive.window <= first + more
        assert receive.held + credit.available <= first + more
