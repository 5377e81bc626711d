"""Many records as one JSON or YAML document, rendered one record at a time.

Source: squeue(1) and sinfo(1), ``--json`` and ``--yaml``; the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from stoker.commands.documents import Value, document, to_json, to_yaml

_PLUGIN: Final = "openapi/v0.0.38"
_NAME: Final = "Slurm OpenAPI v0.0.38"


def rendered(kind: str, key: str, records: Iterable[Mapping[str, Value]]) -> Iterator[str]:
    """Return a document of kind ``json`` or ``yaml`` with *records* under *key*, in pieces."""
    return _as_json(key, records) if kind == "json" else _as_yaml(key, records)


def _as_json(key: str, records: Iterable[Mapping[str, Value]]) -> Iterator[str]:
    head = to_json(document(_PLUGIN, _NAME, {"errors": []}))
    yield head.removesuffix("\n}") + f',\n  "{key}": ['
    separator = "\n"
    for record in records:
        # No line break stands within a JSON text, so that this only moves lines to the right.
        body = to_json(record).replace("\n", "\n    ")
        yield f"{separator}    {body}"
        separator = ",\n"
    yield "\n  ]\n}\n"


def _as_yaml(key: str, records: Iterable[Mapping[str, Value]]) -> Iterator[str]:
    content: Mapping[str, Value] = {"errors": [], key: [_without_empty(each) for each in records]}
    yield to_yaml(document(_PLUGIN, _NAME, content))


def _without_empty(value: Value) -> Value:
    """Return the value with null for every empty text, which Slurm's YAML has no way to write."""
    if isinstance(value, Mapping):
        return {name: _without_empty(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_empty(each) for each in value]
    return None if value == "" else value
