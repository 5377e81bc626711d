"""Jobs by the line: what a line of `stoker submit --from` says, as a draft.

A line is a shell command, or a JSON object: ``{"argv": ["convert", "a.png", "a.jpg"]}`` runs a
command with no shell in between, ``{"script": "..."}`` a batch script; all other keys are sbatch's
long options. Empty lines, and those that begin with ``#``, are passed over.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from stoker.core.errors import InvalidSpec
from stoker.core.messages import Draft
from stoker.core.wire import to_bytes, to_text

_READ_SIZE = 1 << 16
_LINE_MAX = 8 << 20
_NAME = re.compile(r"[\w.+-]+", re.ASCII)
_OPTION = re.compile(r"[a-z][a-z0-9-]*")


def arrived_lines(descriptor: int) -> Iterator[list[str]]:
    """Give the lines of a stream as they arrive: what was read at once belongs together.

    Raises:
        InvalidSpec: A line is too long to be one.
        OSError: The stream cannot be read.
    """
    rest = b""
    while chunk := os.read(descriptor, _READ_SIZE):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LINE_MAX:
            raise InvalidSpec(f"cannot read the jobs: a line has more than {_LINE_MAX} bytes")
        if whole:
            yield [to_text(line) for line in whole]
    if rest:
        yield [to_text(rest)]


def draft_of(line: str, options: Sequence[str]) -> Draft | None:
    """Return the draft that a line describes, or None if it says nothing.

    Args:
        line: Without its line break.
        options: sbatch's options for all lines; a line's own come after them, and win.

    Raises:
        InvalidSpec: It is a JSON object, but none that describes a job.
    """
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    if text.startswith("{"):
        return _from_object(_parsed(text), options)
    return Draft.of([*_named(text), *options, "--", "/bin/sh", "-c", line])


def _named(command: str) -> list[str]:
    """Name a shell command's job after its first word, where that is a plain one."""
    word = command.split(maxsplit=1)[0].rsplit("/", 1)[-1]
    return [f"--job-name={word}"] if _NAME.fullmatch(word) else []


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSpec(f"cannot read the JSON object: {error}") from None
    if not isinstance(value, dict):
        raise InvalidSpec("cannot read the line: it is JSON, but no object")
    return value


def _from_object(entry: dict[str, Any], options: Sequence[str]) -> Draft:
    argv, script = (entry.pop(name, None) for name in ("argv", "script"))
    own = [word for name, value in entry.items() for word in _words(name, value)]
    words = [*options, *own]
    match argv, script:
        case None, str() if script:
            return Draft.of(words, to_bytes(script))
        case list(), None if argv and all(isinstance(word, str) for word in argv):
            return Draft.of([*words, "--", *argv])
        case list(), str() if script and all(isinstance(word, str) for word in argv):
            return Draft.of([*words, "--", *argv], to_bytes(script))
    raise InvalidSpec(
        'cannot read the job: it needs "argv" (a list of strings) or "script" (a string)'
    )


def _words(name: str, value: object) -> list[str]:
    """Return an option as sbatch takes it: true is a flag, false and null are none."""
    if not _OPTION.fullmatch(name):
        raise InvalidSpec(f"cannot read {name!r}: the keys are sbatch's long options")
    match value:
        case True:
            return [f"--{name}"]
        case False | None:
            return []
        case str() | int() | float():
            return [f"--{name}={value}"]
    raise InvalidSpec(f"cannot read {name!r}: its value must be a string, a number or a boolean")
