"""Connectivity checks as STUN messages: made, answered, authenticated (RFC 8445 section 7, RFC 8489 section 9.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aioice import stun

from p2pcopy.net.pairs import CHECK_PRIORITY, RELAYED_PRIORITY, Address, Pair
from p2pcopy.signaling.derive import Credentials

USED: Final = 403  # Forbidden: the side that made the offer has found its peer


@dataclass(frozen=True)
class Keys:
    """Credentials of both sides, as they stand in a check of ours and of theirs (RFC 8445 section 7.2.2)."""

    local: Credentials
    remote: Credentials

    @property
    def incoming(self) -> str:
        return f"{self.local.ufrag}:{self.remote.ufrag}"

    @property
    def outgoing(self) -> str:
        return f"{self.remote.ufrag}:{self.local.ufrag}"

    @property
    def local_key(self) -> bytes:
        return self.local.password.encode()

    @property
    def remote_key(self) -> bytes:
        return self.remote.password.encode()


def request(pair: Pair, keys: Keys, tie_breaker: int, *, controlling: bool, nominate: bool) -> stun.Message:
    """A check of this pair. nominate: it is the pair that is to be used."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = keys.outgoing
    message.attributes["PRIORITY"] = RELAYED_PRIORITY if pair.local.relay else CHECK_PRIORITY
    message.attributes["ICE-CONTROLLING" if controlling else "ICE-CONTROLLED"] = tie_breaker
    if nominate:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(keys.remote_key)
    return message


def answer(asked: stun.Message, address: Address, keys: Keys) -> bytes:
    """The answer to a check that came from address."""
    message = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, asked.transaction_id)
    message.attributes["XOR-MAPPED-ADDRESS"] = address
    message.add_message_integrity(keys.local_key)
    return bytes(message)


def refusal(asked: stun.Message, keys: Keys) -> bytes:
    """Tells somebody who holds the code that it was used."""
    message = stun.Message(stun.Method.BINDING, stun.Class.ERROR, asked.transaction_id)
    message.attributes["ERROR-CODE"] = (USED, "Forbidden")
    message.add_message_integrity(keys.local_key)
    return bytes(message)


def proven(message: stun.Message, *known: Keys | None) -> Keys | None:
    """The credentials with which a check proves itself, None if it does not."""
    username = message.attributes.get("USERNAME")
    for keys in known:
        if keys is not None and username == keys.incoming:
            return keys if message.check_message_integrity(keys.local_key) else None
    return None
