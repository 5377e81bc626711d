"""sbcast: copy a file to the nodes of a job. They are one machine: it is copied once.

What stands in the way does so on every node, and is told of each.

Source: sbcast(1); messages and exit codes are recorded.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Generator
from errno import EFBIG
from typing import Any, Final

from stoker.commands.errors import strerror
from stoker.commands.jobcalls import job_of
from stoker.commands.options import (
    HELP,
    USAGE,
    VERSION_OPTION,
    EarlyAnswer,
    Option,
    Parsed,
    parse,
    usage_error,
)
from stoker.core.models import Job
from stoker.worker.call import Answer, Call, Conversation, CopyFile, ReadFile, Request
from stoker.worker.controller import Controller

OPTIONS: Final = (
    Option("compress", "C", "optional", "compress what is sent", "meaningless", "METHOD"),
    Option("exclude", "", "required", "libraries not to send", "meaningless", "PATHS"),
    Option("fanout", "F", "required", "how many nodes to send to at once", "meaningless", "COUNT"),
    Option("force", "f", help="replace the file if it is there"),
    Option("jobid", "j", "required", "the job, if it is not this one", value="JOB_ID[.STEP]"),
    Option("preserve", "p", help="keep the times, too"),
    Option("send-libs", "", "optional", "copy libraries as well", "meaningless", "yes|no"),
    Option("size", "s", "required", "size of the pieces that are sent", "meaningless", "BYTES"),
    Option("timeout", "t", "required", "how long to wait for a piece", "meaningless", "SECONDS"),
    Option("treewidth", "", "required", "how many nodes to send to at once", "meaningless"),
    Option("verbose", "v", help="say more", meaning="meaningless"),
    HELP,
    USAGE,
    VERSION_OPTION,
)

_NO_JOB: Final = (
    "sbcast: error: Need a job id to run this command.  "
    "Run from within a Slurm job or use the --jobid option.\n"
)
_JOB_ID: Final = re.compile(r"(\d{1,10})(?:\.\d{1,10})?", re.ASCII)
_FAILED: Final = 255


def sbcast(call: Call, controller: Controller) -> Conversation:
    """Copy a file to where a job runs."""
    try:
        parsed = parse("sbcast", OPTIONS, call.argv)
        if len(parsed.operands) != 2:
            count = len(parsed.operands)
            raise usage_error("sbcast", f"Need two file names, have {count} names")
    except EarlyAnswer as early:
        return early.answer
    job = _job(call, parsed, controller)
    if isinstance(job, Answer):
        return job
    return (yield from _copied(call, parsed, job))


def _job(call: Call, parsed: Parsed, controller: Controller) -> Job | Answer:
    """Return the running job, or what is to be said of it."""
    text = parsed.last("jobid") or call.environment.get("SLURM_JOB_ID")
    if not text:
        return Answer(err=_NO_JOB, code=1)
    match = _JOB_ID.fullmatch(text)
    job_id = int(match[1]) if match else 0
    job = job_of(controller, job_id)
    if job is None:
        return _refused(text, strerror("ESLURM_INVALID_JOB_ID"))
    if not controller.rights.may_attend(job, call.owner):
        return _refused(text, strerror("ESLURM_ACCESS_DENIED"))
    if job.allocation is None:
        is_over = job.state.has_ended
        return _refused(text, strerror("ESLURM_ALREADY_DONE" if is_over else "ESLURM_JOB_PENDING"))
    return job


def _refused(job_id: str, why: str) -> Answer:
    return Answer(err=f"sbcast: error: Slurm job ID {job_id} lookup error: {why}\n", code=1)


def _copied(call: Call, parsed: Parsed, job: Job) -> Generator[Request, Any, Answer]:
    assert job.allocation is not None, f"job {job.job_id} does not run"
    name, target = parsed.operands
    source = posixpath.join(call.work_dir, name)
    try:
        yield ReadFile(source, 1)
    except IsADirectoryError:
        return Answer(err=f"sbcast: error: `{name}` is not a regular file\n", code=_FAILED)
    except OSError as error:
        if error.errno != EFBIG:  # There is more of it than we wanted to see.
            text = f"sbcast: error: Can't open `{name}`: {error.strerror}\n"
            return Answer(err=text, code=_FAILED)
    try:
        yield CopyFile(
            source,
            posixpath.join(call.work_dir, target),
            replaces=parsed.has("force"),
            preserves=parsed.has("preserve"),
        )
    except OSError as error:
        lines = (
            f"sbcast: error: REQUEST_FILE_BCAST({node}): {error.strerror}\n"
            for node in reversed(job.allocation.nodes)
        )
        return Answer(err="".join(lines), code=error.errno or _FAILED)
    return Answer()
