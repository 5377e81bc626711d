"""Settings, from their declarations in `stoker.core.settings`."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

from docs.markdown import code, table
from stoker.core.settings import RESERVED_NAMES, PartitionSettings, setting_fields

_NOTATIONS: Final[Mapping[str, str]] = {
    "accounting_storage_enforce": "words, ...",
    "administrators": "names, ...",
    "cluster_name": "text",
    "database_url": "URL",
    "default_mem_per_cpu": "memory",
    "default_time": "time",
    "gres": "name:count, ...",
    "licenses": "name:count, ...",
    "log_level": "level",
    "mail_prog": "path",
    "max_mem_per_node": "memory",
    "max_time": "time",
    "name": "text",
    "nodes": "host list",
    "notify_prog": "path",
    "notify_types": "words, ...",
    "partitions": "tables",
    "priority_calc_period": "time",
    "priority_decay_half_life": "time",
    "priority_max_age": "time",
    "priority_weight_tres": "name=count, ...",
    "total_memory": "memory",
    "tmp_disk": "memory",
}
"""How the settings that are texts are written; the others say it by their type."""

_OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "HOME": "The directory that holds everything; default: `$XDG_STATE_HOME/stoker`, else "
    "`~/.local/state/stoker`. Each home is a Stoker of its own.",
    "CONFIG": "The file with the settings, instead of `stoker.toml` in the home.",
    "AUTOSTART": "`0`: a command that finds no daemon says so instead of starting one.",
    "TOKEN": "Set in each job: the mark by which its processes are known.",
    "EVENT_ID": "Set for programs that deliver mail and notices: the event's name, the same again "
    "if a delivery is repeated.",
    "TEST_MODE": "`1`: failpoints may be set; see [failpoints.md](failpoints.md).",
    "FAILPOINTS": "Where to fail, for tests; see [failpoints.md](failpoints.md).",
    "REFERENCE": "Where the tests find recordings of a real Slurm.",
    "DEMO": "Set in the jobs of `stoker demo`.",
}


def all_settings() -> str:
    """Return the table of the settings."""
    heads = ("setting", "notation", "default", "environment", "what it says")
    rows = (
        (code(name), notation, default, code(f"STOKER_{name.upper()}"), description)
        for name, notation, default, description in _facts(setting_fields())
    )
    return table(heads, rows)


def partition_settings() -> str:
    """Return the table of what a partition may say."""
    rows = (
        (code(name), notation, default, description)
        for name, notation, default, description in _facts(fields(PartitionSettings))
    )
    return table(("key", "notation", "default", "what it says"), rows)


def other_variables() -> str:
    """Return the table of the variables that are no settings."""
    assert set(_OTHER_VARIABLES) == RESERVED_NAMES, "a variable is not described"
    rows = ((code(f"STOKER_{name}"), text) for name, text in _OTHER_VARIABLES.items())
    return table(("variable", "for"), rows)


def _facts(declared: Iterable[FieldInfo]) -> Iterator[tuple[str, str, str, str]]:
    for field in declared:
        bare, *metas = get_args(field.type)
        meta = next(each for each in metas if each.description)
        yield (
            field.name,
            _notation(field.name, bare, metas),
            _default(field.default),
            meta.description,
        )


def _notation(name: str, bare: Any, metas: list[msgspec.Meta]) -> str:
    if name in _NOTATIONS:
        return _NOTATIONS[name]
    if bare is bool:
        return "true, false"
    if get_origin(bare) is Literal:
        return ", ".join(get_args(bare))
    assert bare in (int, float) or get_origin(bare) is types.UnionType, f"{name} has no notation"
    word = "number" if bare is float else "whole number"
    return " ".join([word, *(_range(meta) for meta in metas)]).strip()


def _range(meta: msgspec.Meta) -> str:
    if meta.gt is not None:
        return f"above {meta.gt}"
    if meta.ge is None:
        return ""
    return f"from {meta.ge}" + (f" to {meta.le}" if meta.le is not None else "")


def _default(default: Any) -> str:
    match default:
        case msgspec.NODEFAULT:
            return "must be said"
        case bool():
            return code(str(default).lower())
        case int() | float():
            return code(f"{default:.10g}")
        case str() if default:
            return code(default)
    return ""
