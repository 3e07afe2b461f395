"""Messages that nobody should send, whoever is attacked and whenever."""

from __future__ import annotations

from hostile.forging import message

_DEEP = 40_000

# On the control channel.
CONTROL: dict[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "not JSON": b"\x00\xff\xfe",
    "half an object": b'{"type":"ping","number":',
    "two objects": message("ping", number=1) * 2,
    "a bare null": b"null",
    "an array": b'["ping",1]',
    "an unknown type": message("wave"),
    "no type": b'{"number":1}',
    "a type that is a number": b'{"type":1}',
    "an escape sequence as type": message("\x1b]0;rogue\x07"),
    "deep arrays": b"[" * _DEEP + b"]" * _DEEP,
    "deep objects in a field": b'{"type":"ping","x":' + b'{"a":' * _DEEP + b"1" + b"}" * _DEEP + b',"number":1}',
    "a number out of range": b'{"type":"ping","number":1e400}',
    "a number of many digits": b'{"type":"ping","number":' + b"9" * 5000 + b"}",
    "a fraction": b'{"type":"ping","number":0.5}',
    "NaN": b'{"type":"ping","number":NaN}',
    "a negative number": b'{"type":"ping","number":-1}',
    "half a character": b'{"type":"ping\\ud800","number":1}',
    "bytes that are not UTF-8": b'{"type":"ping\xff","number":1}',
    "a text without end": b'{"type":"' + b"x" * 200_000,
    "a pong for no ping": message("pong", number=2**53 - 1),
    "another hello": message("hello", version=1, role="sender", software="", block_size=65536),
    "a hello of another version": message("hello", version=2, role="sender", software="", block_size=65536),
    "too large by a byte": message("ping", number=1).ljust(262145),
}

# On the data channel, to a receiver that takes data: entry 1 is a file of 65536 bytes or more.
RECORDS: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\x01",
    "an unknown record": b"\x04" + bytes(40),
    "record 0": bytes(64),
    "half a piece": bytes.fromhex("0100000000010000"),
    "half an end": b"\x02\x00" + bytes(20),
    "half a fault": b"\x03\x01\x00",
    "a fault without reason": b"\x03\x00" + b"\x00\x00\x00\x01",
    "a fault with an unknown reason": b"\x03\xff" + b"\x00\x00\x00\x01",
    "noise": bytes(range(256)),
    "faults, and a byte more": b"\x03\x01\x00\x00\x00\x02\x03",
    "1025 records": b"\x03\x01\x00\x00\x00\x02" * 1025,
    "too large by a byte": b"\x03\x01\x00\x00\x00\x02" * 43690 + bytes(5),
}

# What an abort says, and the exit code that the other side is to have.
ABORTS: dict[str, int] = {
    "declined": 7,
    "local": 3,
    "integrity": 8,
    "protocol": 9,
    "peer-version": 9,
    "bad-name": 9,
    "name-taken": 9,
    "lost": 6,
    "interrupted": 6,
    "terminated": 6,
    "internal": 1,
    "": 9,
    "code-used": 9,
    "\x1b[2J\u202e": 9,
}
EVIL = "\x1b]0;rogue\x07\x1b[2J\x9b31m\r\n\u202eerror: all is well\u2066\x00\x7f\\x1b\u2028"
