"""Recorded cases: what a real Slurm was asked in which situation, and what it answered.

A file of cases is one line of JSON a case. Cases of one file with the same set-up form a group:
they were recorded one after another on one cluster, and are replayed so. A set-up step is a line of
shell, with who did it (``[root]``), the id of the job it made (``# job 7``), or a file to write.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

_USER = re.compile(r"\[(\w+)\] ")
_JOB = re.compile(r"\s+# job (\d+)\b")
_REMARK = re.compile(r"\s{2,}# .*$")
_NAMED = re.compile(r"s(?:acct|stat)\b.* -j ?(\d+)")
_FILE = re.compile(r"file (\S+): (['\"].*)", re.DOTALL)


class Step(msgspec.Struct, frozen=True):
    """A step of a set-up: a command of a user, or with ``file`` a text to write there."""

    command: str
    user: str = "alice"
    job_id: int = 0
    file: str = ""


class Case(msgspec.Struct, frozen=True):
    """One recorded case; what is unknown to this class stays in ``raw``."""

    file: str
    id: str
    topic: str
    setup: tuple[str, ...]
    raw: Mapping[str, Any]

    @property
    def line(self) -> str:
        """Return the command as one line."""
        command = self.raw["cmd"]
        return command if isinstance(command, str) else " ".join(command)

    @property
    def needs_others(self) -> bool:
        """Whether somebody besides alice does something in it, or has before."""
        return {self.raw.get("user", "alice"), *(step.user for step in steps_of(self.setup))} != {
            "alice"
        }


class Group(msgspec.Struct, frozen=True):
    """Cases that share a cluster and a set-up."""

    file: str
    setup: tuple[str, ...]
    cases: tuple[Case, ...]


def load(directory: Path) -> list[Case]:
    """Return every case of the ``*.jsonl`` files of a directory, in order."""
    return [
        case for path in sorted(directory.glob("*.jsonl")) for case in _set_up(list(_read(path)))
    ]


def _set_up(cases: Sequence[Case]) -> Iterator[Case]:
    """Give a case that states no set-up, but names a job of one, that set-up.

    It was recorded while that job was there.
    """
    makers = {
        step.job_id: case.setup for case in cases for step in steps_of(case.setup) if step.job_id
    }
    for case in cases:
        named = None if case.setup else _NAMED.match(case.line)
        setup = makers.get(int(named[1]), ()) if named else case.setup
        yield msgspec.structs.replace(case, setup=setup)


def grouped(cases: Sequence[Case]) -> list[Group]:
    """Return the groups in order of their first case."""
    found: dict[tuple[str, tuple[str, ...]], list[Case]] = {}
    for case in cases:
        found.setdefault((case.file, case.setup), []).append(case)
    return [Group(file, setup, tuple(group)) for (file, setup), group in found.items()]


def parse_step(text: str) -> Step | None:
    """Read a step of a set-up; None for a mere remark."""
    if text.startswith("#"):
        return None
    if match := _FILE.fullmatch(text):
        return Step(ast.literal_eval(match[2]), file=match[1])
    user = "alice"
    if match := _USER.match(text):
        user, text = match[1], text[match.end() :]
    job = _JOB.search(text)
    if job:
        text = text[: job.start()]
    return Step(_REMARK.sub("", text), user, int(job[1]) if job else 0)


def steps_of(setup: Sequence[str]) -> list[Step]:
    """Return the steps of a set-up."""
    return [step for text in setup if (step := parse_step(text)) is not None]


def _read(path: Path) -> Iterator[Case]:
    for line in path.read_text().splitlines():
        raw = json.loads(line)
        setup = tuple(raw.get("setup") or ())
        yield Case(path.stem, raw["id"], raw.get("topic", path.stem), setup, raw)
