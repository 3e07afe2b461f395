"""Codes seen by a camera: videos stand for it, since every machine has those."""

from __future__ import annotations

import asyncio
import builtins
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bounded import run
from filming import film, photographed, rendered
from PIL import Image
from test_qr import LAN, TEXT, offer_text, terminal_picture

from p2pcopy.errors import InternalError, LocalFileError, UsageError
from p2pcopy.signaling import camera, pictures
from p2pcopy.signaling.camera import Camera
from p2pcopy.signaling.qr import half_blocks, qr_matrix

OTHER = offer_text(LAN)


async def seen_by(name: str | Path, opened: list[str] | None = None) -> list[str]:
    """All codes until the video is over."""
    watching = Camera(str(name), (opened if opened is not None else []).append)
    found = []
    try:
        while (code := await watching.next_line()) is not None:
            found.append(code)
        assert await watching.next_line() is None
    finally:
        await watching.close()
    return found


def shown(text: str, cell: int = 6) -> Image.Image:
    return terminal_picture(half_blocks(qr_matrix(text)), cell=cell)


def test_each_code_is_told_once(tmp_path: Path) -> None:
    empty = Image.new("L", (300, 300), 90)
    film(
        tmp_path / "v.ts",
        [empty, shown(TEXT), empty, shown("HTTPS://EXAMPLE.ORG"), shown(OTHER), shown(TEXT)],
        seconds=0.2,
    )
    opened: list[str] = []
    assert run(seen_by(tmp_path / "v.ts", opened)) == [TEXT, OTHER]
    assert opened == [str(tmp_path / "v.ts")]


def test_a_terminal_in_front_of_the_camera(tmp_path: Path) -> None:
    rows = [f"\x1b[30m\x1b[107m{row}\x1b[0m" for row in half_blocks(qr_matrix(TEXT))]
    screen = rendered(["$ p2pcopy send holiday --scan", *rows, TEXT], cell=8, gap=2)
    film(tmp_path / "v.ts", [photographed(screen)])
    assert run(seen_by(tmp_path / "v.ts")) == [TEXT]


def test_a_code_counts_while_the_video_goes_on(tmp_path: Path) -> None:
    """As from a camera, which never ends: what is seen is told at once, and closing releases the device."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    film(tmp_path / "v.ts", [shown(TEXT)])
    video = (tmp_path / "v.ts").read_bytes()

    async def scenario() -> str | None:
        watching = Camera(str(fifo), print)
        waiting = asyncio.create_task(watching.next_line())
        writer = await asyncio.to_thread(os.open, fifo, os.O_WRONLY)
        try:
            os.set_blocking(writer, False)
            sent = 0
            while not waiting.done():
                try:
                    sent += os.write(writer, video[sent : sent + 4096] or video[:4096])
                except BlockingIOError:
                    await asyncio.sleep(0.01)
            return await waiting
        finally:
            os.close(writer)
            await watching.close()

    assert run(scenario()) == TEXT


def test_cancelled_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "v.ts", [shown(TEXT)])
    frames, filming = camera._frames, threading.Event()

    def when_it_films(*given: Any) -> Iterator[Image.Image]:
        assert filming.wait(60)
        yield from frames(*given)

    async def scenario() -> str | None:
        watching = Camera(str(tmp_path / "v.ts"), print)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await watching.next_line()
        filming.set()
        try:
            return await watching.next_line()
        finally:
            await watching.close()

    monkeypatch.setattr(camera, "_frames", when_it_films)
    assert run(scenario()) == TEXT


def test_a_fifo_without_a_writer_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "END_S", 0.01)
    os.mkfifo(tmp_path / "fifo")

    async def scenario() -> None:
        watching = Camera(str(tmp_path / "fifo"), print)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await watching.next_line()
        await watching.close()

    run(scenario())
    os.close(os.open(tmp_path / "fifo", os.O_WRONLY))  # lets the thread go


def test_opened_again_after_it_was_closed(tmp_path: Path) -> None:
    """As for the next receiver: a code that was told is not told again."""
    film(tmp_path / "v.ts", [shown(TEXT), shown(OTHER)], seconds=0.2)
    opened: list[str] = []

    async def scenario() -> list[str | None]:
        watching = Camera(str(tmp_path / "v.ts"), opened.append)
        found = []
        for _ in range(2):
            found.append(await watching.next_line())
            await watching.close()
        return found

    assert run(scenario()) == [TEXT, OTHER]
    assert len(opened) == 2


def test_closed_before_it_is_used() -> None:
    run(Camera("", print).close())


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "empty").write_text("")
    for name in ("text", "empty"):
        with pytest.raises(LocalFileError, match="cannot be used") as caught:
            run(seen_by(tmp_path / name))
        assert caught.value.hint


@pytest.mark.skipif(sys.platform != "linux" or Path("/dev/video77").exists(), reason="only on Linux")
def test_a_camera_that_is_not_there() -> None:
    for name in ("77", "/dev/video77"):
        with pytest.raises(LocalFileError, match="cannot be used: No such file") as caught:
            run(seen_by(name))
        assert "--camera" in caught.value.hint


def devices(monkeypatch: pytest.MonkeyPatch, platform: str, *found: tuple[str, str, str]) -> None:
    """This is another system, with these devices: name, description, medium."""
    import av

    monkeypatch.setattr(sys, "platform", platform)
    made = [SimpleNamespace(name=name, description=text, media_types=[medium]) for name, text, medium in found]
    monkeypatch.setattr(av, "enumerate_input_devices", lambda _: made, raising=False)


def test_cameras_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    devices(monkeypatch, "linux", ("/dev/video0", "Laptop Camera", "video"), ("/dev/video2", "USB Webcam", "video"))
    assert camera._find("") == ("Laptop Camera", "/dev/video0")
    assert camera._find("webcam") == ("USB Webcam", "/dev/video2")
    assert camera._find("/dev/video2") == ("USB Webcam", "/dev/video2")
    assert camera._find("5") == ("5", "/dev/video5")
    devices(monkeypatch, "darwin", ("0", "FaceTime HD Camera", "video"), ("0", "Microphone", "audio"))
    assert camera._find("") == ("FaceTime HD Camera", "0")
    assert camera._find("facetime") == ("FaceTime HD Camera", "0")
    devices(monkeypatch, "win32", ("@device_pnp", "Integrated Webcam", "video"))
    assert camera._find("integrated") == ("Integrated Webcam", "video=@device_pnp")
    assert camera._find("video=Other") == ("video=Other", "video=Other")


def test_no_camera_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    devices(monkeypatch, "win32")
    with pytest.raises(LocalFileError, match="there is no camera"):
        camera._find("")
    devices(monkeypatch, "sunos5")
    with pytest.raises(LocalFileError, match="not supported"):
        camera._find("")


def test_an_old_pyav_cannot_list_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    monkeypatch.delattr(av, "enumerate_input_devices", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert camera._find("")[1] == "0"


def test_a_rate_that_the_camera_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    tried: list[dict[str, str]] = []

    def opening(device: str, *, format: str, options: dict[str, str]) -> str:  # noqa: A002
        tried.append(options)
        if options:
            raise av.error.ExternalError(5, "rate")
        return f"{format} {device}"

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(av, "open", opening)
    assert camera._open("0") == "avfoundation 0"
    assert tried == [{"framerate": "30"}, {}]


@pytest.mark.parametrize("missing", ["zxingcpp", "PIL", "av"])
def test_without_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ImportError(name)
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError) as caught:
        run(seen_by(""))
    assert 'pip install "p2pcopy[scan]"' in caught.value.hint


def test_a_defect_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "v.ts", [shown(TEXT)])

    def broken(*_: object) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr(pictures, "codes_in", broken)
    with pytest.raises(InternalError):
        run(seen_by(tmp_path / "v.ts"))
