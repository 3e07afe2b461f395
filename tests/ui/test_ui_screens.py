"""The live display on real terminals (tmux), as a person sees it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
import zxingcpp
from PIL import Image
from ui_scenario import CODE
from ui_tmux import Terminal, filled

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None and not os.environ.get("CI"), reason="tmux is needed for a terminal without a screen"
)

ADD_COLOR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")


class Start(Protocol):
    def __call__(self, *command: str, columns: int = 80, rows: int = 24, **environment: str) -> Terminal: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(*command: str, columns: int = 80, rows: int = 24, **environment: str) -> Terminal:
            return stack.enter_context(Terminal(tmp_path, *command, columns=columns, rows=rows, **environment))

        yield run


def photograph(screen: list[str], scale: int = 8) -> str:
    """The QR code that the half blocks of a screen show, as a scanner reads it."""
    dark = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    rows = [row.ljust(44) for row in screen if set(row) <= set(dark)]
    image = Image.new("L", (44, 2 * len(rows)), 255)
    for y, row in enumerate(rows):
        for x, character in enumerate(row):
            for half in (0, 1):
                image.putpixel((x, 2 * y + half), 255 * (1 - dark[character][half]))
    [found] = zxingcpp.read_barcodes(image.resize((44 * scale, 2 * len(rows) * scale), Image.Resampling.NEAREST))
    return str(found.text)


def test_offer_with_qr_code_fits_80_by_24(start: Start) -> None:
    terminal = start("waiting")
    screen = terminal.until_seen("paste it here:")
    assert photograph(screen) == CODE
    rows = filled(screen)
    assert rows[-4:] == [
        CODE[:80],
        CODE[80:],
        "On the other machine: p2pcopy receive CODE  (1 h left)",
        "If it shows an answer code, paste it here:",
    ]
    terminal.until(lambda _: terminal.cursor() == (43, len(rows) - 1))
    assert CODE in terminal.history().splitlines()


def test_qr_code_has_its_own_two_colours(start: Start) -> None:
    terminal = start("waiting")
    terminal.until_seen("paste it here:")
    screen = "\n".join(terminal.screen(colors=True))
    picture, _, after = screen.partition("\x1b[39m\x1b[49m")
    assert re.match(r"\x1b\[(38;5;16|30)m\x1b\[(48;5;231|107)m", picture)
    assert "\x1b" not in picture.partition(" ")[2]
    assert after.startswith(CODE[:80]) or after.lstrip().startswith(CODE[:80])


def test_offer_of_a_receiver_names_the_other_command(start: Start) -> None:
    terminal = start("waiting", "role=receive")
    terminal.until_seen("On the other machine: p2pcopy send --to CODE PATH...  (1 h left)")


def test_the_prompt_disappears_when_the_other_side_connects_by_itself(start: Start) -> None:
    screen = filled(start("one_paste").until_seen("THE END"))
    assert screen[-3:] == [
        CODE[80:],
        "Connected: direct, local network 10.0.0.2:4242 ⇄ 10.0.0.3:5151, 0.4 ms",
        "THE END",
    ]


def test_a_bad_answer_is_told_and_asked_for_again(start: Start) -> None:
    terminal = start("waiting", "qr=no")
    terminal.until_seen("paste it here:")
    terminal.enter("bad")
    terminal.until_ends(
        "On the other machine: p2pcopy receive CODE  (1 h left)",
        "If it shows an answer code, paste it here: bad",
        "warning: The code has a typo. Paste it once more",
        "Nobody yet. If it failed there, mend it and run it again with this code.",
        "On the other machine: p2pcopy receive CODE  (59 min left)",
        "If it shows an answer code, paste it here:",
    )
    terminal.enter("GOOD")
    terminal.until_ends(
        "If it shows an answer code, paste it here: GOOD",
        "Connecting to the other side  (59 min left)",
    )


def test_answer_code(start: Start) -> None:
    terminal = start("answer", "hold=1")
    screen = filled(terminal.until_seen("left)"))
    assert screen == [CODE[:21], "Paste the code above on the other machine  (50 min left)"]


def test_consent_shows_the_manifest_and_leaves_the_cursor_at_the_question(start: Start) -> None:
    terminal = start("consent", "role=receive")
    screen = filled(terminal.until_seen("[y/N, l lists all]"))
    assert "      IMG_2232.jpg               7.0 MiB, exists: you are asked" in screen
    assert "  evil\\x1b[2J\\u202egpj.exe[red]  1 B" in screen
    assert screen[-5:] == [
        "  ... and 4,986 more",
        "Offered: 4,985 files (285.0 MiB), 12 directories, 1 link, 40 there already, 3",
        "names taken",
        "Save 4,985 files (285.0 MiB) into /home/me/incoming, except 40 that are",
        "there already? [y/N, l lists all]",
    ]
    terminal.until(lambda _: terminal.cursor() == (34, len(screen) - 1))


def test_consent_fits_a_small_terminal(start: Start) -> None:
    terminal = start("consent", "role=receive", columns=40, rows=15)
    screen = filled(terminal.until(lambda rows: "lists all]" in " ".join(rows)))
    assert "  photos/" in screen
    assert len(screen) <= 15


def test_progress_survives_resizing(start: Start) -> None:
    terminal = start("moving")
    screen = [
        "Connected: relayed by turn:turn.example.org:3478, 203.0.113.7:50001 ⇄",
        "198.51.100.9:40404, 38.2 ms",
        "note: dev/sda [bold]: special file, left out",
        "warning: The TURN server turn:turn.example.org:3478 does not answer",
        " 42%  ━━━━━━━━────────────  120.0 MiB of 285.0 MiB  23.1 MiB/s  7 s left",
        "      12 of 40 files, 1 failed, relayed",
        "      photos/2024/summer/by the sea/IMG_2231.jpg",
    ]
    assert terminal.until_ends(*screen) == screen
    terminal.resize(50, 15)
    terminal.until_ends(
        "warning: resized at 130",
        " 45%  ━━━━━━━━━────────────  23.1 MiB/s  7 s left",
        "      130.0 MiB of 285.0 MiB",
        "      12 of 40 files, 1 failed, relayed",
        "      photos/2024/summer/by the sea/IMG_2231.jpg",
    )
    terminal.resize(100, 15)
    terminal.until_ends(
        "warning: resized at 130",
        "warning: resized at 140",
        " 49%  " + "━" * 19 + "─" * 21 + "  140.0 MiB of 285.0 MiB  23.1 MiB/s  7 s left",
        "      12 of 40 files, 1 failed, relayed",
        "      photos/2024/summer/by the sea/IMG_2231.jpg",
    )


def test_result_with_what_was_skipped(start: Start) -> None:
    screen = filled(start("finished", "role=receive").until_seen("THE END"))
    assert screen[1:3] == ["  skipped old/0.txt: exists already", "  skipped old/1.txt: exists already"]
    assert screen[-6:] == [
        "  skipped ... and 2 more",
        "  renamed b.txt → b (1).txt",
        "Received 38 files, 285.0 MiB in 12 s (23.1 MiB/s)",
        "2 skipped",
        "Path: direct, local network, 0.4 ms",
        "THE END",
    ]


def test_result_with_what_failed_cannot_be_styled_by_a_name(start: Start) -> None:
    screen = filled(start("incomplete").until_seen("THE END"))
    assert screen[:2] == [
        "  failed  tree/\\x1b]0;owned\\x07[bold]x[/bold]: no space left on device",
        "Sent 38 files, 285.0 MiB in 12 s (23.1 MiB/s)",
    ]
    assert screen[-3:-1] == [
        "Not complete: 1 failed, 2 skipped",
        "Mend that; then the same two commands, with fresh codes, send what is missing.",
    ]


def test_failure_is_a_message_and_a_hint(start: Start) -> None:
    screen = filled(start("failed").until_seen("THE END"))
    assert screen[1:] == [
        "error: The connection to the other side was lost after 120.0 MiB",
        "What has arrived is kept: run the same two commands again, with fresh codes, to",
        "go on.",
        "THE END",
    ]


def test_no_color_means_none_and_no_qr_code(start: Start) -> None:
    terminal = start("waiting", NO_COLOR="1")
    terminal.until_seen("paste it here:")
    assert filled(terminal.screen())[0] == "QR code left out: it needs colours (--qr draws it all the same)."
    terminal = start("failed", NO_COLOR="1")
    terminal.until_seen("THE END")
    assert not ADD_COLOR.search("\n".join(terminal.screen(colors=True)))


def test_colors_without_no_color(start: Start) -> None:
    terminal = start("failed")
    terminal.until_seen("THE END")
    assert ADD_COLOR.search("\n".join(terminal.screen(colors=True)))


def test_qr_on_request_is_drawn_without_colour_setting_too(start: Start) -> None:
    terminal = start("waiting", "qr=yes", NO_COLOR="1")
    assert photograph(terminal.until_seen("paste it here:")) == CODE


def test_qr_code_is_left_out_with_a_word_where_it_does_not_fit(start: Start) -> None:
    screen = filled(start("waiting", rows=20).until_seen("paste it here:"))
    assert screen[0] == "QR code left out: the terminal needs 23 rows (--qr draws it all the same)."
    screen = start("waiting", "qr=yes", columns=30, rows=40).until_ends("p2pcopy receive CODE", "Answer code, if any:")
    assert screen[0].startswith("QR code left out: it needs 37")


@pytest.mark.parametrize(("encoding", "locale"), [("ascii", "C.UTF-8"), ("", "C")], ids=["encoding", "locale"])
def test_without_unicode(start: Start, encoding: str, locale: str) -> None:
    screen = filled(start("waiting", PYTHONIOENCODING=encoding, LC_ALL=locale).until_seen("paste it here:"))
    assert screen[0] == "QR code left out: the terminal's character set lacks block elements."
    screen = filled(start("moving", PYTHONIOENCODING=encoding, LC_ALL=locale).until_seen("1 failed"))
    assert " 42%  ########------------  120.0 MiB of 285.0 MiB  23.1 MiB/s  7 s left" in screen
    assert any("203.0.113.7:50001 <->" in row for row in screen)


def test_dumb_terminal_gets_plain_lines(start: Start) -> None:
    screen = filled(start("failed", TERM="dumb").until_seen("THE END"))
    assert screen[0] == "connected: direct, local network 10.0.0.2:4242 <-> 10.0.0.3:5151, 0.4 ms"
    assert screen[1] == "error: The connection to the other side was lost after 120.0 MiB"
    assert screen[2].startswith("hint: What has arrived is kept")


def test_no_progress_keeps_the_milestones(start: Start) -> None:
    screen = filled(start("finished", "noprogress=1").until_seen("THE END"))
    assert screen[0].startswith("Connected: ")
    assert "Sent 38 files, 285.0 MiB in 12 s (23.1 MiB/s)" in screen
    screen = filled(start("moving", "noprogress=1").until_seen("does not answer"))
    assert not any("%" in row for row in screen)


def test_verbose_tells_every_file(start: Start) -> None:
    terminal = start("finished", "verbose=1", rows=40)
    screen = filled(terminal.until_seen("THE END"))
    assert "skipped: old/11.txt: exists already" in screen
    assert "done: plain.txt" in screen
