"""Many records as one JSON or YAML document, rendered one record at a time.

Source: squeue(1) and sinfo(1), ``--json`` and ``--yaml``; the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from stoker.commands.documents import YAML_END, Value, document, to_json, to_yaml, to_yaml_item

_PLUGIN: Final = "openapi/v0.0.38"
_NAME: Final = "Slurm OpenAPI v0.0.38"


Parts: TypeAlias = Iterable[Iterable[Mapping[str, Value]]]
"""Records as they come, some at a time."""


def rendered(kind: str, key: str, parts: Parts) -> Iterator[str]:
    """Return a document of kind ``json`` or ``yaml`` with the records under *key*, in pieces.

    For an empty part there is an empty piece: whoever reads may do something else in between.
    """
    head = document(_PLUGIN, _NAME, {"errors": []})
    if kind == "json":
        yield from json_pieces(head, key, parts)
        yield "\n"
    else:
        yield from yaml_pieces(head, key, (map(_without_empty, part) for part in parts))


def json_pieces(head: Mapping[str, Value], key: str, parts: Parts) -> Iterator[str]:
    """Yield what *head* has as JSON, and after it the records; no line break ends it."""
    yield to_json(head).removesuffix("\n}") + f',\n  "{key}": ['
    separator = "\n"
    for part in parts:
        yield ""
        for record in part:
            # No line break stands within a JSON text, so that this only moves lines to the right.
            body = to_json(record).replace("\n", "\n    ")
            yield f"{separator}    {body}"
            separator = ",\n"
    yield "\n  ]\n}"


def yaml_pieces(
    head: Mapping[str, Value], key: str, parts: Iterable[Iterable[Value]]
) -> Iterator[str]:
    """Yield what *head* has as YAML, and after it the records."""
    nothing = f" []\n{YAML_END}"
    yield to_yaml({**head, key: []}).removesuffix(nothing)
    is_empty = True
    for part in parts:
        yield ""
        for record in part:
            yield ("\n" if is_empty else "") + to_yaml_item(record)
            is_empty = False
    yield nothing if is_empty else YAML_END


def _without_empty(value: Value) -> Value:
    """Return the value with null for every empty text, which Slurm's YAML has no way to write."""
    if isinstance(value, Mapping):
        return {name: _without_empty(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_empty(each) for each in value]
    return None if value == "" else value
