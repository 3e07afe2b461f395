"""p2pcopy code: what a code says, in words."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from p2pcopy.errors import CodeError, LocalFileError
from p2pcopy.explain import explain_code
from p2pcopy.signaling import code, qr
from p2pcopy.signaling.code import Answer, Candidate, Generic, Offer, Starter
from p2pcopy.signaling.lent import LentServer, credential_end, time_limited

HOST = Candidate("host", "192.0.2.1", 4242)
PUBLIC = Candidate("srflx", "2001:db8::1", 5151)
RELAY = Candidate("relay", "203.0.113.9", 6000)
SECRET = bytes(range(16))


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute may end between a code and what is said of it."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)


def offer(starter: Starter = Starter.SENDER, wait_s: float = 1800, **more: Any) -> str:
    expires = code.expiry_minute(time.time() + wait_s)
    made = Offer(SECRET, bytes(code.PIN_SIZE), starter, expires, (HOST, PUBLIC, RELAY), **more)
    return code.to_text(code.encode_offer(made))


def test_an_offer() -> None:
    lines = explain_code(offer()).splitlines()
    assert lines[0] == "A sender's code: use it with p2pcopy receive CODE."
    assert lines[1] in ("It is good for another 30 min.", "It is good for another 31 min.")
    assert sorted(lines[3:]) == [
        "  192.0.2.1:4242  its own address",
        "  203.0.113.9:6000  a TURN relay",
        "  [2001:db8::1]:5151  its public address behind a NAT",
    ]


def test_the_offer_of_a_receiver() -> None:
    assert "p2pcopy send --to CODE PATH" in explain_code(offer(Starter.RECEIVER))


def test_an_offer_with_turn_servers() -> None:
    credential = time_limited("s3cret", "me", credential_end(code.expiry_minute(time.time() + 1800), time.time()))
    lent = (
        LentServer("turn.example.org", 443, "tcp", True, *credential),
        LentServer("2001:db8::5", 3478, "udp", False, "north", "south"),
    )
    text = explain_code(offer(relays=lent))
    assert text.splitlines()[2:5] == [
        "TURN servers in it, for the other side to use:",
        "  turns:turn.example.org:443?transport=tcp  with a credential that ends by itself",
        "  turn:[2001:db8::5]:3478  with a user name and password",
    ]
    for hidden in ("south", *credential):
        assert hidden not in text


def test_two_ways() -> None:
    assert "--two-way" in explain_code(offer(two_way=True)).splitlines()[2]
    text = code.to_text(code.encode_answer(Answer((HOST,), bytes(code.PIN_SIZE)), SECRET))
    assert "--two-way" in explain_code(text).splitlines()[1]
    assert "--two-way" not in explain_code(offer())


def test_an_expired_offer() -> None:
    assert "It expired 1" in explain_code(offer(wait_s=-660))


def test_an_answer() -> None:
    text = code.to_text(code.encode_answer(Answer((HOST,)), SECRET))
    assert explain_code(text).startswith("An answer code: paste it where the offer was made.\n")


def test_a_generic_code() -> None:
    generic = Generic("offer", Starter.RECEIVER, "abcd", "x" * 22, bytes(code.FINGERPRINT_SIZE), "actpass", (HOST,))
    text = explain_code(code.to_text(code.encode_generic(generic)))
    assert text.startswith("A generic offer for a foreign WebRTC stack, in an exchange that the receiver started.\n")


def test_from_a_file_and_from_a_picture(tmp_path: Path) -> None:
    (tmp_path / "code.txt").write_text(f"\n {offer()} \n")
    assert explain_code(f"@{tmp_path / 'code.txt'}") == explain_code(offer())
    picture = tmp_path / "code.PNG"
    qr.write_qr_png(offer(), picture)
    assert explain_code(str(picture)) == explain_code(offer())


def test_what_is_no_code(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(CodeError, match="no code came"):
        explain_code(f"@{tmp_path / 'empty'}")
    with pytest.raises(CodeError):
        explain_code("hello")
    with pytest.raises(LocalFileError):
        explain_code(f"@{tmp_path / 'missing'}")
