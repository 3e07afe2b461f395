"""The roads by name, as users write them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from bounded import run
from filming import film
from test_qr import TEXT, terminal_picture

from p2pcopy.errors import CodeError, LocalFileError, UsageError
from p2pcopy.signaling import clipboard
from p2pcopy.signaling.camera import Camera
from p2pcopy.signaling.exchange import Lines, LineSource, Literal
from p2pcopy.signaling.qr import half_blocks, qr_matrix, write_qr_png
from p2pcopy.signaling.sources import Either, PicturesToo, answer_source, code_source


async def lines(source: LineSource) -> list[str]:
    found = []
    while (line := await source.next_line()) is not None:
        found.append(line)
    return found


def test_the_environment() -> None:
    assert run(lines(code_source("env:CODE", Lines(), environment={"CODE": TEXT}))) == [TEXT]
    for missing in ({}, {"CODE": ""}):
        with pytest.raises(UsageError, match="'CODE' is not set"):
            code_source("env:CODE", Lines(), environment=missing)


def test_the_clipboard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def paste() -> str:
        return f"\n{TEXT}\n"

    monkeypatch.setattr(clipboard, "paste", paste)
    assert run(lines(code_source("clipboard:", Lines()))) == ["", TEXT]


@pytest.mark.parametrize("at", ["", "@"])
def test_a_picture(at: str, tmp_path: Path) -> None:
    write_qr_png(TEXT, tmp_path / "code.png")
    assert run(lines(code_source(f"{at}{tmp_path}/code.png", Lines()))) == [TEXT]


def test_a_picture_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="cannot be read"):
        run(lines(answer_source(f"@{tmp_path}/code.png", Lines())))
    with pytest.raises(LocalFileError, match=r"/cod\.png' cannot be read: No such file"):  # no code has a dot in it
        run(lines(code_source(f"{tmp_path}/cod.png", Lines())))


def test_the_name_of_a_file_is_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("code.txt").write_text(TEXT)
    with pytest.raises(UsageError, match="is a file") as caught:
        code_source("code.txt", Lines())
    assert "@code.txt" in caught.value.hint
    Path(TEXT).write_text("a file whose name is a code")
    assert run(lines(code_source(TEXT, Lines()))) == [TEXT]
    assert run(lines(code_source("x" * 5000, Lines()))) == ["x" * 5000]


def test_a_camera(tmp_path: Path) -> None:
    film(tmp_path / "v.ts", [terminal_picture(half_blocks(qr_matrix(TEXT)))], seconds=0.2)
    opened: list[str] = []

    async def scenario() -> list[str]:
        source = answer_source(f"camera:{tmp_path}/v.ts", Lines(), on_camera=opened.append)
        assert isinstance(source, Camera)
        try:
            return await lines(source)
        finally:
            await source.close()

    assert run(scenario()) == [TEXT]
    assert opened == [f"{tmp_path}/v.ts"]


@pytest.mark.parametrize("spec", ["CODE", "env:CODE", "clipboard:"])
def test_answers_come_only_from_where_they_can_be_in_time(spec: str) -> None:
    with pytest.raises(UsageError, match="read an answer"):
        answer_source(spec, Lines())


def test_a_person_may_drop_a_picture_on_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "my screenshot.png"
    write_qr_png(TEXT, path)
    escaped = str(path).replace(" ", "\\ ")
    typed = [str(path), f" '{path}' ", escaped, f"@{path}", "0CG2M8", "it's", "missing.png", ""]
    assert run(lines(PicturesToo(Literal("\n".join(typed))))) == [TEXT] * 4 + typed[4:-1]


def test_a_picture_without_a_code_may_be_followed_by_another(tmp_path: Path) -> None:
    terminal_picture(["    "] * 4).save(tmp_path / "empty.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    source = PicturesToo(Literal(f"{tmp_path}/empty.png\n{tmp_path}/broken.png\nCODE"))
    for message in ("no QR code", "cannot be read"):
        with pytest.raises(CodeError, match=message):
            run(source.next_line())
    assert run(source.next_line()) == "CODE"


class Slow:
    """Lines that come when they are told to, or fail."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[str | Exception | None] = asyncio.Queue()

    async def next_line(self) -> str | None:
        line = await self.coming.get()
        if isinstance(line, Exception):
            raise line
        return line


def test_lines_of_either_source_as_they_come() -> None:
    async def scenario() -> None:
        one, other = Slow(), Slow()
        both = Either(one, other)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await both.next_line()
        one.coming.put_nowait("a")
        other.coming.put_nowait("b")
        assert {await both.next_line(), await both.next_line()} == {"a", "b"}
        other.coming.put_nowait(CodeError("bad"))
        with pytest.raises(CodeError, match="bad"):
            await both.next_line()
        one.coming.put_nowait(None)
        other.coming.put_nowait("c")
        assert await both.next_line() == "c"
        other.coming.put_nowait(None)
        assert await both.next_line() is None
        assert await both.next_line() is None

    run(scenario())


def test_nothing_is_taken_from_a_person_while_nobody_waits() -> None:
    async def scenario() -> None:
        person, camera = Slow(), Slow()
        both = Either(person, camera)
        camera.coming.put_nowait("code")
        assert await both.next_line() == "code"
        person.coming.put_nowait("y")
        await asyncio.sleep(0)
        assert person.coming.qsize() == 1

    run(scenario())
