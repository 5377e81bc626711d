"""JSON and YAML as Slurm's commands print them.

JSON is indented by two, with ``/`` escaped and an empty list on two lines; YAML carries a tag with
every value. Both begin with who speaks: plugin and version.

Source: as recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

Value: TypeAlias = "Mapping[str, Value] | Sequence[Value] | str | int | float | bool | None"

YAML_END: Final = "...\n"
"""The mark that ends a YAML document."""

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)
_RELEASE: Final = "22.05.8"


def document(plugin: str, name: str, content: Mapping[str, Value]) -> dict[str, Value]:
    """Return *content* below the head that says which plugin and version speak."""
    meta: Value = {
        "plugin": {"type": plugin, "name": name},
        "Slurm": {"version": {"major": 22, "micro": 8, "minor": 5}, "release": _RELEASE},
    }
    return {"meta": meta, **content}


def to_json(value: Value) -> str:
    """Return *value* as JSON; no line break ends it."""
    return _json(value, "")


def to_yaml(value: Value) -> str:
    """Return *value* as YAML, from its first line to its end mark."""
    lines = "".join(f"{line}\n" for line in _yaml(value, ""))
    return f"%YAML 1.1\n--- !!map\n{lines}{YAML_END}"


def to_yaml_item(value: Value) -> str:
    """Return *value* as YAML has it in a list that is the last entry of a document."""
    return "".join(f"{line}\n" for line in _yaml_entry("- ", value, ""))


def _json(value: Value, margin: str) -> str:
    # Scalars first: a long listing has a hundred of them for each job.
    if value is None or isinstance(value, str | int | float):
        return _scalar(value)
    inner = margin + "  "
    if isinstance(value, Mapping):
        entries = [f"{inner}{_key(key)}: {_json(value[key], inner)}" for key in value]
        return _between("{", entries, "}", margin)
    entries = [inner + _json(each, inner) for each in value]
    return _between("[", entries, "]", margin)


def _between(first: str, entries: Sequence[str], last: str, margin: str) -> str:
    if not entries:
        return f"{first}\n{margin}{last}"
    lines = ",\n".join(entries)
    return f"{first}\n{lines}\n{margin}{last}"


def _scalar(value: str | float | bool | None) -> str:  # noqa: FBT001 - any scalar
    return _ENCODER.encode(value).replace("/", "\\/")


@lru_cache(maxsize=1024)
def _key(name: str) -> str:
    return _scalar(name)


def _yaml(value: Value, margin: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _yaml_entry(f"{margin}!!str {key}: ", each, margin)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _yaml_entry(f"{margin}- ", each, margin)


def _yaml_entry(lead: str, value: Value, margin: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield f"{lead}!!map" if value else f"{lead}!!map {{}}"
        yield from _yaml(value, margin + "  ")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield f"{lead}!!seq" if value else f"{lead}!!seq []"
        # A list stands as far in as its name; a list of lists does not occur.
        yield from _yaml(value, margin)
    else:
        yield (lead + _tagged(value)).rstrip()


def _tagged(value: str | float | bool | None) -> str:  # noqa: FBT001 - any scalar
    match value:
        case None:
            return "!!null null"
        case bool():
            return f"!!bool {str(value).lower()}"
        case int():
            return f"!!int {value}"
        case float():
            return f"!!float {value:.6f}"
    return f"!!str {value}"
