"""Messages about the connection itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.config import IceServer
from p2pcopy.errors import ProtocolError
from p2pcopy.net import link
from p2pcopy.signaling.candidates import Candidate

SOME = (Candidate("host", "192.0.2.1", 4000), Candidate("relay", "2001:db8::1", 4001))


def test_what_goes_out_is_what_the_specification_says() -> None:
    assert link.encode(link.addresses(SOME)) == (
        b'{"type":"addresses","candidates":[["host","192.0.2.1",4000],["relay","2001:db8::1",4001]]}'
    )
    assert link.encode(link.Ready()) == b'{"type":"ready"}'
    assert link.encode(link.Confirming()) == b'{"type":"confirming"}'
    assert link.encode(link.Declined()) == b'{"type":"declined"}'


def test_servers_are_few_and_their_texts_are_bounded() -> None:
    told = link.Servers(
        [("turn:192.0.2.1", "user", "x" * 513), ("turn:192.0.2.2", "user", "word"), ("turn:192.0.2.3", "", "")]
    )
    assert link.servers(told) == (IceServer("turn:192.0.2.2", "user", "word"),)
    assert link.decode(link.encode(told)) == told


@pytest.mark.parametrize("message", [link.addresses(SOME), link.Ready(), link.Confirming(), link.Declined()])
def test_what_goes_out_comes_in(message: link.Message) -> None:
    assert link.decode(link.encode(message)) == message


def test_only_legal_addresses_count_and_not_too_many() -> None:
    told = link.Addresses(
        [
            ("host", "192.0.2.1", 4000),
            ("prflx", "192.0.2.2", 1),
            ("host", "nonsense", 1),
            ("host", "224.0.0.1", 1),
            ("host", "192.0.2.3", 70000),
            *[("srflx", "192.0.2.4", port) for port in range(1, 50)],
        ]
    )
    found = link.candidates(told)
    assert found[0] == SOME[0]
    assert len(found) == link.MAX_CANDIDATES - 4


def test_what_a_later_version_says_is_passed_over() -> None:
    assert link.decode(b'{"type":"weather","sunny":true}') is None
    assert link.decode(b'{"type":"addresses","candidates":7}') is None


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"type":"ready"}' + b" " * 5000])
def test_nonsense_is_a_breach(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        link.decode(data)


@given(st.binary(max_size=200) | st.from_regex(rb'\{"type":"[a-z]{5,9}"(,"candidates":.{0,40})?\}', fullmatch=True))
def test_nothing_else_is_raised(data: bytes) -> None:
    try:
        message = link.decode(data)
    except ProtocolError:
        return
    if isinstance(message, link.Addresses):
        link.candidates(message)
