"""Names of jobs, tasks and steps, as every command takes them.

Source: scancel(1), squeue(1) "--jobs".
"""

from __future__ import annotations

import re

import msgspec

from stoker.core.units.arrays import TaskSet
from stoker.core.units.errors import NotationError

_REF = re.compile(
    r"(?P<job>\d{1,10})"
    r"(?:_(?P<task>\d{1,10})|_\[(?P<tasks>[\d,:\-]+)(?:%\d+)?\]|\+(?P<component>\d{1,6}))?"
    r"(?:\.(?P<step>\d{1,10}|batch|extern|interactive))?",
    re.ASCII,
)


class JobRef(msgspec.Struct, frozen=True):
    """A job; with ``tasks``, only these of an array; with ``step``, only that step.

    ``component`` is the offset of a heterogeneous job's part. ``tasks`` is not to be changed.
    """

    job_id: int
    tasks: TaskSet | None = None
    step: str = ""
    component: int | None = None

    def __hash__(self) -> int:
        return hash((self.job_id, str(self)))

    def __str__(self) -> str:
        text = str(self.job_id)
        if self.tasks is not None:
            form = self.tasks.pack()
            text += f"_{form}" if form.isdecimal() else f"_[{form}]"
        if self.component is not None:
            text += f"+{self.component}"
        return f"{text}.{self.step}" if self.step else text


def parse_job_ref(text: str) -> JobRef:
    """Read ``42``, ``42_7``, ``42_[1-3,5]``, ``42.0``, ``42_7.batch`` or ``42+0``.

    Raises:
        NotationError: It is none of these.
    """
    match = _REF.fullmatch(text)
    if match is None or int(match["job"]) == 0:
        raise NotationError("the job id", text, "write one as in 42, 42_7, 42_[1-3] or 42.0")
    tasks = match["task"] or match["tasks"]
    return JobRef(
        int(match["job"]),
        TaskSet.parse(tasks) if tasks else None,
        match["step"] or "",
        int(match["component"]) if match["component"] else None,
    )
