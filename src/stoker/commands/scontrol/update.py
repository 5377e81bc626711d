"""scontrol update: which thing is changed, and the changes to jobs.

The words after ``update`` are ``NAME=VALUE``; one of them says what is changed. All of a job's
values are read before anything is changed, so that a wrong one changes nothing.

Source: scontrol(1) "update"; the wording as recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from stoker.commands.errors import strerror
from stoker.commands.scontrol.control import answer, failures, named_ids
from stoker.commands.scontrol.parameters import PARAMETERS, WITHOUT_VALUE, BadValue, Parameter
from stoker.commands.scontrol.reservations import update_reservation
from stoker.commands.scontrol.update_machine import update_nodes, update_partition
from stoker.commands.scontrol.update_steps import update_steps
from stoker.commands.scontrol.words import Line, Pair, failure, job_refs, meant, pair
from stoker.core.enums import JobState
from stoker.core.errors import InvalidSpec, NotAllowed
from stoker.core.models import Job
from stoker.core.units import JobRef
from stoker.worker.call import Answer

_ENTITIES: Final = {
    "job|id": "job",
    "nodename": "node",
    "node|": "node",
    "partition|name": "partition",
    "step|id": "step",
    "res|ervationname": "reservation",
    "slurmctldd|ebug": "debug",
}
_NO_ENTITY: Final = (
    "No valid entity in update command\n"
    'Input line must include "NodeName", "PartitionName", "Reservation", "JobId", or '
    '"SlurmctldDebug"'
)


def update(line: Line, words: Sequence[str]) -> Answer:
    """Change what the words name."""
    pairs = [pair(word) for word in words]
    for named in pairs:
        others = [each for each in pairs if each is not named]
        match meant(named.name, _ENTITIES):
            case "job":
                return _update_job(line, [named.value or ""], others)
            case "node":
                return update_nodes(line, named.value or "", others)
            case "partition":
                return update_partition(line, named.value or "", others)
            case "reservation":
                return update_reservation(line, pairs)
            case "step":
                return update_steps(line, named, others)
            case "debug":
                return failure(f"slurm_update error: {strerror('ESLURM_NOT_SUPPORTED')}")
    return _update_by_name(line, pairs)


def _update_by_name(line: Line, pairs: Sequence[Pair]) -> Answer:
    """Change the jobs of a name, where no id is given."""
    for named in pairs:
        if named.name.lower() in ("jobname", "name"):
            others = [each for each in pairs if each is not named]
            users = (each.value for each in pairs if each.name.lower() in ("userid", "uid"))
            ids = named_ids(line, named.value or "", next(users, None) or "")
            return _update_job(line, ids, others)
    return failure(_NO_ENTITY)


def _update_job(line: Line, ids: Sequence[str], pairs: Sequence[Pair]) -> Answer:
    parameters = []
    for each in pairs:
        if each.value is None and each.name.lower() not in WITHOUT_VALUE:
            return failure(f"Invalid input: {each}\nRequest aborted")
        if each.name.lower() in ("userid", "uid"):
            continue
        parameter = meant(each.name, PARAMETERS)
        if parameter is None:
            return failure(f"Update of this parameter is not supported: {each}\nRequest aborted")
        parameters.append((parameter, each.value or ""))
    if not parameters:
        return failure("No changes specified")
    errors: list[str] = []
    for text in (text for word in ids for text, _ in job_refs([word])):
        try:
            errors += _update_one(line, text, parameters)
        except BadValue as error:
            return failure(str(error))
    return answer(line, errors)


def _update_one(line: Line, text: str, parameters: Sequence[tuple[Parameter, str]]) -> list[str]:
    def act(ref: JobRef) -> None:
        job = next(each for each in line.controller.find(ref) if not each.state.has_ended)
        _apply(line, ref, _read(line, job, parameters))

    found = failures(line, text, act)
    return [
        f"{label}: {strerror(code)}" if label else f"{strerror(code)} for job {text}"
        for label, code in found
    ]


def _read(
    line: Line, job: Job, parameters: Sequence[tuple[Parameter, str]]
) -> Mapping[str, object]:
    """Return the changes to a job.

    Raises:
        BadValue: A value cannot be read.
        InvalidSpec: A value makes no sense here.
        NotAllowed: The job runs, and only a waiting one can be changed so.
    """
    changes: dict[str, object] = {}
    for parameter, value in parameters:
        is_late = parameter.is_for_waiting and job.state is not JobState.PENDING
        with suppress(*((InvalidSpec, NotAllowed) if is_late else ())):
            # What cannot be read at all is told of before that it is too late for it.
            changes |= parameter.read(value, job, line)
        if is_late:
            raise NotAllowed("the job waits no more", parameter.code_when_late)
    return changes


def _apply(line: Line, ref: JobRef, changes: Mapping[str, object]) -> None:
    """Change a job; priority 0 is a hold, in Slurm's way of speaking."""
    rest = {name: value for name, value in changes.items() if (name, value) != ("priority", 0)}
    if rest:
        line.controller.update(ref, line.call.owner, rest)
    if len(rest) < len(changes):
        line.controller.hold(ref, line.call.owner)
