"""Codes that leave a real terminal (tmux): as a picture of its screen, to the other side's camera, to the clipboard."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from filming import film, photographed, rendered
from PIL import Image
from processes import REACHES_NOBODY
from trees import copied, make
from ui_tmux import Terminal

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None and not os.environ.get("CI"), reason="tmux is needed for a terminal without a screen"
)

# The receiver reaches nobody, so the sender needs the answer, which is shown sooner than it is to people.
ALONE = f"{REACHES_NOBODY}from p2pcopy import meeting\nmeeting._ANSWER_AFTER_S = 0.5\n"
RUN = "from p2pcopy.cli import main\nmain()\n"
Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    make(tmp_path / "file", b"content" * 1000)
    with ExitStack() as stack:

        def run(*arguments: str, before: str = "", **options: str) -> Terminal:
            program = (sys.executable, "-c", before + RUN)
            values = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
            return stack.enter_context(
                Terminal(tmp_path, *arguments, columns=100, rows=48, program=program, **values, **options)
            )

        yield run


def photo(terminal: Terminal) -> Image.Image:
    return photographed(rendered(terminal.screen(colors=True), cell=7, gap=1))


def with_qr(terminal: Terminal, then: str) -> Terminal:
    """The picture is drawn, and what follows it is there."""
    terminal.until(lambda rows: sum("▀" in row or "▄" in row for row in rows) > 8 and any(then in row for row in rows))
    return terminal


def test_two_terminals_meet_by_pictures_alone(start: Start, tmp_path: Path) -> None:
    sender = with_qr(start("send", "--no-stun", f"{tmp_path}/file"), "paste it here:")
    photo(sender).save(tmp_path / "offer.png")
    receiver = start("receive", "--no-stun", f"{tmp_path}/offer.png", "-o", f"{tmp_path}/out", "--qr", before=ALONE)
    photo(with_qr(receiver, "Paste the code above")).save(tmp_path / "answer.jpg")
    sender.enter(f"{tmp_path}/answer.jpg")
    receiver.until_seen("[y/N]")
    receiver.enter("y")
    receiver.until_seen("Received 1 file")
    sender.until_seen("Sent 1 file")
    assert copied(tmp_path / "file", tmp_path / "out")


def test_two_terminals_meet_by_cameras_alone(start: Start, tmp_path: Path) -> None:
    """Each camera is a video of the other screen; the sender's begins when there is an answer to see."""
    os.mkfifo(tmp_path / "camera")
    sender = with_qr(
        start("send", "--no-stun", f"{tmp_path}/file", "--scan", "--camera", f"{tmp_path}/camera"), "paste it here:"
    )
    film(tmp_path / "offer.ts", [Image.new("L", (640, 480), 90), photo(sender)], seconds=0.3)
    receiver = start(
        *("receive", "--no-stun", "--scan", "--camera", f"{tmp_path}/offer.ts", "-o", f"{tmp_path}/out", "--yes"),
        before=ALONE,
    )
    receiver.until_seen("Hold the other side's QR code up to the camera")
    with_qr(receiver, "Paste the code above")
    film(tmp_path / "answer.ts", [photo(receiver)], seconds=0.3)
    video = (tmp_path / "answer.ts").read_bytes()
    playing = threading.Thread(target=(tmp_path / "camera").write_bytes, args=(video,), daemon=True)
    playing.start()
    receiver.until_seen("Received 1 file")
    sender.until_seen("Sent 1 file")
    playing.join()
    assert copied(tmp_path / "file", tmp_path / "out")


def test_a_person_may_paste_beside_a_camera(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "camera")
    sender = with_qr(
        start("send", "--no-stun", f"{tmp_path}/file", "--scan", "--camera", f"{tmp_path}/camera"), "paste it here:"
    )
    film(tmp_path / "offer.ts", [photo(sender)], seconds=0.2)
    receiver = start(
        *("receive", "--no-stun", f"camera:{tmp_path}/offer.ts", "-o", f"{tmp_path}/out", "--yes", "--no-qr"),
        before=ALONE,
    )
    receiver.until_seen("Paste the code above")
    sender.enter(code_on(receiver))
    receiver.until_seen("Received 1 file")
    sender.until_seen("Sent 1 file")


def code_on(terminal: Terminal) -> str:
    return max(terminal.history().split(), key=lambda word: len(word) if word.isalnum() and word.isupper() else 0)


def test_tmux_gets_the_code_for_its_clipboard(start: Start, tmp_path: Path) -> None:
    sender = start("send", "--no-stun", f"{tmp_path}/file", "--copy", options="set -g set-clipboard on\n")
    sender.until_seen("given to the terminal for its clipboard")
    sender.until(lambda _: bool(sender.clipboard()))
    assert sender.clipboard() == code_on(sender)


def test_a_tmux_in_a_terminal_hands_the_code_on(start: Start, tmp_path: Path) -> None:
    """The inner one does not take it for itself, as is its default, but passes it through."""
    (tmp_path / "inner.conf").write_text(
        "set -g set-clipboard external\nset -g allow-passthrough on\nset -g status off\nset -g destroy-unattached on\n"
    )
    inner = f"exec env -u TMUX tmux -L inner{os.getpid()} -f {tmp_path}/inner.conf new-session {{}}"
    sending = f"{sys.executable} -c '{RUN}' send --no-stun {tmp_path}/file --copy"
    with Terminal(
        tmp_path,
        inner.format(f'"{sending}"'),
        columns=100,
        rows=48,
        program=("sh", "-c"),
        options="set -g set-clipboard on\n",
        HOME=str(tmp_path),
        XDG_CONFIG_HOME=str(tmp_path),
    ) as outer:
        outer.until_seen("given to the terminal for its clipboard")
        outer.until(lambda _: bool(outer.clipboard()))
        assert len(outer.clipboard()) > 60
        assert outer.clipboard() in outer.history().replace("\n", "")
