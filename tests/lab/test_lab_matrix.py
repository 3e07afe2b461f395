"""What the theory says, and what the matrix makes of results. The real thing is in tests/e2e/test_e2e_matrix.py."""

from __future__ import annotations

import dataclasses

import pytest

from lab import matrix
from lab.kinds import Family, Layout, Nat, Shape, Site
from lab.pasting import Result
from lab.theory import ALL_SERVERS, Case, Has, Path, Servers, expected

NONE, STUN = Servers(), Servers(stun=True)
N, F, A, P, S, U = Nat


def turn(transport: str, has: Has) -> Servers:
    return Servers(stun=True, transport=transport, turn=has)


def case(a: Nat, b: Nat, servers: Servers, pastes: int, family: Family = Family.IPV4) -> Case:
    return Case(Layout(Site(a, family), Site(b, family)), servers, pastes)


def who_is_direct(servers: Servers, pastes: int, family: Family = Family.IPV4) -> set[tuple[Nat, Nat]]:
    return {(a, b) for a in Nat for b in Nat if expected(case(a, b, servers, pastes, family)) is Path.DIRECT}


WITH_UDP = (N, F, A, P, S)


def test_without_servers_one_side_has_to_be_public_and_known() -> None:
    assert who_is_direct(NONE, 1) == {(N, b) for b in WITH_UDP}
    assert who_is_direct(NONE, 2) == {(a, b) for a in WITH_UDP for b in WITH_UDP if N in (a, b)}


def test_with_stun_one_paste_needs_an_offering_side_that_is_open() -> None:
    assert who_is_direct(STUN, 1) == {(a, b) for a in (N, F) for b in WITH_UDP}


def test_with_stun_and_two_pastes_only_symmetric_ones_do_not_meet() -> None:
    apart = {(S, S), (S, P), (P, S)}
    assert who_is_direct(STUN, 2) == {(a, b) for a in WITH_UDP for b in WITH_UDP} - apart


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("has", [Has.OFFERING, Has.BOTH])
def test_one_paste_is_enough_where_the_offering_side_has_a_relay(transport: str, has: Has) -> None:
    for a in Nat:
        for b in Nat:
            one, two = (expected(case(a, b, turn(transport, has), pastes)) for pastes in (1, 2))
            assert one is two
            assert (one is Path.NONE) is (transport == "udp" and a is U)
            assert (one is Path.DIRECT) is ((a, b) in who_is_direct(STUN, 2))


@pytest.mark.parametrize(
    ("a", "b", "transport", "pastes", "path"),
    [
        (P, S, "udp", 1, Path.NONE),
        (P, S, "udp", 2, Path.RELAYED),
        (S, S, "tls", 2, Path.RELAYED),
        (P, P, "udp", 1, Path.NONE),
        (P, P, "udp", 2, Path.DIRECT),
        (F, U, "udp", 2, Path.NONE),
        (F, U, "tcp", 1, Path.RELAYED),
        (S, U, "tcp", 1, Path.NONE),
        (S, U, "tcp", 2, Path.RELAYED),
        (U, F, "tls", 2, Path.NONE),
    ],
)
def test_a_relay_of_the_answering_side_does_not_travel(a: Nat, b: Nat, transport: str, pastes: int, path: Path) -> None:
    assert expected(case(a, b, turn(transport, Has.ANSWERING), pastes)) is path


def test_ipv6_needs_no_stun_and_a_firewall_is_no_nat() -> None:
    assert who_is_direct(NONE, 1, Family.IPV6) == {(N, b) for b in WITH_UDP}
    assert who_is_direct(NONE, 2, Family.IPV6) == {(a, b) for a in WITH_UDP for b in WITH_UDP}
    assert expected(case(S, S, NONE, 2, Family.DUAL)) is Path.DIRECT
    assert expected(case(S, S, turn("udp", Has.OFFERING), 1, Family.DUAL)) is Path.DIRECT
    assert expected(case(U, U, STUN, 2, Family.DUAL)) is Path.NONE
    assert expected(case(U, P, turn("tls", Has.BOTH), 1, Family.IPV6)) is Path.RELAYED


def test_hosts_behind_one_nat() -> None:
    for servers in ALL_SERVERS:
        assert expected(Case(Layout(Site(U), Site(U), Shape.TOGETHER), servers, 1)) is Path.LOCAL
    isolated = Layout(Site(F), Site(F), Shape.ISOLATED)
    assert expected(Case(isolated, STUN, 2)) is Path.NONE
    assert expected(Case(isolated, turn("udp", Has.OFFERING), 1)) is Path.RELAYED


def test_the_matrix_has_every_ordered_pair_with_all_servers() -> None:
    cases = list(matrix.all_cases())
    assert len(cases) == len(set(cases)) == (36 + len(matrix.SPECIAL)) * 11 * 2
    assert len({str(each) for each in cases}) == len(cases)


AS_EXPECTED = Result(case(P, P, STUN, 2), Path.DIRECT, Path.DIRECT, 0.14)
UPGRADED = Result(case(P, P, turn("udp", Has.BOTH), 2), Path.DIRECT, Path.RELAYED, 1.6)
NO_WAY = Result(case(S, P, STUN, 2), Path.NONE, Path.NONE, 0.0)
RELAYED_IN_VAIN = Result(case(N, P, turn("tls", Has.BOTH), 2), Path.RELAYED, Path.RELAYED, 3.2)
BROKEN = dataclasses.replace(AS_EXPECTED, trouble="exit codes [1, 6]")


def test_a_cell_says_what_happened_and_is_bold_where_it_should_not_have() -> None:
    results = (AS_EXPECTED, UPGRADED, NO_WAY, RELAYED_IN_VAIN, BROKEN)
    assert [each.as_expected for each in results] == [True, True, True, False, False]
    assert [matrix.cell(each) for each in results] == [
        "direct 0.1", "direct 1.6 ↑", "–", "**relayed 3.2**", "**failed**",
    ]  # fmt: skip
    assert matrix.told(RELAYED_IN_VAIN).endswith("**relayed 3.2**  <-- direct expected")
    assert matrix.told(BROKEN).endswith("(exit codes [1, 6])")


def test_a_report_has_a_table_for_each_number_of_pastes_and_lists_what_is_wrong() -> None:
    special = Result(Case(matrix.SPECIAL[0], STUN, 1), Path.NONE, Path.NONE, 0.0)
    text = matrix.report([AS_EXPECTED, UPGRADED, NO_WAY, RELAYED_IN_VAIN, special], 61)
    assert text.startswith("5 cases, 4 as expected, in 1 minutes on ")
    assert "3 connected, the median 1.6 s after the last paste, the slowest 3.2 s; 1 took more than 3 s." in text
    assert (
        "### Pairs of NATs, two pastes\n\n| offering, answering | stun | udp both | tls both |\n|---|---|---|---|\n"
        in text
    )
    assert "| port-restricted, port-restricted | direct 0.1 | direct 1.6 ↑ |  |" in text
    assert "| isolated behind one port-restricted NAT | – |" in text
    assert "### Not as expected\n\n- a=none b=port-restricted, tls both, 2 pastes: **relayed 3.2**" in text
    assert "Nothing connected." in matrix.report([NO_WAY], 1)


def test_tables_go_between_the_markers_of_the_page() -> None:
    page = f"before\n{matrix.BEGIN}\nold\n{matrix.END}\nafter\n"
    assert matrix.inserted(page, "new\n") == f"before\n{matrix.BEGIN}\nnew\n{matrix.END}\nafter\n"
    assert matrix.BEGIN in matrix.PAGE.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="has no"):
        matrix.inserted("no markers", "new")
