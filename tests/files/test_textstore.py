"""Texts that are shown: only what was announced, and not more than a person reads."""

from __future__ import annotations

import pytest

from p2pcopy.config import Existing
from p2pcopy.errors import Declined, InternalError
from p2pcopy.events import Mark
from p2pcopy.files.textstore import MAX_TEXT, TextStore
from p2pcopy.transfer.wire import Entry, Kind

TEXT = Entry(Kind.FILE, "text.txt", None)


def admitted() -> TextStore:
    store = TextStore()
    assert store.admit(0, TEXT) is None
    assert store.mark(TEXT, None) is Mark.NEW
    store.resolve(Existing.ASK)
    store.begin(4)
    assert store.free_bytes() is None
    assert store.reusable_bytes(TEXT) == 0
    assert store.refuses(0, TEXT) is None
    assert store.held(0, TEXT) is None
    return store


def test_blocks_in_any_order_make_the_text() -> None:
    store = admitted()
    store.write(0, TEXT, 4, b"ef", b"gh")
    store.write(0, TEXT, 8, memoryview(b"\xff"))
    store.write(0, TEXT, 0, b"ab\xc3\xa4")
    assert [outcome.ok for outcome in store.whole(0, TEXT, 9)] == [True]
    assert store.text == "abäefgh\udcff"
    assert store.flush() == store.finish() == []
    store.interrupt()
    store.close()


def test_an_empty_text() -> None:
    store = admitted()
    store.whole(0, TEXT, 0)
    assert store.text == ""


@pytest.mark.parametrize(
    "entry", [Entry(Kind.DIRECTORY, "d"), Entry(Kind.LINK, "l", target="x"), Entry(Kind.FILE, "f", MAX_TEXT + 1)]
)
def test_what_is_no_short_text_is_declined(entry: Entry) -> None:
    with pytest.raises(Declined) as caught:
        TextStore().admit(0, entry)
    assert "--output" in caught.value.hint


def test_a_second_file_is_declined() -> None:
    with pytest.raises(Declined, match="more than the text"):
        admitted().admit(1, TEXT)


def test_a_text_that_turns_out_to_be_long_is_declined() -> None:
    store = admitted()
    store.write(0, TEXT, 0, bytes(MAX_TEXT))
    with pytest.raises(Declined, match="longer than 64 KiB"):
        store.write(0, TEXT, MAX_TEXT, b"x")


def test_what_cannot_happen() -> None:
    store = admitted()
    with pytest.raises(InternalError):
        store.start_over(0, TEXT)
    with pytest.raises(InternalError):
        store.other(1, Entry(Kind.DIRECTORY, "d"))
    with pytest.raises(InternalError, match="not whole"):
        store.whole(0, TEXT, 1)
    store.write(0, TEXT, 0, b"x")
    store.abandon(0)
    with pytest.raises(InternalError, match="not whole"):
        store.whole(0, TEXT, 1)
