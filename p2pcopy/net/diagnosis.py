"""Why no connection came about: rows of what was tried, and the most likely reason and remedy in a sentence each. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from p2pcopy.config import Family, NetSettings, Relay
from p2pcopy.events import Tried
from p2pcopy.net.trial import RemoteTrial, ServerReport, Trial
from p2pcopy.signaling.addresses import is_private, written
from p2pcopy.signaling.candidates import Candidate

_TURN: Final = "Name a TURN server with --turn: then one code is enough, whatever the two networks are like."
_MEANT: Final = {
    "host": "an address of this machine",
    "srflx": "how a STUN server sees this machine",
    "relay": "lent by a TURN server",
}


@dataclass(frozen=True)
class Finding:
    """reason: goes on after a colon, without a full stop; remedy: one or more sentences."""

    reason: str
    remedy: str


# Rows


def tried(trial: Trial) -> tuple[Tried, ...]:
    """Servers, then our addresses, then those of the other side with what came of them."""
    return (
        *(_server_row(report) for report in trial.servers),
        *(Tried("own", written(own.host, own.port), _MEANT[own.type], True) for own in trial.own),
        *(
            Tried("peer", written(remote.candidate.host, remote.candidate.port), *_outcome(remote, trial))
            for remote in trial.remote
        ),
    )


def _server_row(report: ServerReport) -> Tried:
    outcome = f"answered in {report.seconds:.2f} s" if report.ok else report.reason
    return Tried("turn" if _is_turn(report) else "stun", report.url, outcome, report.ok)


def _outcome(remote: RemoteTrial, trial: Trial) -> tuple[str, bool]:
    if remote.answered:
        return "answered, but no session came of it", True
    if remote.heard:
        return "was heard here, but did not answer", False
    if remote.refused:
        return "nobody listens there", False
    if remote.candidate.is_mdns:
        return "a name that only a browser's own network knows", False
    if not remote.checks:
        suits = _families(trial.own) >= _families([remote.candidate])
        return ("not tried" if suits else "this machine has no address of its kind"), False
    return f"no answer to {remote.checks} checks", False


# Reasons


def all_refuse(trial: Trial) -> bool:
    """Do the machines at all addresses of the other side say that nobody listens there? Relays do not count."""
    machines = [remote for remote in trial.remote if remote.candidate.type != "relay"]
    return (
        bool(machines)
        and all(remote.refused for remote in machines)
        and not any(remote.answered or remote.heard for remote in trial.remote)
    )


def explain(trial: Trial, settings: NetSettings, *, offering: bool) -> Finding:
    """The most likely reason why nothing came of it. offering: this side made the first code."""
    if any(remote.answered for remote in trial.remote):
        return Finding(
            "the other side was reached, but the connection did not hold long enough to begin",
            "Try again with a fresh code; if it happens again, run both sides with --verbose.",
        )
    if any(remote.heard for remote in trial.remote):
        return Finding(
            "the other side is heard here, but nothing gets back to it: a firewall lets UDP through in one direction only",
            f"Allow outgoing UDP on this side. {_turn_remedy(trial, settings)}",
        )
    if not trial.remote:
        return _nobody(trial, settings)
    return _unreachable(trial, settings, offering)


def _nobody(trial: Trial, settings: NetSettings) -> Finding:
    """Our code is out; nothing has come back, neither a code nor a check."""
    if settings.two_way:
        return Finding(
            "no answer code came, and with --two-way nobody gets in without one",
            "Start again, let the other side use the fresh code, and enter here the answer code that it shows.",
        )
    enter = "If the other side shows an answer code, enter that here."
    if any(own.type == "relay" for own in trial.own):
        return Finding(
            "the other side never used the code, or its network lets nothing out to the TURN server",
            f"Start both sides again, with a fresh code. {enter}",
        )
    if _reaches_no_server(trial) or all(map(is_local, trial.own)):
        where = _why_local(trial)
        return Finding(
            f"the other side never used the code, or is not in this network: {where}",
            f"Start both sides again, with a fresh code. {_local_remedy(trial, settings)}",
        )
    return Finding(
        "the other side never used the code, or could not get in: a NAT or firewall on this side lets in nobody unknown",
        f"Start both sides again, with a fresh code. {enter} {_turn_remedy(trial, settings)}",
    )


def _unreachable(trial: Trial, settings: NetSettings, offering: bool) -> Finding:
    """The addresses of the other side are known, and nothing was ever heard from them."""
    theirs = [remote.candidate for remote in trial.remote]
    if all_refuse(trial):
        return Finding(
            "the other side's machine is there, but p2pcopy does not run there any more",
            "Start both sides again, with a fresh code.",
        )
    if not _families(trial.own) & _families(theirs):
        return _no_common_family(trial, theirs, settings)
    if failed := [report for report in trial.servers if _is_turn(report) and not report.ok]:
        return Finding(
            f"there is no direct way, and {failed[0].url} could not be used: {failed[0].reason}",
            "Check the address of the TURN server and its credential, or name another one with --turn.",
        )
    ours_relayed, theirs_relayed = (any(each.type == "relay" for each in side) for side in (trial.own, theirs))
    if ours_relayed and theirs_relayed:
        return Finding(
            "there is no direct way, and the TURN servers of the two sides do not reach each other",
            "Use the same TURN server on both sides.",
        )
    if settings.relay is Relay.ONLY:
        return Finding(
            "only a relay may be used, and the other side lets in nothing that comes from it",
            "Enter the answer code on the side that made the first code, use the same TURN server on both sides, "
            "or allow direct ways with --relay auto.",
        )
    if _reaches_no_server(trial) and not ours_relayed:
        return Finding(f"there is no way out of this network: {_why_local(trial)}", _local_remedy(trial, settings))
    if all(map(is_local, theirs)):
        return Finding(
            "the code of the other side has addresses of its own network only, and this machine is not in that network",
            "Let the other side ask a STUN server (without --no-stun, and with UDP allowed), or use a TURN server there.",
        )
    if all(map(is_local, trial.own)):
        return Finding(
            f"this machine gave only addresses of its own network: {_why_local(trial)}", _local_remedy(trial, settings)
        )
    if not offering:
        return Finding(
            "nothing answers at the addresses in the code: the answer code never got back to the other side, or two NATs "
            "or firewalls let nothing in",
            f"Enter the answer code that is shown here on the other side. {_turn_remedy(trial, settings)}",
        )
    return Finding(
        "both codes are known, but the NATs or firewalls of the two networks let nothing in from each other (at least one "
        "of them is symmetric, probably)",
        _turn_remedy(trial, settings),
    )


def _no_common_family(trial: Trial, theirs: list[Candidate], settings: NetSettings) -> Finding:
    ours, others = ("IPv6" if 6 in _families(side) else "IPv4" for side in (trial.own, theirs))
    remedy = "Use a TURN server on both sides: it speaks to each in its own way."
    if settings.family is not Family.ANY:
        remedy = f"Leave out --{settings.family} here."
    return Finding(f"this side has {ours} only, and the other side {others} only", remedy)


def _turn_remedy(trial: Trial, settings: NetSettings) -> str:
    if settings.relay is Relay.NEVER:
        return (
            "If that is so or does not help, a relay is the only way: leave out --relay never, and name a TURN server."
        )
    if any(own.type == "relay" for own in trial.own):
        return "Use the TURN server on the other side as well."
    return _TURN


def _why_local(trial: Trial) -> str:
    if _reaches_no_server(trial):
        return "no server answers, so UDP is blocked here, or this network has no way to the internet"
    return "no STUN server was asked for the public address"


def _local_remedy(trial: Trial, settings: NetSettings) -> str:
    if not _reaches_no_server(trial):
        return "Across networks, leave out --no-stun, or name a TURN server with --turn."
    if settings.relay is Relay.NEVER:
        return "Across networks, allow UDP, or leave out --relay never and name a TURN server."
    return "Across networks, allow UDP, or name a TURN server that is reached over TCP: --turn turns:HOST."


def _reaches_no_server(trial: Trial) -> bool:
    return bool(trial.servers) and not any(report.ok for report in trial.servers)


def _is_turn(report: ServerReport) -> bool:
    return report.url.startswith(("turn:", "turns:"))


def _families(candidates: Iterable[Candidate]) -> set[int]:
    return {6 if ":" in each.host else 4 for each in candidates if not each.is_mdns}


def is_local(candidate: Candidate) -> bool:
    """Does this address lead nowhere from outside its own network?"""
    return candidate.is_mdns or is_private(candidate.host)
