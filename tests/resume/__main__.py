"""Kill transfers between two processes with SIGKILL, run them again, and tell what that cost. Ends with 1 when a goal is missed."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from resume import large, many
from resume.large import MIB, Large
from resume.many import Many


def main() -> None:
    options = _options()
    missed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="p2pcopy-resume-", dir=options.work) as place:
        work = Path(place)
        if options.mib:
            (work / "one").mkdir()
            told = large.measure(work / "one", options.mib * MIB)
            print(_large(told), flush=True)
            missed += told.missed
            shutil.rmtree(work / "one")
        if options.files:
            (work / "many").mkdir()
            found = many.measure(work / "many", options.files, options.interruptions)
            print(_many(found), flush=True)
            missed += found.missed
    for goal in missed:
        print(f"MISSED: {goal}")
    sys.exit(bool(missed))


def _large(told: Large) -> str:
    return "\n".join(
        [
            f"A file of {_mib(told.size)}, both sides killed when {_mib(told.there)} were there",
            "",
            "| | |",
            "|---|---|",
            f"| counted as there by the second run | {_mib(told.resumed)} |",
            f"| sent by the second run | {_mib(told.travelled)} |",
            f"| sent again, at most | {_mib(told.sent_again)}, {100 * told.sent_again / told.size:.2f} % |",
            f"| from connected until data flowed again | {told.flows_s:.2f} s |",
            f"| read by the sender in the second run | {_mib(told.sender.reads.asked)}, "
            f"from the disk {_mib(told.sender.reads.from_disk)} |",
            f"| read by the receiver in the second run | {_mib(told.receiver.reads.asked)}, "
            f"from the disk {_mib(told.receiver.reads.from_disk)} |",
            f"| memory of the sender, of the receiver | {_mib(told.sender.peak_bytes)}, {_mib(told.receiver.peak_bytes)} |",
            f"| the same content, mode and time | {'yes' if told.same else 'NO'} |",
            "",
        ]
    )


def _many(found: Many) -> str:
    senders, receivers = zip(*found.runs, strict=True)
    there = ", ".join(f"{count:,}" for count in found.there)
    return "\n".join(
        [
            f"{found.files:,} files, both sides killed {len(found.there)} times",
            "",
            "| | |",
            "|---|---|",
            f"| files there after each kill | {there} |",
            f"| differing in content, mode or time in the end | {len(found.differing)} |",
            f"| memory of the sender, of the receiver | {_mib(max(each.peak_bytes for each in senders))}, "
            f"{_mib(max(each.peak_bytes for each in receivers))} |",
            *(f"\n{each}" for each in found.differing[:10]),
            "",
        ]
    )


def _mib(count: int) -> str:
    return f"{count / MIB:,.1f} MiB"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m resume", description=__doc__)
    parser.add_argument("--mib", type=int, default=2048, help="size of the large file; 0 leaves it out")
    parser.add_argument("--files", type=int, default=200_000, help="how many small files; 0 leaves them out")
    parser.add_argument("--interruptions", type=int, default=5, help="how often the small files are interrupted")
    parser.add_argument("--work", default=None, help="a directory on the disk to measure; it takes 5 GiB")
    return parser.parse_args()


if __name__ == "__main__":
    main()
