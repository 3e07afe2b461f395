"""A few cases of the matrix that `make networks` goes through as a whole."""

from __future__ import annotations

import pytest
from lab import Family, Lab, Nat, pasting
from lab.theory import Case, Has, Path, Servers, expected
from lab.turn import SECRET, Coturn

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

STUN = Servers(stun=True)


def lent(transport: str) -> Servers:
    return Servers(stun=True, transport=transport, turn=Has.OFFERING)


@pytest.mark.parametrize(
    ("lab", "servers", "pastes", "path"),
    [
        (Lab.between(Nat.ADDRESS_RESTRICTED, Nat.SYMMETRIC), STUN, 2, Path.DIRECT),
        (Lab.between(Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED), lent("udp"), 1, Path.DIRECT),
        (Lab.between(Nat.UDP_BLOCKED, Nat.SYMMETRIC), lent("tls"), 1, Path.RELAYED),
        (Lab.between(Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED, Family.IPV6), Servers(), 2, Path.DIRECT),
        (Lab.isolated(Nat.PORT_RESTRICTED), lent("tcp"), 1, Path.RELAYED),
    ],
    ids=str,
)
def test_what_can_connect_does_and_nothing_is_relayed_in_vain(
    lab: Lab, servers: Servers, pastes: int, path: Path
) -> None:
    case = Case(lab.layout, servers, pastes)
    assert expected(case) is path
    with lab, Coturn(Lab.SERVER, also=(Lab.SERVER6,), lab=lab, secret=SECRET) as server:
        result = pasting.run(lab, server, case)
    assert result.as_expected, result
    assert result.seconds < 15, result
