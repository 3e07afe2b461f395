"""docs/json-schema.json, the pages and the classes of the events say the same; runs are held against it in tests/e2e."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import json_schema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from p2pcopy import events
from p2pcopy.ui.jsonlines import to_json


def published() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json_schema.FILE.read_text(encoding="utf-8"))
    return content


PUBLISHED = Draft202012Validator(published())


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Anything of this type, text that is no Unicode included."""
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return st.builds(hint, **{field.name: values(hints[field.name]) for field in fields(hint)})
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=2).map(tuple)
    if get_origin(hint) is Union or (get_args(hint) and get_origin(hint) not in (Literal, ClassVar)):
        return st.one_of(*map(values, get_args(hint)))
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(st.characters(), max_size=5),
        bool: st.booleans(),
        int: st.integers(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        type(None): st.none(),
    }
    return simple[hint]


def test_the_file_is_what_classes_and_pages_say() -> None:
    assert published() == json_schema.schema(), "python tests/e2e/json_schema.py writes it anew"
    Draft202012Validator.check_schema(published())


@pytest.mark.parametrize("cls", json_schema.EVENTS, ids=lambda cls: cls.event)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_event_that_can_be_told_is_in_the_schema(cls: type[Any], data: st.DataObject) -> None:
    event = json.loads(to_json(data.draw(values(cls))))
    json_schema.check(event)
    PUBLISHED.validate(event)


@pytest.mark.parametrize("name", sorted(published()["$defs"].keys() - {"raw"}))
def test_the_pages_have_the_same_types(name: str) -> None:
    classes = {cls.__name__: cls for cls in (*json_schema.EVENTS, *json_schema.HEADINGS)}
    definition, described = published()["$defs"][name], json_schema.rows(classes[name])
    shown = {field: kind for field, (kind, _) in described.items()}
    assert shown == {
        field: shown_type(each) for field, each in definition["properties"].items() if field not in ("event", "v")
    }


def shown_type(kind: dict[str, Any]) -> str:
    if "anyOf" in kind:
        return " or ".join(map(shown_type, kind["anyOf"]))
    if "$ref" in kind:
        return "object"
    return " or ".join([kind["type"]] if isinstance(kind["type"], str) else kind["type"])


DONE = json.loads(to_json(events.Rehearsed("/in")))


@pytest.mark.parametrize(
    "wrong",
    [
        {**DONE, "event": "unheard of"},
        {**DONE, "v": 2},
        {**DONE, "destination": 5},
        {"event": "dry_run", "v": 1},
        {"destination": "/in"},
        [],
    ],
)
def test_what_is_no_event_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        PUBLISHED.validate(wrong)


def test_fields_of_later_versions_are_no_mistake_for_users_but_one_for_us() -> None:
    later = {**DONE, "files": 3}
    PUBLISHED.validate(later)
    with pytest.raises(ValidationError):
        json_schema.check(later)
