"""One address of this machine that asks STUN servers, and what that tells of the NAT or firewall before it (RFC 5780)."""

from __future__ import annotations

import asyncio

from aioice import stun

from p2pcopy.net.asking import CHANGE_ADDRESS_AND_PORT, CHANGE_PORT, Asker, Reply
from p2pcopy.net.endpoint import is_ipv6
from p2pcopy.net.natkind import Address, FilterTest, Mapped, Observations
from p2pcopy.signaling.addresses import is_private

# What a question comes to when it has no good answer.
NO_ANSWER = (TimeoutError, stun.TransactionFailed, ValueError, OSError)


class Vantage:
    """All questions about the mapping come from one socket; what is not to be disturbed by it has a socket of its own.

    answer_s: how long a server may take; test_s: how long an answer of one that has answered before may take.
    """

    def __init__(self, asker: Asker, answer_s: float, test_s: float) -> None:
        self.address = asker.local[0]
        self._asker = asker
        self._answer_s = answer_s
        self._test_s = test_s
        self._mapped: list[Mapped] = []
        self._filter_tests: list[FilterTest] = []
        self._hairpin: bool | None = None
        self._explored: set[Address] = set()

    @classmethod
    async def open(cls, address: str, answer_s: float, test_s: float) -> Vantage:
        """Raises OSError."""
        return cls(await Asker.open(address), answer_s, test_s)

    def close(self) -> None:
        self._asker.close()

    def observations(self, *, blocked: bool) -> Observations:
        return Observations(
            self._asker.local,
            tuple(self._mapped),
            tuple(self._filter_tests),
            self._hairpin,
            blocked=blocked,
            is_private=is_private(self.address),
        )

    async def ask(self, server: Address) -> Reply:
        """Raises TimeoutError, stun.TransactionFailed, ValueError for an answer that makes no sense, OSError."""
        return await self._asker.ask(server, limit_s=self._answer_s)

    async def explore(self, server: Address) -> bool:
        """Learn what this server can tell. Does it offer the tests of RFC 5780? Bounded by answer_s + 2 * test_s."""
        if server in self._explored:
            return False
        self._explored.add(server)
        try:
            reply = await self.ask(server)
        except NO_ANSWER:
            return False
        is_first = not self._mapped
        self._mapped.append(Mapped(server, reply.mapped))
        has_tests = offers_tests(server, reply)
        async with asyncio.TaskGroup() as group:
            if is_first and reply.mapped != self._asker.local:
                group.create_task(self._try_hairpin(server, reply.mapped))
            if has_tests and reply.other is not None:
                group.create_task(self._test_behaviour(server, reply.other))
        return has_tests

    async def _test_behaviour(self, server: Address, other: Address) -> None:
        async with asyncio.TaskGroup() as group:
            mapped = [group.create_task(self._map(each)) for each in ((other[0], server[1]), other)]
            filtered = group.create_task(self._filter(server))
        is_alive = any(task.result() for task in mapped)
        from_other_address, from_other_port = filtered.result()
        valid = is_alive and from_other_address is not None and from_other_port is not None
        self._filter_tests.append(FilterTest(bool(from_other_address), bool(from_other_port), valid))

    async def _map(self, server: Address) -> bool:
        """RFC 5780 section 4.3: how does the server's other address see us?"""
        try:
            reply = await self._asker.ask(server, limit_s=self._test_s)
        except NO_ANSWER:
            return False
        self._mapped.append(Mapped(server, reply.mapped))
        return True

    async def _filter(self, server: Address) -> tuple[bool | None, bool | None]:
        """RFC 5780 section 4.4: do answers from the other address and port, and from the other port alone, get in?

        None: the server did not do as it was asked to.
        """
        asker: Asker | None = None
        try:
            asker = await Asker.open(self.address)
            await asker.ask(server, limit_s=self._test_s)
            from_address, from_port = await asyncio.gather(
                self._comes_in(asker, server, CHANGE_ADDRESS_AND_PORT), self._comes_in(asker, server, CHANGE_PORT)
            )
        except NO_ANSWER:
            return None, None
        finally:
            if asker is not None:
                asker.close()
        return from_address, from_port

    async def _comes_in(self, asker: Asker, server: Address, change: int) -> bool | None:
        try:
            reply = await asker.ask(server, limit_s=self._test_s, change=change)
        except TimeoutError:
            return False
        except NO_ANSWER:
            return None
        is_elsewhere = reply.source[0] != server[0] if change == CHANGE_ADDRESS_AND_PORT else reply.source != server
        return True if is_elsewhere else None

    async def _try_hairpin(self, server: Address, mapped: Address) -> None:
        """Two sockets ask each other at their public addresses (RFC 4787 section 6), both, as filters may want that."""
        asker: Asker | None = None
        try:
            asker = await Asker.open(self.address)
            theirs = (await asker.ask(server, limit_s=self._test_s)).mapped
            limit = self._test_s / 2
            answers = await asyncio.gather(
                asker.ask(mapped, limit_s=limit), self._asker.ask(theirs, limit_s=limit), return_exceptions=True
            )
            self._hairpin = any(isinstance(each, Reply) for each in answers)
        except NO_ANSWER:
            return
        finally:
            if asker is not None:
                asker.close()


def offers_tests(server: Address, reply: Reply) -> bool:
    """Does it name an address and a port that both differ from those asked (RFC 5780 section 7.4)?"""
    other = reply.other
    return (
        other is not None
        and is_ipv6(other[0]) == is_ipv6(server[0])
        and other[0] != server[0]
        and 0 < other[1] != server[1]
    )
