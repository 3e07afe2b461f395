"""A code works once: whoever comes later, with or without it, gets nothing and disturbs nothing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import CONNECTED, hosts_in, succeeded
from lab import Lab, Place, Topology
from lab.sockets import Udp
from processes import PATIENCE_S, REACHES_NOBODY, Processes, Running, wait_until
from trees import MIB, make, noise

from p2pcopy.config import NetSettings
from p2pcopy.errors import CodeForeignAnswer, CodeUsed
from p2pcopy.net.peer import Peer
from p2pcopy.signaling import code

ALONE = NetSettings(stun=())
TOLD_IN_S = 5.0
SLACK_S = 4.0  # for a process to start and end on a busy machine
FLOOD_S, FLOOD_PER_S = 5.0, 2000
QUESTION = rb"\[y/N(?:, l lists all)?\] "


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "file", b"content")
    with Processes(tmp_path) as processes:
        yield processes


def turned_away(process: Running) -> None:
    process.err.wait_for(b"^connecting: ")
    began = time.monotonic()
    ended = process.ended()
    assert time.monotonic() - began < TOLD_IN_S + SLACK_S
    assert ended.exit_code == 4, ended.err
    assert "the code was used already" in ended.err


def stream(process: Running, total: int) -> None:
    """Into the sender's standard input, piece by piece."""
    for _ in range(total // MIB):
        process.type(noise(MIB))


# Two receivers with one code


def test_of_two_that_come_at_once_one_gets_it(start: Processes) -> None:
    sender = start.send("-", "--name", "stream", keyboard=True)
    offer = sender.code()
    receivers = [start.receive(offer, "-o", f"out {number}", "-y") for number in range(2)]
    wait_until(lambda: not all(each.runs() for each in receivers), "one is turned away")
    loser, winner = sorted(receivers, key=lambda each: each.runs())
    turned_away(loser)
    sender.type(b"for one")
    sender.close_input()
    succeeded(sender, winner)
    assert [path.read_bytes() for path in start.work.glob("out */*")] == [b"for one"]


def test_who_comes_during_the_transfer_gets_nothing(start: Processes) -> None:
    sender = start.send("-", "--name", "stream", keyboard=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--json")
    receiver.out.wait_for(CONNECTED)
    late = [start.receive(sender.code(), "-o", f"late {number}", "-y") for number in range(2)]
    stream(sender, 2 * MIB)
    for each in late:
        turned_away(each)
    sender.type(b"the end")
    sender.close_input()
    succeeded(sender, receiver)
    assert (start.work / "out" / "stream").stat().st_size == 2 * MIB + 7
    assert not list(start.work.glob("late */*"))


# Answers that are not for this run, or not for the first time


def test_an_answer_that_is_pasted_again_changes_nothing(start: Processes) -> None:
    sender = start.send("file", keyboard=True)
    receiver = start.receive(sender.code(), "-o", "out", "--json", before=REACHES_NOBODY, terminal=True)
    answer = receiver.code()
    sender.type(f"{answer}\n{answer}\n")
    receiver.out.wait_for(QUESTION)
    sender.type(f"{answer}\n")
    receiver.type("y\r")
    succeeded(sender, receiver)


def foreign(answer: str, offer: str) -> str:
    """The addresses of an answer as one to another offer would have them."""
    theirs = code.parse_any(answer)
    ours = code.parse_any(offer)
    assert isinstance(theirs, code.Answer)
    assert isinstance(ours, code.Offer)
    while True:
        text = code.to_text(code.encode_answer(theirs, os.urandom(16)))
        try:
            code.parse_answer(text, ours.secret, offer)
        except CodeForeignAnswer:
            return text


def test_an_answer_of_another_run_is_told(start: Processes) -> None:
    person, script = start.send("file", terminal=True), start.send("file", keyboard=True)
    receiver = start.receive(person.code(), "-o", "out", "-y", before=REACHES_NOBODY)
    answer = receiver.code()
    person.type(foreign(answer, person.code()) + "\r")
    person.out.wait_for(b"warning: [^\n]*another")
    script.type(foreign(answer, script.code()) + "\n")
    ended = script.ended()
    assert ended.exit_code == 4, ended.err
    assert "another" in ended.err
    person.type(answer + "\r")
    succeeded(person, receiver)


# Strangers, and somebody who has the code


def port_of(process: Running) -> tuple[str, int]:
    """The address of this side of the path in use."""
    told = json.loads(process.out.wait_for(rb'^\{"event": "connected".*\n')[0])
    host, _, port = told["path"]["local"].rpartition(":")
    return host, int(port)


def bogus(number: int) -> bytes:
    """Noise, STUN as anybody can make it, and DTLS records, encrypted and not."""
    noise_, transaction = os.urandom(200), os.urandom(12)
    stun = struct.pack("!HHI12s", (0x0001, 0x0101, 0x0111)[number % 3], 0, 0x2112A442, transaction)
    checked = stun[:2] + struct.pack("!H", 24) + stun[4:] + struct.pack("!HH", 0x0008, 20) + os.urandom(20)
    alert = b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02" + b"\x02\x28"
    goodbye = b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02" + b"\x01\x00"
    hello = b"\x16\xfe\xfd" + bytes(8) + b"\x00\x0c" + b"\x01" + bytes(11)
    sealed = b"\x17\xfe\xfd\x00\x01" + struct.pack("!HI", 0, number) + struct.pack("!H", 64) + noise_[:64]
    return (noise_, stun, checked, alert, goodbye, hello, sealed)[number % 7]


def forged(source: tuple[str, int], to: tuple[str, int], data: bytes) -> bytes:
    """An IPv4 packet that pretends to come from source; the system fills in what is zero, and 0 is no UDP checksum."""
    udp = struct.pack("!HHHH", source[1], to[1], 8 + len(data), 0) + data
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses + udp


def flood(lab: Lab, one: tuple[str, int], other: tuple[str, int]) -> int:
    """From the middle to both, from an address of its own and in the name of the other side. How many went out."""
    with lab.inside("m"):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    began, sent = time.monotonic(), 0
    with raw, Udp(lab, "m") as own:
        while (passed := time.monotonic() - began) < FLOOD_S:
            while sent < passed * FLOOD_PER_S:
                source, to = ((one, other), (other, one))[sent % 2]
                if sent % 4 < 2:
                    own.send(bogus(sent), to)
                else:
                    raw.sendto(forged(source, to, bogus(sent)), to)
                sent += 1
            time.sleep(0.005)
    return sent


@pytest.mark.lab
def test_a_flood_of_nonsense_at_the_open_ports(tmp_path: Path) -> None:
    with hosts_in(Lab(Topology.PUBLIC), tmp_path) as hosts:
        sender = hosts.send("-", "--name", "stream", "--json", keyboard=True)
        receiver = hosts.receive(sender.code(), "--json")
        ports = port_of(sender), port_of(receiver)
        sent: list[int] = []
        flooding = threading.Thread(target=lambda: sent.append(flood(hosts.lab, *ports)))
        flooding.start()
        for _ in range(8):
            sender.type(noise(MIB))
            time.sleep(FLOOD_S / 8)
        flooding.join()
        sender.close_input()
        ends = succeeded(sender, receiver)
    assert sent[0] > FLOOD_S * FLOOD_PER_S / 2
    assert (tmp_path / "out" / "stream").stat().st_size == 8 * MIB
    for ended in ends:
        assert {each["event"] for each in ended.events}.isdisjoint({"stalled", "back", "path", "warning"})


async def come_again(text: str, times: int) -> list[str]:
    """What becomes of somebody who comes with the code, time after time."""
    offer = code.parse_offer(text, now_s=time.time(), expecting=code.Starter.SENDER)
    outcomes = []
    for _ in range(times):
        peer = Peer(ALONE, offer.secret, offering=False, remote_pin=offer.pin)
        peer.add_remote(offer.candidates)
        outcomes.append(await outcome(peer, PATIENCE_S))
    return outcomes


async def take_the_place(text: str, receiver: tuple[str, int]) -> str:
    """What becomes of somebody who plays the sender to the receiver."""
    offer = code.parse_offer(text, now_s=time.time(), expecting=code.Starter.SENDER)
    peer = Peer(ALONE, offer.secret, offering=True)
    peer.add_remote([code.Candidate("host", *receiver)])
    return await outcome(peer, TOLD_IN_S)


async def outcome(peer: Peer, within_s: float) -> str:
    try:
        await peer.gather()
        async with asyncio.timeout(within_s):
            await peer.connect()
    except (CodeUsed, TimeoutError) as error:
        return type(error).__name__
    finally:
        await peer.close()
    return "connected"


@pytest.mark.lab
def test_who_has_the_code_and_tries_again_and_again(tmp_path: Path) -> None:
    with hosts_in(Lab(Topology.PUBLIC), tmp_path) as hosts:
        sender = hosts.send("-", "--name", "stream", "--json", keyboard=True)
        receiver = hosts.receive(sender.code(), "--json")
        to_receiver = port_of(receiver)
        with Place(hosts.lab, "m") as stranger, Place(hosts.lab, "b") as neighbour:
            pushing = [each.start(come_again(sender.code(), 5)) for each in (stranger, neighbour)]
            playing = stranger.start(take_the_place(sender.code(), to_receiver))
            stream(sender, 4 * MIB)
            assert [each.result(PATIENCE_S) for each in pushing] == [["CodeUsed"] * 5] * 2
            assert playing.result(PATIENCE_S) == "TimeoutError"
        sender.close_input()
        ends = succeeded(sender, receiver)
    assert (tmp_path / "out" / "stream").stat().st_size == 4 * MIB
    for ended in ends:
        assert {each["event"] for each in ended.events}.isdisjoint({"stalled", "back", "path"})
