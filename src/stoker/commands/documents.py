"""JSON and YAML as Slurm's commands print them.

JSON is indented by two, with ``/`` escaped and an empty list on two lines; YAML carries a tag with
every value. Both begin with who speaks: plugin and version.

Source: as recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "Mapping[str, Value] | Sequence[Value] | str | int | float | bool | None"

_RELEASE = "22.05.8"


def document(plugin: str, name: str, content: Mapping[str, Value]) -> dict[str, Value]:
    """Return *content* below the head that says which plugin and version speak."""
    meta: Value = {
        "plugin": {"type": plugin, "name": name},
        "Slurm": {"version": {"major": 22, "micro": 8, "minor": 5}, "release": _RELEASE},
    }
    return {"meta": meta, **content}


def to_json(value: Value) -> str:
    """Return *value* as JSON; no line break ends it."""
    return "".join(_json(value, ""))


def to_yaml(value: Value) -> str:
    """Return *value* as YAML, from its first line to its end mark."""
    lines = "".join(f"{line}\n" for line in _yaml(value, ""))
    return f"%YAML 1.1\n--- !!map\n{lines}...\n"


def _json(value: Value, margin: str) -> Iterator[str]:
    inner = margin + "  "
    if isinstance(value, Mapping):
        entries = [f"{inner}{_scalar(key)}: {''.join(_json(value[key], inner))}" for key in value]
        yield from _between("{", entries, "}", margin)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        entries = [inner + "".join(_json(each, inner)) for each in value]
        yield from _between("[", entries, "]", margin)
    else:
        yield _scalar(value)


def _between(first: str, entries: Sequence[str], last: str, margin: str) -> Iterator[str]:
    yield f"{first}\n"
    if entries:
        yield ",\n".join(entries) + "\n"
    yield margin + last


def _scalar(value: str | float | bool | None) -> str:  # noqa: FBT001 - any scalar
    return json.dumps(value, ensure_ascii=False).replace("/", "\\/")


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
