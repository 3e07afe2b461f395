"""A reporter on this process's own terminal, driven by a script of events: `python ui_scenario.py NAME [key=value ...]`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

from p2pcopy import events
from p2pcopy.events import FileStatus, ManifestLine, Mark, PathKind
from p2pcopy.ui.question import save_question
from p2pcopy.ui.reporter import Reporter, Role, make_reporter

MIB = 1024**2
CODE = "0CG2M8H3K7VZQX5T" * 6 + "ABCDE"  # 101 characters: an offer with a LAN and a public address
LAN = events.Path(PathKind.LOCAL, "10.0.0.2:4242", "10.0.0.3:5151", "host", "prflx", 0.4)
RELAY = events.Path(
    PathKind.RELAYED, "203.0.113.7:50001", "198.51.100.9:40404", "relay", "srflx", 38.2, "turn:turn.example.org:3478"
)
TREE = events.Manifest(
    4985, 12, 1, 285 * MIB, 0, 3, 40, "ask", "/home/me/incoming",
    (
        ManifestLine("photos", "directory", 0),
        ManifestLine("photos/2024/IMG_2231.jpg", "file", 8 * MIB),
        ManifestLine("photos/2024/IMG_2232.jpg", "file", 7 * MIB, Mark.EXISTS),
        ManifestLine("photos/2025/été.jpg", "file", 3 * MIB, Mark.SAME),
        ManifestLine("photos/latest", "link", 0),
        ManifestLine("evil\x1b[2J\u202egpj.exe[red]", "file", 1),
        ManifestLine("log", "file", None),
        *(ManifestLine(f"data/{n:04}.csv", "file", 1200) for n in range(40)),
    ),
)  # fmt: skip


def progress(done: int, **more: object) -> events.Progress:
    values = {
        "bytes_done": done * MIB, "bytes_total": 285 * MIB, "files_done": 12, "files_total": 40,
        "file": "photos/2024/summer/by the sea/IMG_2231.jpg",
        "rate_bytes_per_s": 23.1 * MIB, "eta_s": 7.0,
    }  # fmt: skip
    return events.Progress(**(values | more))  # type: ignore[arg-type]


def done(ok: bool, path: events.Path = LAN) -> events.Done:
    return events.Done(ok, 38, 2, 0 if ok else 1, 285 * MIB, 12.34, 23.1 * MIB, path)


def stop() -> str:
    return input()


def waiting(reporter: Reporter) -> None:
    """An answer code is pasted; "bad" stands for one with a typo."""
    reporter.tell(events.Code("offer", CODE, 3600.0))
    reporter.tell(events.Waiting("for_answer", 3600.0))
    while True:
        answer = stop()
        reporter.entered()
        if answer != "bad":
            break
        reporter.tell(events.Warned("The code has a typo. Paste it once more"))
        reporter.tell(events.Waiting("for_answer", 3540.0))
    reporter.tell(events.Connecting(3))
    stop()
    reporter.entered()
    reporter.tell(events.Connected(LAN))


def one_paste(reporter: Reporter) -> None:
    """The other side connects by itself while the prompt stands."""
    reporter.tell(events.Code("offer", CODE, 3600.0))
    reporter.tell(events.Waiting("for_answer", 3600.0))
    reporter.tell(events.Connecting(3))
    reporter.tell(events.Connected(LAN))


def answer(reporter: Reporter) -> None:
    reporter.tell(events.Connecting(2))
    reporter.tell(events.Code("answer", CODE[:21], 3000.0))
    reporter.tell(events.Waiting("for_peer", 3000.0))


def consent(reporter: Reporter) -> None:
    reporter.tell(events.Connected(LAN))
    reporter.tell(TREE)
    reporter.ask(save_question(TREE, reporter.all_shown))
    stop()
    reporter.entered()
    reporter.tell(progress(0))


def moving(reporter: Reporter) -> None:
    """Goes on when the size of the terminal has changed."""
    resized = threading.Event()
    signal.signal(signal.SIGWINCH, lambda *_: resized.set())
    reporter.tell(events.Connected(RELAY))
    reporter.tell(events.Note("dev/sda [bold]", "special file, left out"))
    reporter.tell(progress(120))
    reporter.tell(events.File("photos/secret.jpg", FileStatus.FAILED, "permission denied"))
    reporter.tell(events.Warned("The TURN server turn:turn.example.org:3478 does not answer"))
    for megabytes in (130, 140):
        resized.wait()
        resized.clear()
        reporter.tell(progress(megabytes))
        reporter.tell(events.Warned(f"resized at {megabytes}"))
    stop()


def finished(reporter: Reporter) -> None:
    reporter.tell(events.Connected(LAN))
    reporter.tell(progress(120))
    for number in range(12):
        reporter.tell(events.File(f"old/{number}.txt", FileStatus.SKIPPED, "exists already"))
    reporter.tell(events.File("b.txt", FileStatus.DONE, saved_as="b (1).txt"))
    reporter.tell(events.File("plain.txt", FileStatus.DONE))
    reporter.tell(done(ok=True))


def incomplete(reporter: Reporter) -> None:
    reporter.tell(progress(120))
    reporter.tell(events.File("tree/\x1b]0;owned\x07[bold]x[/bold]", FileStatus.FAILED, "no space left on device"))
    reporter.tell(done(ok=False, path=RELAY))


def failed(reporter: Reporter) -> None:
    reporter.tell(events.Connected(LAN))
    reporter.tell(progress(120))
    reporter.tell(
        events.Failed(
            "lost",
            "The connection to the other side was lost after 120.0 MiB",
            "What has arrived is kept: run the same two commands again, with fresh codes, to go on.",
            6,
            True,
        )
    )


def unknown(reporter: Reporter) -> None:
    reporter.tell(progress(120, bytes_total=None, files_total=None, file="", eta_s=None))


SCENARIOS: dict[str, Callable[[Reporter], None]] = {
    story.__name__: story
    for story in (waiting, one_paste, answer, consent, moving, finished, incomplete, failed, unknown)
}


def main(name: str, *settings: str) -> None:
    given = dict(setting.split("=") for setting in settings)
    role: Role = "receive" if given.get("role") == "receive" else "send"
    reporter = make_reporter(
        json=False,
        quiet="quiet" in given,
        verbose="verbose" in given,
        progress="noprogress" not in given,
        qr={"yes": True, "no": False}.get(given.get("qr", "")),
        role=role,
        code_to=lambda code: print(code, flush=True),
        stderr=sys.stderr,
        stdout=sys.stdout,
        color=None,
    )
    with reporter:
        SCENARIOS[name](reporter)
        if "hold" in given:
            stop()
    print("THE END", flush=True)
    stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
