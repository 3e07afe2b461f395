"""Sentences that the terminal and the plain lines share. Pure; text from outside is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2pcopy import events
from p2pcopy.config import Existing
from p2pcopy.files.names import display
from p2pcopy.quantities import count, duration, left, percent, rate, share, size
from p2pcopy.ui.reporter import Role

_FATES: Final[dict[str, str]] = {
    events.Mark.NEW: "",
    events.Mark.EXISTS: "exists",
    events.Mark.SAME: "there already",
    events.Mark.COMPARED: "compared by content",
    events.Mark.FAILS: "something else is there: fails",
    events.Mark.BEGUN: "begun: goes on",
    events.Mark.BEGUN_EXISTS: "begun: goes on",
    events.Mark.STALE: "begun: starts over",
}
_POLICIES: Final[dict[str, str]] = {
    Existing.ASK: "you are asked",
    Existing.REFUSE: "declined",
    Existing.SKIP: "left alone",
    Existing.RENAME: "gets another name",
    Existing.REPLACE: "replaced",
    Existing.RESUME: "fails",
}
AGAIN: Final = "Mend that; then the same two commands, with fresh codes, send what is missing."
_RATED_S: Final = 1.0
_TAKING_ITS_PLACE: Final[dict[str, str]] = {
    Existing.RENAME: "gets another name",
    Existing.REPLACE: "replaces what is there",
}
_TRIED: Final = {"stun": "STUN", "turn": "TURN", "own": "here", "peer": "there"}


def contents(manifest: events.Manifest) -> str:
    """ "12 files (285.0 MiB)", "2 directories", "1 file (size unknown)"."""
    if not manifest.files and (manifest.directories or manifest.links):
        return and_also(manifest)
    known = size(manifest.bytes)
    if not manifest.streams:
        amount = known
    elif manifest.streams == manifest.files:
        amount = "size unknown"
    else:
        amount = f"{known} and {count(manifest.streams, 'file')} of unknown size"
    return f"{count(manifest.files, 'file')} ({amount})"


def and_also(manifest: events.Manifest) -> str:
    """Directories and links of a manifest: "3 directories, 1 link"; empty when there are none."""
    directories = [count(manifest.directories, "directory", "directories")] if manifest.directories else []
    links = [count(manifest.links, "link")] if manifest.links else []
    return ", ".join(directories + links)


def totals(manifest: events.Manifest) -> str:
    """ "12 files (285.0 MiB), 3 directories, 2 there already, 1 name taken"."""
    parts = [contents(manifest)]
    if manifest.files and (more := and_also(manifest)):
        parts.append(more)
    if manifest.same:
        parts.append(f"{manifest.same:,} there already")
    if manifest.existing:
        parts.append(f"{count(manifest.existing, 'name')} taken")
    return ", ".join(parts)


def knows_what_is_there(now: events.Progress) -> bool:
    """Whether all is accepted, so that nothing more turns out to be begun; what is compared by content is found out one by one."""
    return now.files_total is not None


def goes_on(now: events.Progress) -> str:
    """ "1.2 of 2.0 GiB are there already"."""
    there = size(now.bytes_resumed) if now.bytes_total is None else share(now.bytes_resumed, now.bytes_total)
    return f"{there} are there already"


def rehearsed(end: events.Rehearsed) -> str:
    """ "nothing was taken into /home/me"."""
    return f"nothing was taken into {display(end.destination)}"


def fate(line: events.ManifestLine, policy: str) -> str:
    """What would happen to an entry: "exists: replaced", "there already"; empty for a new one. policy: of its manifest."""
    text = _FATES.get(line.status, line.status)
    if line.status is events.Mark.EXISTS and (verdict := _POLICIES.get(policy)):
        return f"{text}: {verdict}"
    if line.status is events.Mark.BEGUN_EXISTS and (more := _TAKING_ITS_PLACE.get(policy)):
        return f"{text}, {more}"
    return text


def progress(now: events.Progress) -> str:
    """ "42%, 120.0 MiB of 285.0 MiB, 12 of 40 files, 23.1 MiB/s, 7 s left, now tree/a.txt"."""
    done, total = now.bytes_done, now.bytes_total
    parts = [size(done)] if total is None else [percent(done, total), f"{size(done)} of {size(total)}"]
    parts.append(files_done(now))
    parts.append(rate(now.rate_bytes_per_s))
    if now.eta_s is not None:
        parts.append(f"{left(now.eta_s)} left")
    if now.file:
        parts.append(f"now {display(now.file)}")
    return ", ".join(parts)


def held_up(now: events.Progress, role: Role, destination: str) -> str:
    """ "Waiting for the disk", "Waiting for the program that reads standard output"; empty when nothing holds it up here."""
    if now.waits_for == "destination":
        return f"Waiting for {'the disk' if destination else 'the program that reads standard output'}"
    if now.waits_for == "source":
        return f"Waiting for {display(now.file) or 'the source'} to be read"
    if now.waits_for == "other_side" and role == "send":
        return "Waiting for the other side to take it"
    return ""


def files_done(now: events.Progress) -> str:
    """ "12 of 40 files", "12 files" while the number is not known."""
    if now.files_total is None:
        return count(now.files_done, "file")
    return f"{now.files_done:,} of {count(now.files_total, 'file')}"


def path_kind(path: events.Path) -> str:
    """How direct a path is, the same on both sides: "direct, local network", "direct", "relayed"."""
    if path.kind is events.PathKind.RELAYED:
        return "relayed"
    return "direct, local network" if path.kind is events.PathKind.LOCAL else "direct"


def path_line(path: events.Path, between: str) -> str:
    """ "direct, local network 10.0.0.2:4242 <-> 10.0.0.3:5151, 0.4 ms"; between: the arrow."""
    comma = "," if path.kind is events.PathKind.RELAYED else ""
    return f"{_way(path)}{comma} {display(path.local)} {between} {display(path.remote)}{_round_trip(path)}"


def path_short(path: events.Path) -> str:
    """ "direct, local network, 0.4 ms", "relayed by turn:turn.example.org, 38.2 ms"."""
    return _way(path) + _round_trip(path)


def _way(path: events.Path) -> str:
    if path.kind is not events.PathKind.RELAYED:
        return path_kind(path)
    return "relayed by " + (display(path.relay) if path.relay else "the other side's server")


def _round_trip(path: events.Path) -> str:
    return "" if path.rtt_ms is None else f", {path.rtt_ms:.1f} ms"


def data_path(told: events.DataPath) -> str:
    """ "fast (GSO, GRO, packets of 1472 bytes)", "stock, because it is switched off"."""
    if not told.fast:
        return f"stock, because {sentence(told.reason)}" if told.reason else "stock"
    parts = [name for name, works in (("GSO", told.gso), ("GRO", told.gro)) if works]
    if told.packet_bytes is not None:
        parts.append(f"packets of {told.packet_bytes} bytes")
    if told.peer_fast is False:
        parts.append("stock at the other side")
    details = f" ({', '.join(parts)})" if parts else ""
    return f"fast{details}{'; ' if told.reason else ''}{sentence(told.reason)}"


def slow(told: events.DataPath) -> str:
    """ "the fast data path is not used here, because it is switched off", "the other side does not use the fast data path"."""
    if not told.fast:
        return "the fast data path is not used here" + (f", because {sentence(told.reason)}" if told.reason else "")
    return "the other side does not use the fast data path" if told.peer_fast is False else ""


def path_changed(path: events.Path, before: str, between: str) -> str:
    """ "direct 198.51.100.2:4242 <-> 203.0.113.9:5151, 20.1 ms (was relayed)". before: the path_kind until now."""
    was = f" (was {before})" if before and before != path_kind(path) else ""
    return path_line(path, between) + was


def stalled(stall: events.Stalled) -> str:
    """ "nothing heard for 12 s; waits for a path, gives up in 9 min 48 s"."""
    return f"nothing heard for {duration(stall.silent_s)}; waits for a path, gives up in {duration(stall.left_s)}"


def served(end: events.Served) -> str:
    """ "Served 2 receivers, 1 failed"."""
    failed = f", {end.receivers_failed:,} failed" if end.receivers_failed else ""
    return f"Served {count(end.receivers_served, 'receiver')}{failed}"


def comparing(verification: events.Verification) -> str:
    """ "1234 5678 9012" and what becomes of it."""
    who = "is it the same on the other side?" if verification.asked else "the other side compares it"
    return f"{verification.number} ({who})"


def tried_rows(tried: Sequence[events.Tried]) -> list[tuple[str, str, str]]:
    """What was tried as (where, what, outcome), ready to be shown."""
    return [(_TRIED.get(row.kind, row.kind), display(row.what), sentence(row.outcome)) for row in tried]


def road(event: events.Copied | events.Scanning) -> str:
    """What goes on with a code on its way."""
    match event:
        case events.Copied(certain=True):
            return "The code is on the clipboard"
        case events.Copied():
            return "The code was given to the terminal for its clipboard, if it allows that"
        case events.Scanning():
            return f"Hold the other side's QR code up to the camera ({display(event.camera)})"


def text_lines(event: events.Text) -> list[str]:
    """As it is, but for characters that would move the cursor or hide something."""
    lines = event.text.expandtabs().removesuffix("\n").split("\n")
    return ["\\".join(map(display, line.removesuffix("\r").split("\\"))) for line in lines]


def text_block(event: events.Text) -> list[str]:
    """Not wrapped, so that it can be copied; indented, so that it is not taken for lines of ours."""
    return ["Text from the other side:\n", *(f"  {line}\n" for line in text_lines(event))]


def other_command(role: Role) -> str:
    """What starts the other side, where CODE stands for the offer shown here."""
    return "p2pcopy receive CODE" if role == "send" else "p2pcopy send --to CODE PATH..."


def outcome(done: events.Done, role: Role) -> str:
    """ "Received 12 files, 285.0 MiB in 12.3 s (23.1 MiB/s); 3 files were there already", "Nothing to do: …".

    Of an instant there is no rate.
    """
    there = count(done.files_there, "file") if done.files_there else ""
    if there and not (done.files_done or done.bytes_done or done.files_failed or done.files_skipped):
        return f"Nothing to do: {there} {'is' if done.files_there == 1 else 'are'} there already"
    verb = "Sent" if role == "send" else "Received"
    speed = f" ({rate(done.rate_bytes_per_s)})" if done.seconds >= _RATED_S else ""
    time = f"{duration(max(done.seconds, 0.1))}{speed}"
    if there:
        there = f"; {there} {'was' if done.files_there == 1 else 'were'} there already"
    elif done.bytes_resumed:
        there = f"; {size(done.bytes_resumed)} more were there already"
    return f"{verb} {count(done.files_done, 'file')}, {size(done.bytes_done)} in {time}{there}"


def directory(manifest: events.Manifest) -> str:
    """Where the files go, for the receiver; empty for the sender and for standard output."""
    return "" if manifest.destination in ("", "standard output") else display(manifest.destination)


def left_out(done: events.Done) -> str:
    """ "1 failed, 2 skipped, 3 not sent (special files)"; empty when all went through."""
    counts = (
        (done.files_failed, "failed"),
        (done.files_skipped, "skipped"),
        (done.left_out, "not sent (special files)"),
    )
    return ", ".join(f"{number:,} {what}" for number, what in counts if number)


def status_word(file: events.File) -> str:
    """ "done", "renamed", "skipped", "failed"."""
    return "renamed" if file.status is events.FileStatus.DONE and file.saved_as else file.status.value


def file_line(file: events.File, arrow: str) -> str:
    """ "tree/a.txt: no space left", "a.txt -> a (1).txt"."""
    saved_as = f" {arrow} {display(file.saved_as)}" if file.saved_as else ""
    reason = f": {sentence(file.reason)}" if file.reason else ""
    return f"{display(file.path)}{saved_as}{reason}"


def sentence(text: str) -> str:
    """A message of ours, in which names are escaped already: escaped as a whole only if that was forgotten."""
    return text if text.isprintable() else display(text)
