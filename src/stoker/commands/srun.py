"""srun: run a command's tasks in an allocation, one of its own if it is not inside one.

The tasks use the caller's descriptors, so that nothing stands between them and its terminal. Who
waits for them may be interrupted: the signal is for srun (INT, TERM, HUP, QUIT) or passed on.

Source: srun(1); messages and exit codes are recorded.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from signal import SIGINT, SIGKILL, SIGQUIT, SIGUSR1, SIGUSR2
from typing import Any, Final, NoReturn

import msgspec

from stoker.commands import joboptions, variables
from stoker.commands.allocating import (
    ENDING_SIGNALS,
    Manners,
    allocate,
    interactive_submission,
)
from stoker.commands.errors import describe, refusal, strerror
from stoker.commands.jobcalls import (
    check_cluster,
    exit_error,
    notes_of,
    read_node_file,
    tested,
)
from stoker.commands.options import EarlyAnswer, Parsed, parse
from stoker.commands.readers import take_all, take_variables
from stoker.commands.steprequest import check_step_options, step_request
from stoker.commands.submission import Program, wishes_of, work_dir_of
from stoker.commands.taskends import (
    aborted_lines,
    cancelled_line,
    end_lines,
    ends_of,
    exit_status,
    return_code,
    status_line,
)
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.enums import JobState
from stoker.core.errors import StokerError, UnknownJob
from stoker.core.models import Job, Step
from stoker.core.units import JobRef
from stoker.worker.call import (
    Answer,
    Attach,
    Call,
    Conversation,
    Interrupted,
    Request,
    Say,
    UntilStepEnded,
    UntilStepFree,
)
from stoker.worker.controller import Controller, StepRequest

_REFUSED: Final = "Unable to allocate resources"
_ABORT_WITHIN_S: Final = 1.0
"""A second interrupt within this time ends the step."""

_OF_THE_JOB: Final = frozenset(
    {"account", "constraint", "dependency", "gres", "mem", "mem-per-cpu", "mem-per-gpu"}
    | {"partition", "qos", "reservation", "job-name", "gpus", "gpus-per-node", "gpus-per-task"}
)
"""Variables that describe the job around a step: the step does not ask for them again."""


def srun(call: Call, controller: Controller) -> Conversation:
    """Run a command's tasks."""
    try:
        return (yield from _run(call, controller))
    except EarlyAnswer as early:
        return early.answer
    except OptionError as error:
        return Answer(err=error.text, code=error.code)


def _run(call: Call, controller: Controller) -> Conversation:
    parsed = parse("srun", joboptions.SRUN, call.argv, stop_at_operand=True)
    job_id = _job_id(call, parsed)
    wishes = wishes_of(call)
    take_variables(wishes, _variables(call, is_inside=job_id is not None))
    take_all(wishes, parsed.values)
    check_step_options(wishes)
    check_cluster(wishes, controller)
    if not parsed.operands:
        wishes.fail("fatal: No command given to execute.")
    work_dir_of(call, wishes)
    yield from read_node_file(wishes)
    if notes := notes_of(wishes):
        yield Say(err=notes)
    if job_id is not None:
        job = _surrounding_job(call, controller, job_id)
        return (yield from _Run(call, wishes, controller).step(job, parsed.operands))
    return (yield from _run_alone(call, wishes, controller, parsed))


def _run_alone(call: Call, wishes: Wishes, controller: Controller, parsed: Parsed) -> Conversation:
    """Run the command in a job of its own."""
    if parsed.has("relative"):
        wishes.fail("fatal: --relative option invalid for job allocation request")
    words = parsed.operands
    name = words[0].rpartition("/")[2] or words[0]
    program = Program(name=name, path=words[0], is_interactive=True)
    wanted = _of_the_job(wishes)
    if parsed.has("test-only"):
        return _tested(call, wanted, program, controller)
    manners = Manners("srun", _REFUSED, exit_error(call))
    job = yield from allocate(call, wanted, program, controller, manners)
    run = _Run(call, wishes, controller)
    try:
        answer = yield from run.step(job, words)
    except Exception:
        controller.finish_allocation(job, 1, 0)
        raise
    controller.finish_allocation(run.job(job), *run.status)
    return answer


def _tested(call: Call, wishes: Wishes, program: Program, controller: Controller) -> Answer:
    try:
        submission = interactive_submission(call, wishes, program, controller)
    except StokerError as error:
        return Answer(err=f"allocation failure: {describe(error)}\n", code=1)
    return tested(wishes, submission, controller)


def _of_the_job(wishes: Wishes) -> Wishes:
    """Return what the job needs: with ``--overcommit`` a CPU on each node, for any tasks."""
    if "overcommit" not in wishes.shown:
        return wishes
    ignored = ("ntasks", "ntasks_per_node", "cpus_per_task")
    spec = {field: value for field, value in wishes.spec.items() if field not in ignored}
    return msgspec.structs.replace(wishes, spec=spec)


def _job_id(call: Call, parsed: Parsed) -> int | None:
    """Return the job that srun is to run in, if there is one."""
    text = parsed.last("jobid") or call.environment.get("SLURM_JOB_ID")
    if not text:
        return None
    if re.fullmatch(r"\d{1,10}", text, re.ASCII) is None:
        raise OptionError("srun: error: Invalid --jobid specification\n", 255)
    return int(text)


def _variables(call: Call, *, is_inside: bool) -> Iterable[tuple[str, str]]:
    for option, value in variables.chosen(variables.SRUN, call.environment):
        if option != "jobid" and not (is_inside and option in _OF_THE_JOB):
            yield option, value


def _surrounding_job(call: Call, controller: Controller, job_id: int) -> Job:
    """Return the running job of that id."""
    hint = f"srun: Check SLURM_JOB_ID environment variable. Expired or invalid job {job_id}\n"
    unconfirmed = f"srun: error: Unable to confirm allocation for job {job_id}"
    try:
        found = [job for job in controller.find(JobRef(job_id)) if job.job_id == job_id]
    except UnknownJob:
        found = []
    if not found:
        text = strerror("ESLURM_INVALID_JOB_ID")
        raise OptionError(f"{unconfirmed}: {text}\n{hint}", exit_error(call))
    job = found[0]
    if job.state.has_ended:
        raise OptionError(f"srun: error: Slurm job {job_id} has expired\n{hint}", exit_error(call))
    if job.allocation is None:
        text = strerror("ESLURM_JOB_PENDING")
        raise OptionError(f"{unconfirmed}: {text}\n{hint}", exit_error(call))
    if job.owner.user_id != call.owner.user_id:
        text = strerror("ESLURM_ACCESS_DENIED")
        raise OptionError(
            f"srun: error: Unable to create step for job {job_id}: {text}\n", exit_error(call)
        )
    return job


class _Run:
    """One step from its request to its end. ``status`` is the code and signal it ended with."""

    def __init__(self, call: Call, wishes: Wishes, controller: Controller) -> None:
        self.call = call
        self.wishes = wishes
        self.controller = controller
        self.status = (0, 0)
        self._interrupted_at = float("-inf")
        self._forced_by = 0

    def step(self, job: Job, words: Sequence[str]) -> Conversation:
        """Run *words* in a job that runs, and return what is to be said at the end."""
        try:
            descriptors: int = yield Attach(job.job_id)
        except OSError as error:
            self.wishes.fail(f"error: cannot pass on the standard streams: {error}")
        request = step_request(self.call, self.wishes, words, job, descriptors)
        step = yield from self._created(job, request)
        step = yield from self._ended(job, step)
        ends = ends_of(step)
        self.status = exit_status(ends)
        lines = self._abortion_lines(job, step)
        if self._forced_by != SIGINT:
            is_forced = bool(self._forced_by)
            lines += end_lines(step, ends, request.argv[0], forced=is_forced)
        return Answer(err=lines, code=return_code(ends))

    def job(self, job: Job) -> Job:
        """Return the job as it stands now."""
        try:
            found = self.controller.find(JobRef(job.job_id))
        except UnknownJob:
            found = ()
        return next((each for each in found if each.job_id == job.job_id), job)

    def _created(self, job: Job, request: StepRequest) -> Generator[Request, Any, Step]:
        """Return the step once it has begun: other steps may have to end first."""
        has_waited = False
        while (step := self._create(job, request)) is None:
            if "immediate" in self.wishes.shown:
                self._fail_step(job.job_id, "ESLURM_NODES_BUSY")
            if not has_waited and not self.wishes.quiet:
                yield Say(
                    err=f"srun: Job {job.job_id} step creation temporarily disabled, "
                    "retrying (Requested nodes are busy)\n"
                )
            has_waited = True
            yield from self._wait_for_cpus(job)
        if has_waited and not self.wishes.quiet:
            yield Say(err=f"srun: Step created for job {job.job_id}\n")
        return step

    def _create(self, job: Job, request: StepRequest) -> Step | None:
        try:
            return self.controller.create_step(self.job(job), request)
        except StokerError as error:
            what = f"Unable to create step for job {job.job_id}"
            raise OptionError(refusal("srun", what, error), exit_error(self.call)) from None

    def _wait_for_cpus(self, job: Job) -> Generator[Request, Any, None]:
        ended = sum(1 for step in self.controller.steps(self.job(job)) if step.end_at)
        try:
            yield UntilStepFree(job.job_id, ended)
        except Interrupted as interrupted:
            if interrupted.signal in ENDING_SIGNALS:
                yield Say(
                    err=f"srun: Cancelled pending job step with signal {interrupted.signal}\n"
                )
                self._fail_step(job.job_id, "ESLURM_ALREADY_DONE")

    def _fail_step(self, job_id: int, code: str) -> NoReturn:
        raise OptionError(
            f"srun: error: Unable to create step for job {job_id}: {strerror(code)}\n",
            exit_error(self.call),
        )

    def _ended(self, job: Job, step: Step) -> Generator[Request, Any, Step]:
        """Return the step when all its tasks have ended; interrupts are acted on meanwhile."""
        while True:
            try:
                ended: Step = yield UntilStepEnded(step.job_id, step.step_id)
            except Interrupted as interrupted:
                if text := self._heed(job, step, interrupted.signal):
                    yield Say(err=text)
            else:
                return ended

    def _heed(self, job: Job, step: Step, signal: int) -> str:
        """Act on a signal; return what is to be said of it."""
        if signal in (SIGUSR1, SIGUSR2):
            self._send(job, step, signal)
            return ""
        if signal == SIGINT:
            return self._heed_interrupt(job, step)
        if signal not in ENDING_SIGNALS:
            return ""
        quitting = "srun: Quit\n" if signal == SIGQUIT else ""
        return quitting + self._force(job, step, SIGKILL)

    def _heed_interrupt(self, job: Job, step: Step) -> str:
        """Show how the tasks stand; a second interrupt at once ends them."""
        now = self.controller.now()
        is_second = now - self._interrupted_at <= _ABORT_WITHIN_S
        self._interrupted_at = now
        name = f"{step.job_id}.{step.step_id}"
        if "disable-status" in self.wishes.shown:
            self._send(job, step, SIGINT)
            return f"srun: sending Ctrl-C to StepId={name}\n"
        if is_second or "quit-on-interrupt" in self.wishes.shown:
            return f"srun: sending Ctrl-C to StepId={name}\n" + self._force(job, step, SIGINT)
        return f"srun: interrupt (one more within 1 sec to abort)\n{status_line(step)}"

    def _force(self, job: Job, step: Step, signal: int) -> str:
        self._forced_by = signal
        self._send(job, step, signal)
        return f"srun: forcing job termination\n{aborted_lines(self._kill_wait_s())}"

    def _send(self, job: Job, step: Step, signal: int) -> None:
        try:
            self.controller.signal_step(job, step.step_id, self.call.owner, signal)
        except StokerError:
            return  # It ended in the meantime, which is what we wait for.

    def _abortion_lines(self, job: Job, step: Step) -> str:
        """Return what is said of a step that did not end by itself."""
        job = self.job(job)
        by_others = job.ending is not None or job.state in (JobState.CANCELLED, JobState.TIMEOUT)
        if not self._forced_by and not by_others and step.ended_by < 0:
            return ""
        line = cancelled_line(step, job, self.wishes.zone)
        return line if self._forced_by else aborted_lines(self._kill_wait_s()) + line

    def _kill_wait_s(self) -> int:
        match = re.match(r"\d+", self.controller.configuration().get("KillWait", ""))
        return int(match[0]) if match else 30
