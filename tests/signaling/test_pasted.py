"""Codes in what people paste."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.signaling.exchange import Lines, parsed_code
from p2pcopy.signaling.pasted import code_in
from p2pcopy.signaling.sources import code_source

CODE = "21EJNXME1B4MHJTJ08SGX5P8V7VJT2JTTKSW8WXZJB3EKBVKTJ8NYAT563YG"


@pytest.mark.parametrize(
    "line",
    [
        CODE,
        f"p2pcopy receive {CODE}",
        f"$ p2pcopy receive {CODE} --output /data/{'x' * 200} --yes",
        f"me@host:~/p2pcopy$ p2pcopy send --to {CODE} PATH...",
        f"/usr/local/bin/p2pcopy receive -o dir {CODE}",
        f"p2pcopy send a; p2pcopy receive {CODE.lower()}",
        f"code: {CODE}",
        f" Code:{CODE}",
    ],
)
def test_the_code_is_taken_out_of_what_stands_around_it(line: str) -> None:
    assert code_in(line).strip().upper() == CODE


@pytest.mark.parametrize(
    "line", ["", "  ", "some words", f"{CODE[:20]} {CODE[20:]}", "p2pcopy receive", "p2pcopy receive CODE"]
)
def test_everything_else_stays(line: str) -> None:
    assert code_in(line) == line


@given(st.text())
def test_any_line(line: str) -> None:
    assert code_in(line) in (line, *line.split())


def test_a_command_is_a_source_of_codes() -> None:
    async def story() -> str | None:
        return await parsed_code(code_source(f"p2pcopy receive {CODE}", Lines()), str)

    assert asyncio.run(story()) == CODE
