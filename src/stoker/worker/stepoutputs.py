"""To which files the tasks of a step write, so that others can look on.

Only what is known in advance counts: files that are named, and descriptors of the caller that are
open files. If any task writes into a pipe or a terminal there is nothing that could be followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from stoker.core.models import StepOutput
from stoker.engines.base import Unit

_OUTPUTS_MAX: Final = 64
"""Of one step; who writes to more is not followed."""

_SEVERAL: Final = -1


def outputs_of(
    units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]], *, may_look: bool = True
) -> tuple[StepOutput, ...]:
    """Return the files to which all tasks write; () if one of them writes elsewhere, or too many.

    Args:
        units: The tasks, by number.
        descriptors: By unit key, the caller's descriptors that become the task's own.
        may_look: Whether to ask file systems, as how long a file is that tasks write on in. For
            other users root asks none, which could take long: what was there counts as theirs.
    """
    found: dict[str, StepOutput] = {}
    for task, unit in enumerate(units):
        for target in _targets(unit):
            if target == os.devnull:
                continue
            output = _output(target, unit, descriptors.get(unit.key, ()), task, may_look=may_look)
            if output is None:
                return ()
            known = found.get(output.path)
            if known is None:
                found[output.path] = output
            elif known.task != task:
                found[output.path] = StepOutput(output.path, known.offset, _SEVERAL)
        if len(found) > _OUTPUTS_MAX:
            return ()
    return tuple(found.values())


def _targets(unit: Unit) -> Iterator[str | Mapping[str, int]]:
    yield unit.stdout
    if unit.stderr is not None:
        yield unit.stderr


def _output(
    target: str | Mapping[str, int],
    unit: Unit,
    descriptors: Sequence[int],
    task: int,
    *,
    may_look: bool,
) -> StepOutput | None:
    """Return where a task begins to write; None if that is no file."""
    try:
        if isinstance(target, str):
            keeps = may_look and unit.recipe.open_mode == "append" and os.path.exists(target)  # noqa: PTH110
            return StepOutput(target, os.stat(target).st_size if keeps else 0, task)  # noqa: PTH116
        number = descriptors[target["fd"]]
        if not may_look:
            return _by_kernel(number, task)
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            return None
        return StepOutput(os.readlink(f"/proc/self/fd/{number}"), status.st_size, task)  # noqa: PTH115
    except (OSError, LookupError, ValueError):
        return None


def _by_kernel(number: int, task: int) -> StepOutput | None:
    """Return the file behind a descriptor and where it is at, without asking its file system."""
    path = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115 - a number is no path
    if not path.startswith("/") or path.startswith("/dev/"):
        return None
    said = Path(f"/proc/self/fdinfo/{number}").read_text(encoding="ascii")
    return StepOutput(path, int(said.split("\n", 1)[0].removeprefix("pos:")), task)
