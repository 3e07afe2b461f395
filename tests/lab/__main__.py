"""The laboratory from the command line: python tests/lab up a=symmetric b=port-restricted --turn; ... exec a -- COMMAND."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:
    sys.path[0] = str(Path(__file__).parent.parent)

from lab import keeper, network
from lab.kinds import Layout, Nat, Shape, Site

EPILOG = f"""kinds: {", ".join(each.value for each in Nat)}, with IPv4; ",dual" or ",ipv6" behind one for other addresses.
Needs root."""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lab", description=__doc__, epilog=EPILOG)
    top.add_argument("--name", default="lab", type=_name, help="for more than one at a time (default: lab)")
    commands = top.add_subparsers(dest="command", required=True)

    up = commands.add_parser("up", help="build it; a process in the background keeps it", epilog=EPILOG)
    up.add_argument("sites", nargs="*", metavar="a=KIND b=KIND", help="what each host is behind (default: none)")
    shape = up.add_mutually_exclusive_group()
    shape.add_argument("--together", action="store_true", help="both on one LAN behind one NAT")
    shape.add_argument("--isolated", action="store_true", help="both behind one NAT that keeps them apart")
    up.add_argument("--stun", action="store_true", help="with coturn; what exec runs uses it as STUN server")
    up.add_argument(
        "--turn",
        nargs="?",
        const="udp",
        choices=("udp", "tcp", "tls"),
        default="",
        help="and as TURN server, over this",
    )
    up.add_argument("--secret", action="store_true", help="TURN credentials are made of a shared secret")

    run = commands.add_parser("exec", help="run a command on a host (a, b), a NAT (ra, rb) or in the middle (m)")
    run.add_argument("member")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="-- COMMAND...")

    for command, explanation in (
        ("cut", "everything on the cable vanishes"),
        ("mend", "the end of cut"),
        ("flush", "the NAT forgets its mappings"),
        ("rebind", "the NAT forgets its mappings, and the next ones have other ports"),
        ("renumber", "the host gets another address in its network"),
    ):
        commands.add_parser(command, help=explanation).add_argument("host", choices=("a", "b"))

    roam = commands.add_parser("roam", help="the host gets another address in another network", epilog=EPILOG)
    roam.add_argument("host", choices=("a", "b"))
    roam.add_argument(
        "site", nargs="?", metavar="KIND", type=Site.parse, help="what is there (default: the same as before)"
    )

    slow = commands.add_parser("slow", help="delay and lose packets on the cable; without options: no longer")
    slow.add_argument("host", choices=("a", "b"))
    slow.add_argument("--delay", type=float, default=0.0, metavar="MS", help="milliseconds longer each way")
    slow.add_argument("--loss", type=float, default=0.0, metavar="PERCENT")
    slow.add_argument("--seed", type=int, default=0, help="another number loses others (default: 0)")

    server = commands.add_parser("server", help="coturn: killed, started anew, frozen (SIGSTOP), thawed")
    server.add_argument("do", choices=("kill", "start", "freeze", "thaw"))
    commands.add_parser("status", help="what is there, and where")
    commands.add_parser("list", help="the names of all laboratories")
    commands.add_parser("down", help="remove it, and kill what runs in it")
    return top


def main() -> None:
    options = parser().parse_args()
    try:
        carry_out(options)
    except keeper.NoAnswer as error:
        sys.exit(f"lab: {error}")


def carry_out(options: argparse.Namespace) -> None:
    """Raises NoAnswer."""
    name, command = options.name, options.command
    if command == "up":
        up(options)
    elif command == "exec":
        run(name, options.member, options.arguments)
    elif command == "status":
        print(keeper.ask(name, "status"))
    elif command == "list":
        print(*keeper.names(), sep="\n")
    elif command == "roam":
        keeper.ask(name, "roam", host=options.host, site=str(options.site) if options.site else None)
    elif command == "slow":
        delay_s, loss = options.delay / 1000, options.loss / 100
        keeper.ask(name, "slow", host=options.host, delay_s=delay_s, loss=loss, seed=options.seed)
    elif command == "server":
        keeper.ask(name, "server", do=options.do)
    elif command == "down":
        keeper.end(name)
    else:
        keeper.ask(name, command, host=options.host)


def up(options: argparse.Namespace) -> None:
    shape = Shape.TOGETHER if options.together else Shape.ISOLATED if options.isolated else Shape.APART
    try:
        layout = _layout(options.sites, shape)
    except ValueError as error:
        raise keeper.NoAnswer(str(error)) from None
    if reason := network.why_not():
        raise keeper.NoAnswer(reason)
    keeper.start(
        options.name, layout, servers=options.stun or bool(options.turn), turn=options.turn, secret=options.secret
    )
    print(keeper.ask(options.name, "status"))


def run(name: str, member: str, arguments: list[str]) -> None:
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        raise keeper.NoAnswer("exec needs a command")
    place = keeper.ask(name, "place", member=member)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.execvpe("ip", [*place["command"], *command], {**os.environ, **place["environment"], "PATH": path})


def _layout(sites: list[str], shape: Shape) -> Layout:
    """Raises ValueError."""
    given = dict(each.partition("=")[::2] for each in sites)
    if unknown := set(given) - {"a", "b"}:
        raise ValueError(f"no host: {', '.join(sorted(unknown))}")
    a = Site.parse(given.get("a", Nat.NONE.value))
    b = Site.parse(given["b"]) if "b" in given else a if shape is not Shape.APART else Site()
    return Layout(a, b, shape)


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w-]{1,40}", text):
        raise argparse.ArgumentTypeError("letters, digits and hyphens")
    return text


if __name__ == "__main__":
    main()
