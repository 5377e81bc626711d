"""Sets of array tasks, and the notation of ``--array``.

A million waiting tasks are one run of numbers, not a million of anything.

Source: sbatch(1) "--array".
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import compress, islice
from typing import NamedTuple

from stoker.core.units.errors import NotationError

_ITEM = re.compile(r"(\d{1,10})(?:-(\d{1,10})(?::(\d{1,10}))?)?", re.ASCII)
TASK_MAX = 4_000_000
"""The largest index of any array, as Slurm's own MaxArraySize bounds it."""

_RUNS_MAX = 100_000
"""Runs in one set: a few characters with several steps must not fill the memory."""


class TaskSet:
    """A set of task numbers: runs, each with its step, that do not overlap.

    The runs stand last first, so that taking the first task, which every start does, touches only
    the list's end.
    """

    __slots__ = ("_count", "_runs")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tasks: Iterable[int] = ()) -> None:
        if isinstance(tasks, range) and tasks.step > 0:
            self._set([_normal(tasks)] if tasks else [])
        else:
            self._set(_runs_of(sorted(set(tasks))))

    @classmethod
    def parse(cls, text: str) -> TaskSet:
        """Read ``0-7``, ``1-10:3``, ``1,3,7``, or nothing.

        Raises:
            NotationError: Something is no number and no range, or a range goes down.
        """
        made = cls()
        made._set(_disjoint([_run(item, text) for item in text.split(",")] if text else []))
        if len(made._runs) > _RUNS_MAX:
            raise NotationError("the tasks", text, f"they lie in more than {_RUNS_MAX} runs")
        return made

    def format(self, width_max: int | None = None) -> str:
        """Return the set as squeue prints it: ``0-7``, ``1-19:3``, ``1,3,7-9``.

        Args:
            width_max: Characters that there may be; what comes within two of that ends in ``...``.
        """
        if step := self._step():
            return f"{self.first}-{self.last}:{step}"
        words: list[str] = []
        width = -1
        for first, last in self._spans():
            word = str(first) if first == last else f"{first}-{last}"
            words.append(word)
            width += len(word) + 1
            if width_max is not None and width > width_max - 2:
                return ",".join(words)[: width_max - 3] + "..."
        return ",".join(words)

    def pack(self) -> str:
        """Return the shortest text that ``parse`` reads as this set; a word a run."""
        return ",".join(_packed(run) for run in reversed(self._runs))

    @property
    def first(self) -> int:
        """Return the smallest task; IndexError if there is none."""
        return self._runs[-1][0]

    @property
    def last(self) -> int:
        """Return the largest task; IndexError if there is none."""
        return self._runs[0][-1]

    def pop_first(self) -> int:
        """Take the smallest task out and return it; IndexError if there is none."""
        run = self._runs[-1]
        if len(run) > 1:
            self._runs[-1] = run[1:]
        else:
            self._runs.pop()
        self._count -= 1
        return run[0]

    def remove(self, task: int) -> None:
        """Take *task* out; KeyError if it is not in."""
        at = self._find(task)
        if at is None:
            raise KeyError(task)
        run = self._runs[at]
        place = run.index(task)
        self._runs[at : at + 1] = [part for part in (run[place + 1 :], run[:place]) if part]
        self._count -= 1

    def discard(self, task: int) -> None:
        """Take *task* out if it is in."""
        if task in self:
            self.remove(task)

    def add(self, task: int) -> None:
        """Put *task* in."""
        if task not in self:
            self._set(_disjoint([*self._runs, range(task, task + 1)]))

    def intersection(self, other: TaskSet) -> TaskSet:
        """Return the tasks that are in both."""
        few, many = sorted((self, other), key=len)
        return TaskSet(task for task in few if task in many)

    def difference(self, other: TaskSet) -> TaskSet:
        """Return the tasks that are in this set only."""
        if len(other) * 8 > len(self):
            return TaskSet(set(self).difference(other))
        rest = self.copy()
        for task in other:
            rest.discard(task)
        return rest

    def _set(self, runs: Iterable[range]) -> None:
        self._runs = sorted(runs, key=lambda run: -run.start)
        self._count = sum(map(len, self._runs))

    def _find(self, task: int) -> int | None:
        at = bisect_left(self._runs, -task, key=lambda run: -run.start)
        return at if at < len(self._runs) and task in self._runs[at] else None

    def _step(self) -> int:
        """Return the step with which Slurm writes the whole set; 0 if it writes none."""
        if not self or self.last - self.first <= 10:
            return 0
        if len(self) == 2:
            return self.last - self.first
        step = self._runs[0].step
        return step if len(self._runs) == 1 and step > 1 else 0

    def _spans(self) -> Iterator[tuple[int, int]]:
        """Yield first and last of each stretch of consecutive tasks."""
        first = last = -2
        for start, end in self._stretches():
            if start > last + 1:
                if last >= 0:
                    yield first, last
                first = start
            last = end
        if last >= 0:
            yield first, last

    def _stretches(self) -> Iterator[tuple[int, int]]:
        for run in reversed(self._runs):
            if run.step == 1 or len(run) == 1:
                yield run[0], run[-1]
            else:
                yield from zip(run, run, strict=True)

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return self._count > 0

    def __iter__(self) -> Iterator[int]:
        for run in reversed(self._runs):
            yield from run

    def __contains__(self, task: object) -> bool:
        return isinstance(task, int) and self._find(task) is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskSet):
            return NotImplemented
        if self._runs == other._runs:
            return True
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __copy__(self) -> TaskSet:
        made = TaskSet()
        made._runs, made._count = list(self._runs), self._count
        return made

    def copy(self) -> TaskSet:
        """Return a set of the same tasks."""
        return self.__copy__()

    def __str__(self) -> str:
        return self.pack()

    def __repr__(self) -> str:
        return f"TaskSet.parse({self.pack()!r})"


class ArraySpec(NamedTuple):
    """What ``--array`` asks for: the tasks, and how many may run at a time (0: all)."""

    tasks: TaskSet
    limit: int


def parse_array(text: str, size_max: int) -> ArraySpec:
    """Read ``0-7%4``, ``1-10:3``, ``1,3,7`` or ``[1-10]``; indices must be below *size_max*.

    Raises:
        NotationError: It cannot be read, is empty, or goes beyond *size_max*.
    """
    body, percent, limit = text.partition("%")
    if body.startswith("[") and text.endswith("]"):
        body, percent, limit = text[1:-1].partition("%")
    if percent and not re.fullmatch(r"\d{1,9}", limit, re.ASCII):
        raise NotationError("the array", text, "write the number that may run after %, as in 0-7%4")
    try:
        tasks = TaskSet.parse(body)
    except NotationError:
        raise NotationError("the array", text, "write indices as in 0-7, 1-10:3 or 1,3,7") from None
    if not tasks:
        raise NotationError("the array", text, "it names no task; write one as in 0-7")
    if tasks.last >= size_max:
        raise NotationError("the array", text, f"an index is at most {size_max - 1}")
    return ArraySpec(tasks, int(limit or 0))


def _run(item: str, text: str) -> range:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise NotationError("the tasks", text, f"{item!r} is no number and no range")
    first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
    if last < first or step < 1 or last > TASK_MAX:
        raise NotationError("the tasks", text, f"{item!r} is no range; write FIRST-LAST:STEP")
    return range(first, last + 1, step)


def _disjoint(runs: list[range]) -> list[range]:
    """Return runs with the same numbers whose spans do not overlap or touch."""
    if not runs:
        return []
    runs = sorted(runs, key=lambda run: run.start)
    made: list[range] = []
    cluster = [runs[0]]
    end = runs[0][-1]
    for run in runs[1:]:
        if run.start > end + 1:
            made += _merged(cluster)
            cluster = []
            end = run[-1]
        cluster.append(run)
        end = max(end, run[-1])
    return made + _merged(cluster)


def _merged(cluster: list[range]) -> list[range]:
    if len(cluster) == 1:
        return [_normal(cluster[0])]
    if all(run.step == 1 or len(run) == 1 for run in cluster):
        return [range(cluster[0].start, max(run[-1] for run in cluster) + 1)]
    first = cluster[0].start
    marks = bytearray(max(run[-1] for run in cluster) + 1 - first)
    for run in cluster:
        marks[run.start - first : run[-1] + 1 - first : run.step] = b"\1" * len(run)
    runs = _runs_of(list(compress(range(first, first + len(marks)), marks)))
    # One more than there may be is enough to be refused for.
    return list(islice(runs, _RUNS_MAX + 1))


def _normal(run: range) -> range:
    step = run.step if len(run) > 1 else 1
    return range(run[0], run[-1] + 1, step)


def _runs_of(tasks: list[int]) -> Iterator[range]:
    """Yield runs over *tasks*, which ascend; a step other than 1 is kept for three or more."""
    at = 0
    while at < len(tasks):
        end = at + 1
        step = tasks[end] - tasks[at] if end < len(tasks) else 1
        while end < len(tasks) and tasks[end] - tasks[end - 1] == step:
            end += 1
        if step > 1 and end - at < 3:
            step, end = 1, at + 1
        yield range(tasks[at], tasks[end - 1] + 1, step)
        at = end


def _packed(run: range) -> str:
    if len(run) == 1:
        return str(run[0])
    step = f":{run.step}" if run.step > 1 else ""
    return f"{run[0]}-{run[-1]}{step}"
