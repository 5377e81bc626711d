"""File names with ``%`` in them: where a job's input and output are.

Names that people choose stay names here: what a user or job is called never leads to another
directory.

Source: sbatch(1) and srun(1), "filename pattern".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

NO_ARRAY_TASK = 4_294_967_294
"""What ``%a`` is outside of arrays."""

_FIELD = re.compile(r"%(\d*)([%AaJjNnstux])", re.ASCII)
_FIELD_SHOWN = re.compile(r"%([Aajux])")
_WIDTH_MAX = 10
_UNSAFE = re.compile(r"[/\x00-\x1f\x7f]")


class PatternFields(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the letters stand for; ``step`` is ``batch`` or a number."""

    job_id: int
    array_job_id: int = 0
    array_task_id: int | None = None
    job_name: str = ""
    user_name: str = ""
    node: str = ""
    node_id: int = 0
    step: str = "batch"
    task: int = 0


def expand_pattern(pattern: str, fields: PatternFields) -> str:
    """Return *pattern* with its letters filled in; a backslash switches all of that off."""
    if "\\" in pattern:
        return pattern.replace("\\", "")
    if "%" not in pattern:
        return pattern
    made = _FIELD.sub(lambda match: _value(match, fields), pattern)
    if "/." not in f"/{made}":
        return made
    return "/".join(map(_safe, made.split("/"), pattern.split("/")))


def shown_pattern(pattern: str, fields: PatternFields) -> str:
    """Return *pattern* as scontrol shows it: only what is known before a start is filled in."""
    return _FIELD_SHOWN.sub(lambda match: str(_LETTERS[match[1]](fields)), pattern)


def _value(match: re.Match[str], fields: PatternFields) -> str:
    digits, letter = match.groups()
    value = _LETTERS[letter](fields)
    if isinstance(value, int):
        return f"{value:0{min(int(digits or 0), _WIDTH_MAX)}}"
    return value


def _job_and_step(fields: PatternFields) -> int | str:
    return fields.job_id if fields.step == "batch" else f"{fields.job_id}.{fields.step}"


def _array_task(fields: PatternFields) -> int:
    return NO_ARRAY_TASK if fields.array_task_id is None else fields.array_task_id


def _as_name(text: str) -> str:
    return _UNSAFE.sub("_", text)


def _safe(part: str, asked: str) -> str:
    """Return a part of a path; it is a dot, or two, only where the pattern says so itself."""
    return part.replace(".", "_") if part in (".", "..") and part != asked else part


_LETTERS: Mapping[str, Callable[[PatternFields], int | str]] = {
    "%": lambda _: "%",
    "A": lambda fields: fields.array_job_id or fields.job_id,
    "a": _array_task,
    "J": _job_and_step,
    "j": lambda fields: fields.job_id,
    "N": lambda fields: _as_name(fields.node.split(".")[0]),
    "n": lambda fields: fields.node_id,
    "s": lambda fields: int(fields.step) if fields.step.isdecimal() else fields.step,
    "t": lambda fields: fields.task,
    "u": lambda fields: _as_name(fields.user_name),
    "x": lambda fields: _as_name(fields.job_name),
}
