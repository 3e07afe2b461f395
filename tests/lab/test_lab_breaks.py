"""What is made of measured breaks. The real thing is in tests/e2e/test_e2e_breaks.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab import breaks, broken, late
from lab.broken import Broken, Way

CUT = Broken(
    broken.cut("a", 30),
    stalled_s=(2.5, 2.6),
    gap_s=(30.1, 30.2),
    back_s=(0.2, 0.3),
    sent=102,
    size=100,
    path="direct",
    twice=0.01,
)


def test_within_the_goals() -> None:
    assert CUT.good
    assert replace(CUT, case=broken.cut("a", 1), stalled_s=(None, None), back_s=(None, None)).good
    assert replace(CUT, case=broken.stopped("a", 30), stalled_s=(30.0, 2.5)).good


@pytest.mark.parametrize(
    "worse",
    [
        {"stalled_s": (None, 2.5)},
        {"stalled_s": (3.1, 2.5)},
        {"back_s": (0.1, 3.1)},
        {"twice": 0.021},
        {"trouble": "exit codes [6, 6]"},
        {"case": broken.stopped("b", 30), "stalled_s": (30.0, 2.5)},
    ],
    ids=lambda worse: next(iter(worse)),
)
def test_what_is_not(worse: dict[str, object]) -> None:
    result = replace(CUT, **worse)  # type: ignore[arg-type]
    assert not result.good
    assert f"| **{result.case.what}** |" in broken.table([result])[-1]


def test_sent_twice_is_what_the_undisturbed_did_not_send() -> None:
    nothing = [replace(CUT, case=broken.undisturbed(Way.NATS), sent=sent) for sent in (102, 101)]
    *_, cut, relayed = broken.compared([*nothing, replace(CUT, sent=104), replace(CUT, path="relayed", sent=103)])
    assert cut.twice == pytest.approx(0.03)
    assert relayed.twice != cut.twice


def test_late_answers() -> None:
    good = late.Late(300, (0.04, 0.05), (0.0, 0.0005))
    assert good.good
    assert late.table([good])[-1] == "| 5 min | 0.04 s | 0.05 s | 0.00 % | 0.05 % |"
    for bad in (replace(good, connected_s=(0.1, 1.1)), replace(good, cpu=(0.0, 0.01)), replace(good, trouble="none")):
        assert not bad.good
        assert "**" in late.table([bad])[-1]


def test_a_section_is_replaced_and_made_where_it_is_not() -> None:
    page = breaks.inserted("# Networks\n", "late", "old\n")
    assert page.startswith("# Networks\n\n## Late answers\n")
    page = breaks.inserted(breaks.inserted(page, "breaks", "table\n"), "late", "new\n")
    assert "old" not in page
    assert page.index("new") < page.index("## Breaks") < page.index("table")
