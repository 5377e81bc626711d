"""``srun --multi-prog``: a file that says for each task which command it runs.

A line names tasks (``0``, ``1-3,7``, ``*``) and a command, in which ``%t`` is the task's number and
``%o`` its place among the line's. Words are cut as by a shell; a backslash at a line's end goes on.

Source: srun(1) "MULTIPLE PROGRAM CONFIGURATION"; messages are recorded.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from stoker.commands.wishes import Wishes

_RANGES = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)


def programs_of(
    text: str, path: str, more: Sequence[str], ntasks: int, wishes: Wishes
) -> tuple[tuple[str, ...], ...]:
    """Return by task what it runs.

    Args:
        text: The file's.
        path: The file's name, for messages.
        more: Words that are put behind each command.
        ntasks: How many tasks there are.
        wishes: Fails in srun's words.

    Raises:
        OptionError: A line says nothing sensible, or a task has none or two.
    """
    found: dict[int, tuple[str, ...]] = {}
    for number, line in _lines(text):
        invalid = f"error: Line {number} of configuration file {path} invalid"
        ranks, _, command = line.partition(" ")
        words = _words(command)
        if not words:
            wishes.fail(invalid)
        for offset, task in enumerate(_tasks(ranks, ntasks, invalid, wishes)):
            if task in found:
                wishes.fail(f"error: Duplicate record for task {task}\nsrun: {invalid}")
            place = task if ranks == "*" else offset
            found[task] = (*(_filled(word, task, place) for word in words), *more)
    for task in range(ntasks):
        if task not in found:
            wishes.fail(f"error: Configuration file {path} invalid, no record for task id {task}")
    return tuple(found[task] for task in range(ntasks))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, each with the number of its last part."""
    before = ""
    for number, part in enumerate(text.splitlines(), 1):
        line = before + part
        if line.endswith("\\"):
            before = line[:-1]
            continue
        before = ""
        line = line.strip().replace("\t", " ", 1)
        if line and not line.startswith("#"):
            yield number, line


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _tasks(ranks: str, ntasks: int, invalid: str, wishes: Wishes) -> Iterator[int]:
    if ranks == "*":
        yield from range(ntasks)
        return
    if _RANGES.fullmatch(ranks) is None:
        wishes.fail(f"error: Invalid task range specification ({ranks})\nsrun: {invalid}")
    for part in ranks.split(","):
        first, _, last = part.partition("-")
        for task in (int(first), int(last or first)):
            if task >= ntasks:
                wishes.fail(f"error: Invalid task id, {task} >= ntasks\nsrun: {invalid}")
        yield from range(int(first), int(last or first) + 1)


def _filled(word: str, task: int, offset: int) -> str:
    return word.replace("%t", str(task)).replace("%o", str(offset))
