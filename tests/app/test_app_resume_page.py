"""docs/resume.md holds: the journal on the page is one, and its numbers are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

from blake3 import blake3

from p2pcopy.config import MIB
from p2pcopy.files import journal
from p2pcopy.files.journal import Identity
from p2pcopy.files.journalfile import Journaling
from p2pcopy.files.plain import MAX_NAME_BYTES, journal_name, part_name

PAGE = (Path(__file__).parents[2] / "docs" / "resume.md").read_text(encoding="utf-8")
CONTENT = (bytes(range(251)) * 33)[:8202]


def test_the_journal_of_the_page() -> None:
    lines = re.findall(r"^[0-9a-f]{80,}$", PAGE, re.MULTILINE)
    assert [len(line) // 2 for line in lines] == [journal.HEADER_SIZE, *[journal.RECORD_SIZE] * 3]
    found = journal.decode(bytes.fromhex("".join(lines)))
    header = found.header
    assert (header.size, header.mtime_ns, header.block_size) == (8202, 1_700_000_000_123_456_789, 4096)
    assert (header.part, header.nonce) == (Identity(424242, (1_700_000_001, 5)), bytes(range(16)))
    assert found.synced == {1: blake3(CONTENT[4096:8192]).digest()}
    assert found.written == {2: blake3(CONTENT[8192:]).digest()}


def test_the_fields_of_the_page() -> None:
    sizes = [int(size) for size in re.findall(r"^\| (?:header |record |)\| (\d+) \|", PAGE, re.MULTILINE)]
    assert sum(sizes[:9]) == journal.HEADER_SIZE
    assert sum(sizes[9:]) == journal.RECORD_SIZE


def test_the_numbers_of_the_page() -> None:
    settings = Journaling()
    assert f"has {settings.from_size // MIB} MiB or more" in PAGE
    assert f"Every {settings.sync_bytes // MIB} MiB or {settings.sync_s:.0f} s" in PAGE
    assert f"at most {journal.MAX_BLOCKS:,} blocks" in PAGE
    assert (part_name("NAME"), journal_name("NAME")) == (".NAME.p2pcopy-part", ".NAME.p2pcopy-journal")
    assert f"longer than {MAX_NAME_BYTES} bytes" in PAGE
    assert re.fullmatch(r"\.[0-9a-f]{40}\.p2pcopy-part\.p2pcopy-journal", journal_name("x" * 250))
