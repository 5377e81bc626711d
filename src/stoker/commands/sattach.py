"""sattach: show what a running step writes, and end with its exit code.

A step's tasks write straight to where their srun had them write. Where that is a file, sattach
shows what has come since the step began and what is still to come; a pipe or a terminal belongs to
srun alone, and nobody else can read it.

Source: sattach(1); messages are recorded.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from stoker.commands.errors import strerror
from stoker.commands.options import VERSION_OPTION, EarlyAnswer, Option, Parsed, parse
from stoker.core.errors import UnknownJob
from stoker.core.models import Job, Step, StepOutput
from stoker.core.units import JobRef, NotationError, compress_hosts, parse_job_ref
from stoker.worker.call import Answer, Call, Conversation, Follow, Request, UntilStepEnded
from stoker.worker.controller import Controller

OPTIONS: Final = (
    Option("error-filter", "", "required", "show errors of this task only", value="TASK"),
    Option("input-filter", "", "required", "send input to this task only", "meaningless", "TASK"),
    Option("label", "l", help="put the task's number before each line"),
    Option("layout", help="say which task runs on which node, and do not attach"),
    Option("output-filter", "", "required", "show output of this task only", value="TASK"),
    Option("pty", help="attach a terminal", meaning="meaningless"),
    Option("quiet", "Q", help="say less", meaning="meaningless"),
    Option("verbose", "v", help="say more", meaning="meaningless"),
    Option("help", "h", help="show this help"),
    Option("usage", "u", help="show a short usage"),
    VERSION_OPTION,
)

_USAGE: Final = "Usage: sattach [options] <jobid.stepid>\n"


def sattach(call: Call, controller: Controller) -> Conversation:
    """Show what a running step writes."""
    try:
        parsed = parse("sattach", OPTIONS, call.argv)
    except EarlyAnswer as early:
        return early.answer
    if len(parsed.operands) != 1:
        return _misused("too many parameters")
    try:
        ref = parse_job_ref(parsed.operands[0])
    except NotationError:
        ref = JobRef(0)
    if not ref.step.isdecimal():
        return _misused("Failed to parse stepid from command line options")
    found = _step(ref, controller)
    if found is None:
        text = strerror("ESLURM_INVALID_JOB_ID")
        return Answer(err=f"sattach: error: Could not get job step info: {text}\n", code=1)
    job, step = found
    if not controller.rights.may_attend(job, call.owner):
        text = strerror("ESLURM_ACCESS_DENIED")
        return Answer(err=f"sattach: error: Could not get job step info: {text}\n", code=1)
    if parsed.has("layout"):
        return Answer(out=_layout(step))
    return (yield from _attached(parsed, step))


def _misused(why: str) -> Answer:
    return Answer(out=_USAGE, err=f"sattach: error: {why}\n", code=1)


def _step(ref: JobRef, controller: Controller) -> tuple[Job, Step] | None:
    """Return the running step that *ref* names, and its job."""
    try:
        jobs = controller.find(ref)
    except UnknownJob:
        return None
    for job in jobs:
        for step in controller.steps.of(job) if job.allocation is not None else ():
            if step.step_id == ref.step and not step.end_at:
                return job, step
    return None


def _layout(step: Step) -> str:
    count = len(step.nodes)
    lines = [f"\t{step.ntasks} tasks, {count} nodes ({compress_hosts(step.nodes)})\n\n"]
    for node_id, node in enumerate(step.nodes):
        tasks = step.tasks_on(node_id)
        listed = "".join(f"{task} " for task in tasks)
        lines.append(f"\tNode {node_id} ({node}), {len(tasks)} task(s): {listed}\n")
    return "Job step layout:\n" + "".join(lines)


def _attached(parsed: Parsed, step: Step) -> Generator[Request, Any, Answer]:
    outputs = _wanted(parsed, step.outputs)
    if not outputs:
        return Answer(
            err=f"sattach: error: cannot attach to StepId={step.job_id}.{step.step_id}: what is "
            "asked for goes to pipes or a terminal of its srun, or into one file for several "
            "tasks; run it with srun --output=FILE, %t in the name\n",
            code=1,
        )
    width = len(str(step.ntasks - 1))
    is_labelled = parsed.has("label")
    yield Follow(
        tuple(
            (each.path, each.offset, f"{each.task:{width}d}: " if is_labelled else "")
            for each in outputs
        )
    )
    ended: Step = yield UntilStepEnded(step.job_id, step.step_id)
    return Answer(code=max((end.code for end in ended.ends), default=0))


def _wanted(parsed: Parsed, outputs: Sequence[StepOutput]) -> list[StepOutput]:
    """Return what is to be shown; none if what is asked for cannot be told apart."""
    filters = [parsed.last("output-filter"), parsed.last("error-filter")]
    tasks = {text for text in filters if text and text.isdecimal()}
    if tasks:
        return [each for each in outputs if str(each.task) in tasks]
    if parsed.has("label") and any(each.task < 0 for each in outputs):
        return []
    return list(outputs)
