"""scontrol's small words: those that look at one thing, and those that one machine refuses.

What would start, stop or reconfigure daemons, and what needs things that are not here
(partitions that are made by a command), is refused with Slurm's text for it.

Source: scontrol(1); the wording as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import strerror as system_strerror
from typing import Final

from stoker.commands.errors import describe, strerror, strerror_of_number
from stoker.commands.options import VERSION
from stoker.commands.scene import Scene
from stoker.commands.scontrol.machine import ping_line
from stoker.commands.scontrol.reservations import create_reservation, delete_reservation
from stoker.commands.scontrol.words import Line, failure, meant, pair
from stoker.core.enums import HOLDING, JobState
from stoker.core.errors import UnknownJob
from stoker.core.models import Job
from stoker.core.units import JobRef, NotationError, compress_hosts, parse_job_ref
from stoker.worker.call import Answer, Conversation, UntilStarted, WriteFile

_WRITE_WORDS_MAX: Final = 3


def ping(line: Line, _words: Sequence[str]) -> Answer:
    """Say that the controller is there."""
    return Answer(out=f"{ping_line(line)}\n")


def version(_line: Line, words: Sequence[str]) -> Answer:
    """Say whose language this is."""
    if words:
        return Answer(f"{VERSION}\n", "too many arguments for version keyword\n", 1)
    return Answer(out=f"{VERSION}\n")


def error_text(_line: Line, words: Sequence[str]) -> Answer:
    """Say what an error number of Slurm's, or of the system, means."""
    if len(words) > 1:
        return failure("one arguments required for keyword:errnumstr")
    if not words[0].isdecimal() or len(words[0]) > 9:
        return failure("numeric arguments required for keyword:errnumstr")
    number = int(words[0])
    return Answer(out=f"{strerror_of_number(number) or system_strerror(number)}\n")


def completing(line: Line, _words: Sequence[str]) -> Answer:
    """List the jobs that are being ended."""
    scene = Scene(line.call, line.controller)
    return Answer(
        out="".join(
            f"JobId={job.job_id} EndTime={scene.time(job.end_at)} CompletingTime=00:00:00 "
            f"Nodes(COMPLETING)={compress_hosts(job.allocation.nodes if job.allocation else ())}\n"
            for job in line.controller.active_jobs()
            if job.state is JobState.COMPLETING
        )
    )


def job_of_process(line: Line, words: Sequence[str]) -> Answer:
    """Name the job whose script has this process id."""
    scene = Scene(line.call, line.controller)
    for job in line.controller.active_jobs():
        if job.allocation and words[0] == str(job.allocation.pid) and job.state in HOLDING:
            limit = job.time_limit_s
            until = "Unknown" if limit is None else scene.time(job.start_at + limit)
            return Answer(out=f"Slurm job id {job.job_id} ends at {until}\n")
    return failure("Failed to locate job for requested pid")


def wait_for_job(line: Line, words: Sequence[str]) -> Conversation:
    """Wait until a job runs."""
    try:
        job = line.controller.find(JobRef(parse_job_ref(words[0]).job_id))[0]
        found: Job = yield UntilStarted(job.job_id)
    except UnknownJob:
        return failure(f"scontrol: Problem running job {words[0]}")
    except NotationError:
        return Answer(err=f"Invalid job_id {words[0]}", code=1)
    return Answer(code=int(found.state.has_ended))


def write(line: Line, words: Sequence[str]) -> Answer | Conversation:
    """Write the batch script of a job into the caller's directory, or to standard output."""
    if not words or len(words) > _WRITE_WORDS_MAX:
        return failure(f"too {'many' if words else 'few'} arguments for keyword:write")
    if words[0].lower() not in ("batch_script", "batch"):
        return failure(f"invalid write argument:{words[0]}")
    if len(words) == 1:
        return Answer()
    try:
        job = line.controller.find(parse_job_ref(words[1]))[0]
    except (UnknownJob, NotationError):
        return failure(f"job script retrieval failed: {strerror('ESLURM_INVALID_JOB_ID')}", 0)
    if not line.controller.rights.may_read(job, line.call.owner):
        return failure(f"job script retrieval failed: {strerror('ESLURM_USER_ID_MISSING')}", 0)
    script = line.controller.script(job)
    if not script:
        return failure(f"job script retrieval failed: {strerror('ESLURM_JOB_SCRIPT_MISSING')}", 0)
    if words[2:] == ["-"]:
        return Answer(out=script.decode(errors="surrogateescape"))
    return _write_script(job.job_id, script, "".join(words[2:3]))


def _write_script(job_id: int, script: bytes, path: str) -> Conversation:
    path = path or f"slurm-{job_id}.sh"
    try:
        yield WriteFile(path, script, 0o700)
    except OSError as error:
        return failure(f"scontrol: error: failed to open file `{path}`: {error.strerror}", 0)
    return Answer(out=f"batch script for job {job_id} written to {path}\n")


def reconfigure(line: Line, _words: Sequence[str]) -> Answer:
    """Accept from root what a change of settings does not need here: a restart reads them."""
    if line.call.owner.user_id:
        return failure(f"slurm_reconfigure error: {strerror('ESLURM_USER_ID_MISSING')}")
    return Answer()


def shut_down(line: Line, _words: Sequence[str]) -> Answer:
    """Refuse: `stoker down` stops the daemon."""
    if line.call.owner.user_id:
        return failure(f"slurm_shutdown error: {strerror('ESLURM_USER_ID_MISSING')}")
    return failure(f"slurm_shutdown error: {strerror('ESLURM_NOT_SUPPORTED')}")


def notify(line: Line, words: Sequence[str]) -> Answer:
    """Refuse to write into a job's output: that file is the job's."""
    try:
        line.controller.find(parse_job_ref(words[0]))
    except UnknownJob as error:
        return failure(f"job notify failure: {describe(error)}")
    except NotationError:
        return failure(f"job notify failure: {strerror('ESLURM_INVALID_JOB_ID')}")
    return failure(f"job notify failure: {strerror('ESLURM_NOT_SUPPORTED')}")


def unsupported(_line: Line, _words: Sequence[str]) -> Answer:
    """Refuse what one machine has no use for."""
    return failure(f"scontrol: error: {strerror('ESLURM_NOT_SUPPORTED')}")


def create(line: Line, words: Sequence[str]) -> Answer:
    """Make a reservation; partitions stand in the settings."""
    if not words:
        return failure("too few arguments for create keyword")
    pairs = [pair(word) for word in words]
    for each in pairs:
        match meant(each.name, {"res|ervationname": "reservation", "par|titionname": "partition"}):
            case "reservation":
                return create_reservation(line, [one for one in pairs if one.value is not None])
            case "partition":
                return _for_administrators(line, words, "Error creating the partition")
    if meant(pairs[0].name, {"node|name": "node"}):
        return _for_administrators(line, words, "Error creating the node(s)")
    return failure(f"scontrol: error: Invalid creation entity: {words[0]}")


def delete(line: Line, words: Sequence[str]) -> Answer:
    """Delete a reservation; partitions stand in the settings."""
    if not words:
        return failure("too few arguments for delete keyword")
    if len(words) == 1 and "=" not in words[0]:
        return failure(
            "scontrol: error: Proper format is 'delete <ENTITY>=<ID>' or 'delete <ENTITY> <ID>'"
        )
    entity = meant(
        pair(words[0]).name,
        {"res|ervationname": "reservation", "par|titionname": "partition", "node|name": "node"},
    )
    if entity is None:
        return failure(f"Invalid deletion entity: {words[0]}")
    if entity == "reservation":
        return delete_reservation(line, "=".join(words))
    return _for_administrators(line, words, f"delete_{entity} {words[0]}")


def _for_administrators(line: Line, words: Sequence[str], what: str) -> Answer:
    """Refuse what the settings say here; of others, that they ask for it at all."""
    if line.controller.rights.is_administrator(line.call.owner):
        return unsupported(line, words)
    return failure(f"{what}: {strerror('ESLURM_USER_ID_MISSING')}")
