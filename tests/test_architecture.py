"""The rules of docs/development.md, checked on every module of the package, with imports inside functions included.

Run as a program it prints the files of the pure modules, for `make cover`.
"""

from __future__ import annotations

import ast
import gc
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PURE = (
    "p2pcopy.channel",
    "p2pcopy.config",
    "p2pcopy.errors",
    "p2pcopy.events",
    "p2pcopy.keys",
    "p2pcopy.files.journal",
    "p2pcopy.files.names",
    "p2pcopy.net.arrivals",
    "p2pcopy.net.channeldata",
    "p2pcopy.net.baseline",
    "p2pcopy.net.calm",
    "p2pcopy.net.congestion",
    "p2pcopy.net.deliveryrate",
    "p2pcopy.net.diagnosis",
    "p2pcopy.net.findings",
    "p2pcopy.net.inbound",
    "p2pcopy.net.flight",
    "p2pcopy.net.halves",
    "p2pcopy.net.link",
    "p2pcopy.net.liveness",
    "p2pcopy.net.messages",
    "p2pcopy.net.natkind",
    "p2pcopy.net.outbound",
    "p2pcopy.net.packets",
    "p2pcopy.net.pathmtu",
    "p2pcopy.net.reordering",
    "p2pcopy.net.roundtrip",
    "p2pcopy.net.runs",
    "p2pcopy.net.sealing",
    "p2pcopy.net.slices",
    "p2pcopy.net.trial",
    "p2pcopy.net.tsn",
    "p2pcopy.net.uri",
    "p2pcopy.net.verdict",
    "p2pcopy.roadnews",
    "p2pcopy.signaling.addresses",
    "p2pcopy.signaling.base32",
    "p2pcopy.signaling.candidates",
    "p2pcopy.signaling.checks",
    "p2pcopy.signaling.code",
    "p2pcopy.signaling.derive",
    "p2pcopy.signaling.expiry",
    "p2pcopy.signaling.lent",
    "p2pcopy.signaling.parameters",
    "p2pcopy.signaling.pasted",
    "p2pcopy.signaling.sdp",
    "p2pcopy.quantities",
    "p2pcopy.transfer.assembly",
    "p2pcopy.transfer.blocks",
    "p2pcopy.transfer.claims",
    "p2pcopy.transfer.conversation",
    "p2pcopy.transfer.flow",
    "p2pcopy.transfer.held",
    "p2pcopy.transfer.items",
    "p2pcopy.transfer.ledger",
    "p2pcopy.transfer.offer",
    "p2pcopy.transfer.orders",
    "p2pcopy.transfer.outbox",
    "p2pcopy.transfer.pace",
    "p2pcopy.transfer.packing",
    "p2pcopy.transfer.patience",
    "p2pcopy.transfer.ports",
    "p2pcopy.transfer.receiver",
    "p2pcopy.transfer.records",
    "p2pcopy.transfer.results",
    "p2pcopy.transfer.sender",
    "p2pcopy.transfer.summary",
    "p2pcopy.transfer.totals",
    "p2pcopy.transfer.wire",
    "p2pcopy.ui.lineedit",
    "p2pcopy.ui.settingslist",
    "p2pcopy.usage.commands",
    "p2pcopy.usage.completion",
    "p2pcopy.usage.examples",
    "p2pcopy.usage.helptext",
    "p2pcopy.usage.manpage",
    "p2pcopy.usage.mistakes",
)

# From the bottom up: who may import what, besides the pure modules. A key stands for the module and for what is inside it.
LAYERS: dict[str, tuple[str, ...]] = {
    "p2pcopy.net": ("p2pcopy.net",),
    "p2pcopy.transfer": ("p2pcopy.transfer",),
    "p2pcopy.files": ("p2pcopy.files",),
    "p2pcopy.signaling": ("p2pcopy.signaling",),
    "p2pcopy.ui": ("p2pcopy.ui", "p2pcopy.signaling.qr"),
    "p2pcopy.console": ("p2pcopy.ui",),
    "p2pcopy.usage": ("p2pcopy.console", "p2pcopy.usage"),
    "p2pcopy.stops": (),
    "p2pcopy.configfile": (),
    "p2pcopy.options": (),
    "p2pcopy.settings": ("p2pcopy.options",),
    "p2pcopy.explain": ("p2pcopy.signaling",),
    "p2pcopy.desk": ("p2pcopy.signaling",),
    "p2pcopy.meeting": ("p2pcopy.desk", "p2pcopy.net", "p2pcopy.signaling"),
    "p2pcopy.tty": ("p2pcopy.signaling", "p2pcopy.ui"),
    "p2pcopy.keyboard": ("p2pcopy.tty", "p2pcopy.signaling", "p2pcopy.stops", "p2pcopy.transfer", "p2pcopy.ui"),
    "p2pcopy.roads": (
        "p2pcopy.desk",
        "p2pcopy.keyboard",
        "p2pcopy.meeting",
        "p2pcopy.signaling",
        "p2pcopy.ui.reporter",
    ),
    "p2pcopy.serving": ("p2pcopy.stops",),
    "p2pcopy.doctor": ("p2pcopy.net", "p2pcopy.ui"),
    "p2pcopy.unfinished": ("p2pcopy.files", "p2pcopy.ui"),
    "p2pcopy.stories": (
        "p2pcopy.net",
        "p2pcopy.transfer",
        "p2pcopy.files",
        "p2pcopy.meeting",
    ),
    "p2pcopy.hooks": (
        "p2pcopy.transfer",
        "p2pcopy.ui.meter",
        "p2pcopy.desk",
        "p2pcopy.meeting",
        "p2pcopy.stories",
    ),
    "p2pcopy.api": (
        "p2pcopy.net",
        "p2pcopy.transfer",
        "p2pcopy.signaling",
        "p2pcopy.hooks",
        "p2pcopy.stories",
    ),
    "p2pcopy.app": (
        "p2pcopy.net",
        "p2pcopy.transfer",
        "p2pcopy.files",
        "p2pcopy.signaling",
        "p2pcopy.ui",
        "p2pcopy.stops",
        "p2pcopy.desk",
        "p2pcopy.keyboard",
        "p2pcopy.meeting",
        "p2pcopy.roads",
        "p2pcopy.serving",
        "p2pcopy.stories",
    ),
    "p2pcopy.cli": (
        "p2pcopy.app",
        "p2pcopy.configfile",
        "p2pcopy.console",
        "p2pcopy.doctor",
        "p2pcopy.explain",
        "p2pcopy.net.interfaces",
        "p2pcopy.options",
        "p2pcopy.settings",
        "p2pcopy.ui",
        "p2pcopy.unfinished",
        "p2pcopy.usage",
    ),
    "p2pcopy.__main__": ("p2pcopy.cli",),
}

# Who alone may import what others have written.
OWNERS: dict[str, tuple[str, ...]] = {
    "aiortc": ("p2pcopy.net",),
    "aioice": ("p2pcopy.net",),
    "OpenSSL": ("p2pcopy.net",),
    "ifaddr": ("p2pcopy.net",),
    "pathspec": ("p2pcopy.files",),
    "qrcode": ("p2pcopy.signaling.qr",),
    "zxingcpp": ("p2pcopy.signaling.pictures",),
    "PIL": ("p2pcopy.signaling.pictures", "p2pcopy.signaling.camera"),
    "av": ("p2pcopy.signaling.camera",),
    "copykitten": ("p2pcopy.signaling.clipboard",),
    "png": ("p2pcopy.signaling.qr",),
    "rich": ("p2pcopy.ui",),
    "platformdirs": ("p2pcopy.configfile",),
    "typer": ("p2pcopy.cli", "p2pcopy.console", "p2pcopy.options", "p2pcopy.usage.parser"),
}

TEXT_TOKENS = (tokenize.COMMENT, tokenize.STRING)
IMPURE = frozenset(
    """aioice aiortc asyncio concurrent fcntl glob logging multiprocessing os pathlib queue random rich secrets select
    selectors shutil signal socket ssl subprocess sys tempfile threading time""".split()  # noqa: SIM905 (shorter so)
)
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval"})
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"})

MAX_LINES = 400


@dataclass(frozen=True)
class Module:
    name: str
    source: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def file(self) -> str:
        path = self.name.replace(".", "/")
        return f"{path}/__init__.py" if self.is_package else f"{path}.py"


@dataclass(frozen=True)
class Finding:
    line: int
    what: str


Check = Callable[[Module], Iterator[Finding]]


@cache
def package() -> tuple[Module, ...]:
    """Parsed. The collection of garbage after each test would take a fifth of a second longer if it looked through all trees."""
    modules = []
    for path in sorted((ROOT / "p2pcopy").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(name, path.read_text(encoding="utf-8"), is_package))
        assert modules[-1].tree
    gc.freeze()
    return tuple(modules)


@cache
def known_names() -> frozenset[str]:
    return frozenset(module.name for module in package())


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and full name of every import; "from p2pcopy.transfer import wire" counts as p2pcopy.transfer.wire."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, inner if inner in known_names() else node.module


def within(name: str, outer: str) -> bool:
    return name == outer or name.startswith(outer + ".")


def top(name: str) -> str:
    return name.partition(".")[0]


def layer(name: str) -> str | None:
    return next((key for key in LAYERS if within(name, key)), None)


def downwards(module: Module) -> Iterator[Finding]:
    allowed: tuple[str, ...]
    if module.name == "p2pcopy":
        allowed = ("p2pcopy.api",)
    elif module.name in PURE:
        allowed = ()
    elif (key := layer(module.name)) is None:
        yield Finding(1, f"{module.name} is in none of the LAYERS and not PURE")
        return
    else:
        allowed = LAYERS[key]
    for line, name in imports(module):
        if top(name) != "p2pcopy" or name == "p2pcopy" or name in PURE:
            continue
        if not any(within(name, outer) for outer in allowed):
            yield Finding(line, f"{module.name} must not import {name}")


def owned(module: Module) -> Iterator[Finding]:
    for line, name in imports(module):
        owners = OWNERS.get(top(name), ())
        if owners and not any(within(module.name, owner) for owner in owners):
            yield Finding(line, f"only {' and '.join(owners)} may import {top(name)}")


def declared(module: Module) -> Iterator[Finding]:
    for line, name in imports(module):
        if top(name) != "p2pcopy" and top(name) not in sys.stdlib_module_names and not distributions(name) & runtime():
            yield Finding(line, f"{top(name)} is no dependency in pyproject.toml")


def pure(module: Module) -> Iterator[Finding]:
    if module.name not in PURE:
        return
    for line, name in imports(module):
        if top(name) in IMPURE:
            yield Finding(line, f"a pure module must not import {name}")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield Finding(node.lineno, f"a pure module must not call {node.func.id}()")


def absolute(module: Module) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield Finding(node.lineno, "a relative import")


def empty_packages(module: Module) -> Iterator[Finding]:
    """Importing a pure module runs the __init__ of its package; that of the outermost imports nothing before it is asked."""
    if module.is_package:
        for line, name in imports(module):
            if module.name == "p2pcopy" and name in ("typing", "importlib", "p2pcopy.api"):
                continue
            yield Finding(line, f"the package {module.name} itself imports {name}")


def telling_names(module: Module) -> Iterator[Finding]:
    if module.name.rpartition(".")[2] in VAGUE_NAMES:
        yield Finding(1, f"{module.name} says nothing about its job")


def short(module: Module) -> Iterator[Finding]:
    lines = module.source.count("\n")
    if lines > MAX_LINES:
        yield Finding(MAX_LINES + 1, f"{lines} lines, {MAX_LINES} are the limit")


def finished(module: Module) -> Iterator[Finding]:
    for token in tokenize.generate_tokens(io.StringIO(module.source).readline):
        if token.type in TEXT_TOKENS and (mark := re.search(r"\b(TODO|FIXME|XXX)\b", token.string)):
            yield Finding(token.start[0], mark[0])
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc):
            yield Finding(node.lineno, "raise NotImplementedError: an abstract method says so with abc or Protocol")


def named_exceptions(module: Module) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield Finding(node.lineno, "except without a class")


def no_assert(module: Module) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            yield Finding(node.lineno, "assert, which python -O leaves out")


def documented(module: Module) -> Iterator[Finding]:
    if module.source.strip() and not ast.get_docstring(module.tree):
        yield Finding(1, f"{module.name} has no docstring")


def distributions(name: str) -> frozenset[str]:
    return frozenset(canonical(found) for found in packages().get(top(name), ()))


@cache
def packages() -> dict[str, list[str]]:
    return dict(packages_distributions())


@cache
def runtime() -> frozenset[str]:
    """The declared dependencies, those of the extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (entry for extra in project["optional-dependencies"].values() for entry in extra)
    return frozenset(canonical(re.split(r"[^\w.-]", entry)[0]) for entry in (*project["dependencies"], *extras))


def canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@dataclass(frozen=True)
class Rule:
    """A check with a module that breaks it and one that just does not."""

    check: Check
    bad: Module
    good: Module


RULES = (
    Rule(
        downwards,
        bad=Module("p2pcopy.net.peer", "def late():\n    from p2pcopy.transfer import session\n"),
        good=Module("p2pcopy.net.peer", "from p2pcopy.transfer import wire\nfrom p2pcopy import __version__\n"),
    ),
    Rule(
        owned,
        bad=Module("p2pcopy.app", "import rich.console\n"),
        good=Module("p2pcopy.ui.terminal", "import rich.console\nimport richer\n"),
    ),
    Rule(
        declared,
        bad=Module("p2pcopy.app", "import pytest\n"),
        good=Module("p2pcopy.app", "import blake3\nimport os.path\nimport p2pcopy.config\n"),
    ),
    Rule(
        pure,
        bad=Module("p2pcopy.transfer.flow", "from time import monotonic\n"),
        good=Module("p2pcopy.transfer.session", "from time import monotonic\nopen('x')\n"),
    ),
    Rule(
        pure,
        bad=Module("p2pcopy.transfer.flow", "def load(name):\n    return open(name)\n"),
        good=Module("p2pcopy.transfer.flow", "import datetime\ndef load(store):\n    return store.open()\n"),
    ),
    Rule(
        absolute,
        bad=Module("p2pcopy.app", "from . import config\n"),
        good=Module("p2pcopy.app", "from p2pcopy import config\n"),
    ),
    Rule(
        empty_packages,
        bad=Module("p2pcopy.net", "import aiortc\n", is_package=True),
        good=Module("p2pcopy.net", '"""The network."""\n', is_package=True),
    ),
    Rule(
        telling_names,
        bad=Module("p2pcopy.files.utils", ""),
        good=Module("p2pcopy.files.names", ""),
    ),
    Rule(
        short,
        bad=Module("p2pcopy.app", "x = 1\n" * (MAX_LINES + 1)),
        good=Module("p2pcopy.app", "x = 1\n" * MAX_LINES),
    ),
    Rule(
        finished,
        bad=Module("p2pcopy.app", "x = 1  # TODO: more\n"),
        good=Module("p2pcopy.app", 'todo = "a to-do list"\n'),
    ),
    Rule(
        finished,
        bad=Module("p2pcopy.app", "def later():\n    raise NotImplementedError\n"),
        good=Module("p2pcopy.app", "try:\n    x = 1\nexcept NotImplementedError:\n    x = 2\n"),
    ),
    Rule(
        named_exceptions,
        bad=Module("p2pcopy.app", "try:\n    x = 1\nexcept:\n    x = 2\n"),
        good=Module("p2pcopy.app", "try:\n    x = 1\nexcept ValueError:\n    x = 2\n"),
    ),
    Rule(
        no_assert,
        bad=Module("p2pcopy.app", "assert True\n"),
        good=Module("p2pcopy.app", "from typing import assert_never\n"),
    ),
    Rule(
        documented,
        bad=Module("p2pcopy.app", "x = 1\n"),
        good=Module("p2pcopy.net", "", is_package=True),
    ),
)


def rule_name(check: object) -> str:
    return getattr(check, "__name__", "")


@pytest.mark.parametrize("check", dict.fromkeys(rule.check for rule in RULES), ids=rule_name)
def test_the_package_keeps_the_rule(check: Check) -> None:
    broken = [
        f"{module.file}:{finding.line}: {rule_name(check)}: {finding.what}"
        for module in package()
        for finding in check(module)
    ]
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule_name(rule.check))
def test_the_rule_sees_what_it_should(rule: Rule) -> None:
    assert list(rule.check(rule.bad))
    assert not list(rule.check(rule.good))


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("p2pcopy.transfer.session", "p2pcopy.net.peer"),
        ("p2pcopy.files.directory", "p2pcopy.transfer.session"),
        ("p2pcopy.transfer.wire", "p2pcopy.transfer.session"),
        ("p2pcopy.signaling.code", "p2pcopy.signaling.exchange"),
        ("p2pcopy.meeting", "p2pcopy.app"),
        ("p2pcopy.doctor", "p2pcopy.app"),
        ("p2pcopy.net.trial", "p2pcopy.net.peer"),
        ("p2pcopy.settings", "p2pcopy.configfile"),
        ("p2pcopy.app", "p2pcopy.cli"),
        ("p2pcopy.ui.terminal", "p2pcopy.signaling.exchange"),
        ("p2pcopy", "p2pcopy.cli"),
        ("p2pcopy.brand_new", "p2pcopy.config"),
    ],
)
def test_no_way_up_or_across(importer: str, imported: str) -> None:
    assert list(downwards(Module(importer, f"import {imported}\n")))


def test_the_lists_name_what_exists() -> None:
    assert set(PURE) <= known_names()
    assert set(LAYERS) <= known_names()
    assert {owner for owners in OWNERS.values() for owner in owners} <= known_names()


def test_nothing_is_installed_in_vain() -> None:
    used = {found for module in package() for _, name in imports(module) for found in distributions(name)}
    assert runtime() <= used


if __name__ == "__main__":
    print(",".join(module.file for module in package() if module.name in PURE))
