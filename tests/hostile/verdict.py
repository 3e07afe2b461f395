"""What has to be true of every victim afterwards."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from trees import Facts, facts, make, noise

from hostile.case import OURS, Case, Outcome, Sending
from hostile.rogue import A, B

LARGE = noise(6 * 1024 * 1024)
MOST_SAID = 100_000
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Scene:
    """The directory in which a victim is attacked, with things around it that nobody may touch."""

    def __init__(self, case: Case, work: Path) -> None:
        self._case = case
        self._work = work
        make(work / "beside" / "secret", OURS)
        make(work / "beside" / "directory" / "file", OURS, mode=0o600)
        (work / "beside" / "link").symlink_to("secret")
        if isinstance(case.victim, Sending):
            make(work / "tree" / "a", A)
            make(work / "tree" / "b", B)
            make(work / "tree" / "large", LARGE if case.victim.large else LARGE[:100])
            (work / "tree" / "empty").mkdir()
        case.prepare(work)
        self._around = self._outside()
        self._inside = facts(work / "out", directory_times=False) if (work / "out").exists() else {}

    def _outside(self) -> dict[bytes, Facts]:
        return {path: each for path, each in facts(self._work).items() if path.split(b"/")[0] != b"out"}

    def check(self, outcome: Outcome) -> None:
        """Fails for whatever the peer has achieved."""
        case = self._case
        assert outcome.exit_code in case.codes, f"exit code {outcome.exit_code}: {outcome.said[-2000:]}"
        assert "Traceback" not in outcome.said, outcome.said
        assert not escapes(outcome.said), f"unescaped: {escapes(outcome.said)} in {outcome.said!r}"
        assert len(outcome.said) < MOST_SAID, outcome.said[:2000]
        assert self._outside() == self._around, "something outside of the destination was touched"
        self._check_destination()
        assert outcome.seconds <= case.seconds
        assert outcome.peak <= case.memory, f"{outcome.peak / 1e6:.0f} MB"

    def _check_destination(self) -> None:
        out = self._work / "out"
        if not out.is_dir():
            return
        for path, fact in facts(out, directory_times=False).items():
            if fact == self._inside.get(path) or _is_part(path):
                continue
            if fact.kind == "link" and not self._case.traps:
                assert _leads_inside(out, path), f"{path!r} leads out, to {fact.content!r}"
            if fact.kind != "file":
                continue
            name = os.fsdecode(path)
            content = (out / name).read_bytes()
            assert content == self._case.arrives.get(name), f"{len(content)} bytes under the final name {name!r}"
        kept = [path for path, fact in self._inside.items() if fact.kind != "directory" and not _is_part(path)]
        for path in kept:
            assert os.path.lexists(os.path.join(os.fsencode(out), path)), f"{path!r} is gone"


def _is_part(path: bytes) -> bool:
    return path.endswith((b".p2pcopy-part", b".p2pcopy-journal"))


def _leads_inside(out: Path, path: bytes) -> bool:
    root = os.path.realpath(os.fsencode(out))
    return os.path.realpath(os.path.join(root, path)).startswith(root + b"/")


def escapes(text: str) -> list[str]:
    """What text holds that could move a cursor or turn a line around."""
    control = {each for each in text if each != "\n" and unicodedata.category(each) in ("Cc", "Zl", "Zp")}
    return sorted(control | set(_BIDI.findall(text)))
