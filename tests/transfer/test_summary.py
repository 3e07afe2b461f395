"""A manifest in numbers."""

from __future__ import annotations

from p2pcopy.events import ManifestLine, Mark
from p2pcopy.transfer.summary import SHOWN, Summary
from p2pcopy.transfer.wire import Entry, Kind


def test_everything_is_counted_and_the_first_lines_are_kept() -> None:
    summary = Summary("out", "skip")
    summary.add(
        [Entry(Kind.DIRECTORY, "d"), Entry(Kind.LINK, "d/l", target="f"), Entry(Kind.FILE, "d/f", 7)],
        [Mark.NEW, Mark.NEW, Mark.EXISTS],
    )
    summary.add([Entry(Kind.FILE, "stream", None)])
    summary.add(
        [Entry(Kind.FILE, f"d/{number}", 1) for number in range(SHOWN)],
        [Mark.NEW, Mark.EXISTS, Mark.SAME, *[Mark.NEW] * (SHOWN - 6), Mark.STALE, Mark.BEGUN, Mark.COMPARED],
    )
    manifest = summary.manifest()
    assert (manifest.files, manifest.directories, manifest.links) == (2 + SHOWN, 1, 1)
    assert (manifest.bytes, manifest.streams, manifest.existing, manifest.same) == (7 + SHOWN, 1, 3, 1)
    assert (manifest.destination, manifest.policy) == ("out", "skip")
    assert len(manifest.entries) == SHOWN
    assert manifest.entries[2] == ManifestLine("d/f", "file", 7, Mark.EXISTS)
    assert manifest.entries[3] == ManifestLine("stream", "file", None)
    assert [line.path for line in manifest.entries if line.status is Mark.EXISTS] == ["d/f", "d/1"]
    assert [line.path for line in manifest.entries if line.status is Mark.SAME] == ["d/2"]
