"""scontrol update StepId=: the time limit of a running step, or of all of a job's.

Source: scontrol(1) "update", of which a step has one parameter that can be changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from stoker.commands.errors import code_of, strerror
from stoker.commands.scontrol.parameters import BadValue
from stoker.commands.scontrol.words import Line, Pair, failure, meant
from stoker.core.errors import StokerError, UnknownJob
from stoker.core.models import FOREVER, Job, Step
from stoker.core.units import JobRef, NotationError, parse_time_limit
from stoker.worker.call import Answer

_TIME_LIMIT: Final = {"ti|melimit": True}
_STEP_ID: Final = re.compile(r"(\d{1,10})(?:\.(\d{0,10})\D*)?", re.ASCII)
"""A name, such as ``batch``, is read as strtol(3) reads it: as step 0."""


def update_steps(line: Line, named: Pair, others: Iterable[Pair]) -> Answer:
    """Change the steps that *named* says."""
    match = _STEP_ID.fullmatch(named.value or "")
    if match is None:
        return failure(f"scontrol: error: Invalid StepID parameter: {named}")
    limit = ""
    for each in others:
        if each.value is None:
            return failure(f"Invalid input: {each}\nRequest aborted")
        if not meant(each.name, _TIME_LIMIT):
            return failure(f"Update of this parameter is not supported: {each}\nRequest aborted")
        limit = each.value
    if not limit:
        return failure("No changes specified")
    number = None if match[2] is None else str(int(match[2] or "0"))
    try:
        _limit(line, int(match[1]), number, limit)
    except BadValue as error:
        return failure(str(error))
    except StokerError as error:
        code = code_of(error)
        if code == "ESLURM_ACCESS_DENIED":
            code = "ESLURM_USER_ID_MISSING"
        return failure(f"slurm_update error: {strerror(code)}")
    return Answer()


def _limit(line: Line, job_id: int, step_id: str | None, text: str) -> None:
    """Set the limit of a step, or of all of a job's."""
    job = line.controller.find(JobRef(job_id))[0]
    for step in _open_steps(line, job, step_id):
        line.controller.steps.limit(job, step.step_id, line.call.owner, _time_limit(text, step))


def _open_steps(line: Line, job: Job, step_id: str | None) -> Sequence[Step]:
    """Return the steps that are meant and have not ended."""
    if job.state.has_ended or job.allocation is None:
        raise UnknownJob(str(job.job_id))
    steps = [step for step in line.controller.steps.of(job) if not step.end_at]
    if step_id is None:
        return steps
    if found := [step for step in steps if step.step_id == step_id]:
        return found
    raise UnknownJob(f"{job.job_id}.{step_id}")


def _time_limit(text: str, step: Step) -> float | None:
    """Return a step's new limit in seconds; with a sign it is added to the old one, or taken off.

    Raises:
        BadValue: It cannot be read, or more is taken off than there is.
    """
    sign = text[:1] if text[:1] in ("+", "-") else ""
    try:
        seconds = parse_time_limit(text.removeprefix(sign))
    except NotationError:
        raise BadValue("scontrol: error: Invalid TimeLimit value") from None
    old = step.time_limit_s
    if not sign or old is None:
        return None if seconds == FOREVER else seconds
    if sign == "-" and seconds > old:
        minutes = f"{seconds // 60:.0f} > {old // 60:.0f}"
        raise BadValue(
            f"scontrol: error: TimeLimit decrement larger than current time limit ({minutes})"
        )
    return None if seconds == FOREVER else old + (seconds if sign == "+" else -seconds)
