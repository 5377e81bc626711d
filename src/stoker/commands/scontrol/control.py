"""scontrol hold, release, requeue, suspend, resume and top: what happens to whole jobs.

A trouble with one job does not keep the others from being dealt with; the exit status tells. The
tasks of an array are spoken of together: those that have ended, and the rest.

Source: scontrol(1); the wording as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from stoker.commands.errors import code_of, strerror
from stoker.commands.scontrol.words import Line, job_refs
from stoker.core.enums import Hold, JobState
from stoker.core.errors import StokerError, UnknownJob
from stoker.core.models import NO_TASK, Job
from stoker.core.units import JobRef, TaskSet
from stoker.worker.call import Answer

Act = Callable[[JobRef], None]

_FINISHED = "ESLURM_JOB_FINISHED"
_NOT_PENDING = "ESLURM_JOB_NOT_PENDING"
_UNKNOWN = "ESLURM_INVALID_JOB_ID"
_HELD = "ESLURM_JOB_HELD"
_SPECIAL_EXIT = "state=specialexit"
"""The word for requeued jobs that are to be shown as such; any other is taken for an id."""


def hold(line: Line, words: Sequence[str]) -> Answer:
    """Keep jobs from starting."""
    return _held(line, words, lambda ref: line.controller.hold(ref, line.call.owner))


def hold_as_user(line: Line, words: Sequence[str]) -> Answer:
    """Keep jobs from starting so that their owner may release them."""
    return _held(line, words, lambda ref: line.controller.hold(ref, line.call.owner, as_user=True))


def release(line: Line, words: Sequence[str]) -> Answer:
    """Let held jobs go."""
    return _held(line, words, lambda ref: line.controller.release(ref, line.call.owner))


def requeue(line: Line, words: Sequence[str]) -> Answer:
    """Let jobs run again."""
    return _each(
        line,
        [word for word in words if word.lower() != _SPECIAL_EXIT],
        lambda ref: line.controller.requeue(ref, line.call.owner),
        takes_ended=True,
    )


def requeue_and_hold(line: Line, words: Sequence[str]) -> Answer:
    """Let jobs wait again, held."""
    ids = [word for word in words if word.lower() != _SPECIAL_EXIT]
    is_special = len(ids) < len(words)
    return _each(
        line,
        ids,
        lambda ref: line.controller.requeue(ref, line.call.owner, hold=True, special=is_special),
        takes_ended=True,
    )


def suspend(line: Line, words: Sequence[str]) -> Answer:
    """Stop the processes of running jobs."""
    return _each(
        line,
        words,
        lambda ref: line.controller.suspend(ref, line.call.owner),
        unknown="Unexpected message received",
    )


def resume(line: Line, words: Sequence[str]) -> Answer:
    """Continue suspended jobs."""
    return _each(
        line,
        words,
        lambda ref: line.controller.resume(ref, line.call.owner),
        unknown="Unexpected message received",
    )


def top(line: Line, words: Sequence[str]) -> Answer:
    """Put jobs before all others of their owner, the first of them first; or none of a list."""
    errors, own = [], line.call.owner.user_id
    for word in words:
        refs = [ref for _, ref in job_refs([word])]
        code = _obstacle_to_top(line, refs)
        mine = [job for job in line.controller.active_jobs() if job.owner.user_id == own]
        highest = max((job.priority for job in mine if job.state is JobState.PENDING), default=0)
        for at, ref in enumerate(refs):
            if not code and ref is not None:
                change = {"priority": highest + len(refs) - at}
                code = _attempt(_what_waits(line, ref), partial(_update, line, change))
        if code:
            errors.append(f"{strerror(code)} for job {word}")
    return answer(line, errors)


def _update(line: Line, change: Mapping[str, object], ref: JobRef) -> None:
    line.controller.update(ref, line.call.owner, change)


def _obstacle_to_top(line: Line, refs: Sequence[JobRef | None]) -> str:
    """Return why jobs cannot be put first: one is unknown, held, or waits no more."""
    code = ""
    for ref in refs:
        try:
            jobs = line.controller.find(ref) if ref is not None else ()
        except UnknownJob:
            jobs = ()
        if not jobs:
            return _UNKNOWN
        waiting = [job for job in jobs if job.state is JobState.PENDING]
        if not waiting:
            code = code or _NOT_PENDING
        elif any(job.hold is not Hold.NONE for job in waiting):
            code = _HELD
    return code


def _what_waits(line: Line, ref: JobRef) -> JobRef:
    """Return what is named, of an array without the tasks that wait no more."""
    jobs = [job for job in line.controller.find(ref) if job.state is JobState.PENDING]
    tasks = _tasks(ref, jobs)
    return JobRef(ref.job_id, tasks) if tasks else ref


def _held(line: Line, words: Sequence[str], act: Act) -> Answer:
    """Act on each job; Slurm says twice what is wrong with a single one."""
    errors = []
    for text in _ids(line, words):
        for label, code in failures(line, text, act):
            message = strerror(code)
            if label:
                errors.append(f"{label}: {message}")
            else:
                errors += [f"{message} for job {text}", f"slurm_suspend error: {message}"]
    return answer(line, errors)


def _each(
    line: Line, words: Sequence[str], act: Act, *, unknown: str = "", takes_ended: bool = False
) -> Answer:
    errors = []
    for text in _ids(line, words):
        is_id = all(ref for _, ref in job_refs([text]))
        for label, code in failures(line, text, act, takes_ended=takes_ended):
            is_odd = unknown and code == _UNKNOWN and is_id and not label
            message = unknown if is_odd else strerror(code)
            errors.append(f"{label}: {message}" if label else f"{message} for job {text}")
    return answer(line, errors)


def answer(line: Line, errors: Sequence[str]) -> Answer:
    """Return an answer that says *errors*, unless it is to be quiet."""
    text = "".join(f"{error}\n" for error in errors)
    return Answer(err="" if line.is_quiet else text, code=int(bool(errors)))


def failures(
    line: Line, text: str, act: Act, *, takes_ended: bool = False
) -> Iterator[tuple[str, str]]:
    """Act on what an id names, and return what went wrong: whose trouble (``1_1-4``), its name.

    For a single job nobody is named. If some of an array went wrong, the rest is told as well.
    With *takes_ended* jobs that have ended are acted on, too.
    """
    refs = [ref for _, ref in job_refs([text])]
    ref = refs[0] if len(refs) == 1 else None
    try:
        jobs = line.controller.find(ref) if ref else []
    except UnknownJob:
        jobs = []
    if ref is None or not jobs:
        yield text if ref is not None and ref.tasks is not None else "", _UNKNOWN
        return
    missing = ref.tasks.difference(_tasks(ref, jobs)) if ref.tasks is not None else TaskSet()
    found = _outcomes(ref, jobs, act, takes_ended=takes_ended)
    found += [(missing, _UNKNOWN)] if missing else []
    if not any(code for _, code in found):
        return
    for tasks, code in sorted(found, key=lambda each: each[0].first if each[0] else 0):
        label = f"{jobs[0].array_job_id}_{tasks.format()}" if tasks else ""
        yield label, code or "SLURM_SUCCESS"


def _outcomes(
    ref: JobRef, jobs: Sequence[Job], act: Act, *, takes_ended: bool
) -> list[tuple[TaskSet, str]]:
    """Act on a job, or on an array; return with which tasks what went wrong; "": nothing."""
    found: dict[str, list[int]] = {}
    parts = _parts(ref, jobs)
    for tasks, job in parts:
        part = JobRef(job.array_job_id, tasks) if len(parts) > 1 else ref
        is_over = job.state.has_ended and not takes_ended
        code = _FINISHED if is_over else _attempt(part, act)
        found.setdefault(code, []).extend(tasks)
    return [(TaskSet(tasks), code) for code, tasks in found.items()]


def _parts(ref: JobRef, jobs: Sequence[Job]) -> list[tuple[TaskSet, Job]]:
    """Return the tasks that fare alike, and a job for them: Slurm asks each one by itself."""
    alike: dict[tuple[object, ...], list[Job]] = {}
    for job in jobs:
        alike.setdefault((job.state, job.hold, job.requeue), []).append(job)
    return [(_tasks(ref, group), group[0]) for group in alike.values()]


def _attempt(ref: JobRef, act: Act) -> str:
    try:
        act(ref)
    except StokerError as error:
        return code_of(error)
    return ""


def _tasks(ref: JobRef, jobs: Sequence[Job]) -> TaskSet:
    """Return the tasks that a message is about; none for a job that is no array."""
    tasks: list[int] = []
    for job in jobs:
        if job.array is not None:
            tasks += job.array if ref.tasks is None else job.array.intersection(ref.tasks)
        elif job.array_task_id != NO_TASK:
            tasks.append(job.array_task_id)
    return TaskSet(tasks)


def _ids(line: Line, words: Sequence[str]) -> Iterator[str]:
    """Return the ids in *words*; ``jobname=NAME`` stands for the caller's jobs of that name."""
    for word in map(_without_key, words):
        key, equals, value = word.partition("=")
        if equals and key.lower() in ("jobname", "name"):
            yield from named_ids(line, value)
        else:
            found = [*job_refs([word])]
            # A list with a word in it that is no id is refused as a whole.
            yield from [text for text, _ in found] if all(ref for _, ref in found) else [word]


def _without_key(word: str) -> str:
    """Return ids without what may stand before them: ``jobid=`` or ``job=``."""
    return re.sub(r"^job(?:id)?=", "", word, flags=re.IGNORECASE)


def named_ids(line: Line, name: str, user: str = "") -> list[str]:
    """Return the ids of the jobs of that name that have not ended; arrays are named once.

    Those of *user* are meant, a name or a number; by default the caller's, and root's are all.
    """
    own = line.call.owner
    whose = {user} if user else {own.user_name, str(own.user_id)} if own.user_id else set()
    jobs = (
        job
        for job in line.controller.active_jobs()
        if job.name == name and (not whose or whose & {job.owner.user_name, str(job.owner.user_id)})
    )
    return list(dict.fromkeys(str(job.array_job_id or job.job_id) for job in jobs))
