"""The JSON Schema of all that --json writes, made of the events' classes and of the pages that document them.

Run as a program (`python tests/e2e/json_schema.py`) it writes docs/json-schema.json.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Union, get_args, get_origin, get_type_hints

from jsonschema import Draft202012Validator

from p2pcopy import events
from p2pcopy.net import findings, natkind
from p2pcopy.ui.jsonlines import VERSION

DOCS: Final = Path(__file__).parents[2] / "docs"
FILE: Final = DOCS / "json-schema.json"
EVENTS: Final[tuple[type[Any], ...]] = (
    *get_args(events.Event),
    *(cls for cls in get_args(events.PartsEvent) if cls not in get_args(events.Event)),
    events.Configuration,
    findings.Diagnosis,
)
# Objects within events, and the headings that they are documented under.
HEADINGS: Final[dict[type[Any], tuple[str, str]]] = {
    events.Path: ("json.md", "path (object)"),
    events.Tried: ("json.md", "tried"),
    events.ManifestLine: ("json.md", "entries"),
    events.SettingLine: ("json.md", "settings"),
    findings.Diagnosis: ("doctor.md", "doctor"),
    findings.Verdict: ("doctor.md", "verdict"),
    findings.Network: ("doctor.md", "network"),
    findings.OwnAddress: ("doctor.md", "addresses"),
    findings.ServerFinding: ("doctor.md", "servers"),
    findings.Check: ("doctor.md", "checks"),
    findings.FamilyFinding: ("doctor.md", "ipv4, ipv6"),
    natkind.Nat: ("doctor.md", "nat"),
    findings.Abilities: ("doctor.md", "data_path"),
    findings.Ability: ("doctor.md", "gso, gro, batch, path_mtu"),
    findings.Software: ("doctor.md", "software"),
    findings.Library: ("doctor.md", "libraries"),
}
_SIMPLE: Final[dict[Any, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
}
_RAW: Final = {
    "description": "bytes of the field named before _raw in base64, when they are not UTF-8; null if there are none",
    "type": ["string", "null"],
    "contentEncoding": "base64",
}


def schema(*, strict: bool = False) -> dict[str, Any]:
    """strict: nothing may be there that is not documented. Otherwise, fields of later versions are no mistake."""
    definitions: dict[str, Any] = {"raw": _RAW}
    for cls in EVENTS:
        _define(cls, definitions, strict)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:p2pcopy:json-events:{VERSION}",
        "title": f"p2pcopy JSON events, version {VERSION}",
        "description": "One line of what p2pcopy writes with --json.",
        "type": "object",
        "required": ["event", "v"],
        "oneOf": [{"$ref": f"#/$defs/{cls.__name__}"} for cls in EVENTS],
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def lines(output: str | bytes) -> list[dict[str, Any]]:
    """The events that were written, each held against the schema."""
    told = [json.loads(line) for line in output.splitlines()]
    for event in told:
        check(event)
    return told


def check(event: dict[str, Any]) -> None:
    """Raises jsonschema.ValidationError for an event that is not one of those documented, or has anything else in it."""
    _validator(event["event"]).validate(event)


@cache
def _validator(event: str) -> Draft202012Validator:
    """Of this kind of event alone, so that an error says what is wrong with it."""
    name = next(cls.__name__ for cls in EVENTS if cls.event == event)
    return Draft202012Validator({**schema(strict=True), "oneOf": [{"$ref": f"#/$defs/{name}"}]})


def rows(cls: type[Any]) -> dict[str, tuple[str, str]]:
    """What the page says of each field: its type and its meaning."""
    page, heading = HEADINGS.get(cls) or ("json.md", cls.event)
    return {field: (kind, meaning) for field, kind, meaning in _sections(page).get(heading, [])}


@cache
def _sections(page: str) -> dict[str, list[tuple[str, str, str]]]:
    """Heading -> rows of its table."""
    sections = re.split(r"^### ", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        section.split("\n", 1)[0].strip(): re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", section, re.MULTILINE)
        for section in sections
    }


def _define(cls: type[Any], definitions: dict[str, Any], strict: bool) -> None:
    if cls.__name__ in definitions:
        return
    described, hints = rows(cls), get_type_hints(cls)
    properties: dict[str, Any] = {}
    if cls in EVENTS:
        properties = {"event": {"const": cls.event}, "v": {"const": VERSION}}
    definition: dict[str, Any] = {"type": "object", "properties": properties}
    definitions[cls.__name__] = definition
    for field in fields(cls):
        _, meaning = described.get(field.name, ("", ""))
        properties[field.name] = {"description": meaning, **_kind(hints[field.name])}
    definition["required"] = list(properties)
    definition["patternProperties"] = {"_raw$": {"$ref": "#/$defs/raw"}}
    if strict:
        definition["additionalProperties"] = False
    for nested in {each for hint in hints.values() for each in _dataclasses(hint)}:
        _define(nested, definitions, strict)


def _kind(hint: Any) -> dict[str, Any]:
    """What a value of this type is in JSON."""
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    if isinstance(hint, type) and is_dataclass(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"type": "string", "enum": list(hint)}
    if get_origin(hint) is Literal:
        return {"type": "string", "enum": list(get_args(hint))}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _kind(get_args(hint)[0])}
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [_kind(each) for each in get_args(hint)]
        if all(set(kind) == {"type"} for kind in kinds):
            return {"type": [kind["type"] for kind in kinds]}
        return {"anyOf": kinds}
    raise TypeError(f"{hint} has no form in JSON")


def _dataclasses(hint: Any) -> Iterator[type[Any]]:
    if get_origin(hint) is ClassVar:
        return
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
    for each in get_args(hint):
        yield from _dataclasses(each)


if __name__ == "__main__":
    FILE.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
