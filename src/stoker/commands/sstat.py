"""sstat: the steps that run.

What a running step used so far is not sampled (a sample would wake us for a figure that the kernel
gives exactly at the end): those fields are empty, and `sacct` has them once the step has ended.

Source: sstat(1) of Slurm 22.05; names, widths and wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from stoker.commands.columns import Column, Ending, Kind, Table, UnknownField, choose, name_grid
from stoker.commands.options import EarlyAnswer, Option, Parsed, parse
from stoker.core.enums import HOLDING
from stoker.core.errors import UnknownJob
from stoker.core.models import Job
from stoker.core.units import JobRef, NotationError, compress_hosts, parse_job_ref
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller

OPTIONS = (
    Option("allsteps", "a", help="show every step of the jobs, the batch script too"),
    Option("helpformat", "e", help="list the fields"),
    Option("pidformat", "i", help="show where the steps run and their processes"),
    Option("jobs", "j", "required", "show these jobs or steps", value="LIST"),
    Option("noheader", "n", help="print no header"),
    Option("noconvert", "", "none", "do not convert units", "meaningless"),
    Option("format", "o", "required", "show these fields", value="FIELD[%WIDTH],..."),
    Option("parsable", "p", help="set fields apart by |, and end lines with one"),
    Option("parsable2", "P", help="set fields apart by |"),
    Option("verbose", "v", "none", "say more", "meaningless"),
    Option("help", "h", help="show this help"),
    Option("usage", "", help="show a short usage"),
    Option("version", "V", help="show the version of Slurm whose language this is"),
)

_BATCH = "batch"


class _Running(msgspec.Struct, frozen=True):
    """A step that runs."""

    display_id: str
    step_id: str
    ntasks: int
    nodes: tuple[str, ...]
    pids: tuple[int, ...] = ()

    @property
    def is_batch(self) -> bool:
        """Whether it is the batch script."""
        return self.step_id == _BATCH


_Read = Callable[[_Running], str]


def _nothing(_: _Running) -> str:
    return ""


def _frequency(step: _Running) -> str:
    return "0" if step.is_batch else "Unknown"


_FIELDS: dict[str, tuple[int, _Read, Kind]] = {
    "AveCPU": (10, _nothing, "text"),
    "AveCPUFreq": (10, _nothing, "text"),
    "AveDiskRead": (12, _nothing, "text"),
    "AveDiskWrite": (12, _nothing, "text"),
    "AvePages": (10, _nothing, "text"),
    "AveRSS": (10, _nothing, "text"),
    "AveVMSize": (10, _nothing, "text"),
    "ConsumedEnergy": (14, lambda _: "0", "text"),
    "ConsumedEnergyRaw": (17, lambda _: "0", "figure"),
    "JobID": (-12, lambda step: step.display_id, "text"),
    "MaxDiskRead": (12, _nothing, "text"),
    "MaxDiskReadNode": (15, _nothing, "text"),
    "MaxDiskReadTask": (15, _nothing, "text"),
    "MaxDiskWrite": (12, _nothing, "text"),
    "MaxDiskWriteNode": (16, _nothing, "text"),
    "MaxDiskWriteTask": (16, _nothing, "text"),
    "MaxPages": (8, _nothing, "text"),
    "MaxPagesNode": (12, _nothing, "text"),
    "MaxPagesTask": (14, _nothing, "text"),
    "MaxRSS": (10, _nothing, "text"),
    "MaxRSSNode": (10, _nothing, "text"),
    "MaxRSSTask": (10, _nothing, "text"),
    "MaxVMSize": (10, _nothing, "text"),
    "MaxVMSizeNode": (14, _nothing, "text"),
    "MaxVMSizeTask": (14, _nothing, "text"),
    "MinCPU": (10, _nothing, "text"),
    "MinCPUNode": (10, _nothing, "text"),
    "MinCPUTask": (10, _nothing, "text"),
    "Nodelist": (20, lambda step: compress_hosts(step.nodes), "text"),
    "NTasks": (8, lambda step: str(step.ntasks), "figure"),
    "Pids": (20, lambda step: ",".join(map(str, step.pids)), "text"),
    "ReqCPUFreq": (13, _frequency, "text"),
    "ReqCPUFreqMin": (13, _frequency, "text"),
    "ReqCPUFreqMax": (13, _frequency, "text"),
    "ReqCPUFreqGov": (13, _frequency, "text"),
    "TRESUsageInAve": (14, _nothing, "text"),
    "TRESUsageInMax": (14, _nothing, "text"),
    "TRESUsageInMaxNode": (18, _nothing, "text"),
    "TRESUsageInMaxTask": (18, _nothing, "text"),
    "TRESUsageInMin": (14, _nothing, "text"),
    "TRESUsageInMinNode": (18, _nothing, "text"),
    "TRESUsageInMinTask": (18, _nothing, "text"),
    "TRESUsageInTot": (14, _nothing, "text"),
    "TRESUsageOutAve": (15, _nothing, "text"),
    "TRESUsageOutMax": (15, _nothing, "text"),
    "TRESUsageOutMaxNode": (19, _nothing, "text"),
    "TRESUsageOutMaxTask": (19, _nothing, "text"),
    "TRESUsageOutMin": (15, _nothing, "text"),
    "TRESUsageOutMinNode": (19, _nothing, "text"),
    "TRESUsageOutMinTask": (19, _nothing, "text"),
    "TRESUsageOutTot": (15, _nothing, "text"),
}
COLUMNS = [Column(name, width, read, kind) for name, (width, read, kind) in _FIELDS.items()]

DEFAULT_FORMAT = (
    "jobid,maxvmsize,maxvmsizenode,maxvmsizetask,avevmsize,maxrss,maxrssnode,maxrsstask,averss,"
    "maxpages,maxpagesnode,maxpagestask,avepages,mincpu,mincpunode,mincputask,avecpu,ntasks,"
    "avecpufreq,reqcpufreqmin,reqcpufreqmax,reqcpufreqgov,consumedenergy,maxdiskread,"
    "maxdiskreadnode,maxdiskreadtask,avediskread,maxdiskwrite,maxdiskwritenode,maxdiskwritetask,"
    "avediskwrite,tresusageinave,tresusageinmax,tresusageinmaxnode,tresusageinmaxtask,"
    "tresusageinmin,tresusageinminnode,tresusageinmintask,tresusageintot,tresusageoutave,"
    "tresusageoutmax,tresusageoutmaxnode,tresusageoutmaxtask,tresusageoutmin,"
    "tresusageoutminnode,tresusageoutmintask,tresusageouttot"
)
PID_FORMAT = "jobid,nodelist,pids"


def sstat(call: Call, controller: Controller) -> Answer:
    """Answer sstat."""
    try:
        asked = parse("sstat", OPTIONS, call.argv)
    except EarlyAnswer as early:
        return early.answer
    if asked.has("helpformat"):
        return Answer(out=name_grid(field.name for field in COLUMNS))
    words = [word for text in asked.all("jobs") for word in text.split(",") if word]
    if not words:
        return Answer(err="sstat: error: You didn't give me any jobs to stat.\n", code=1)
    try:
        table = _table(asked)
        refs = [parse_job_ref(word) for word in words]
    except UnknownField as error:
        return Answer(err=f'sstat: error: Invalid field requested: "{error.name}"\n', code=1)
    except NotationError as error:
        return Answer(err=f"sstat: fatal: Bad job/step specified: {error.text}\n", code=1)
    steps: list[_Running] = []
    complaints: list[str] = []
    for ref in refs:
        found = list(_steps(ref, controller, call.owner.user_id, every=asked.has("allsteps")))
        steps += found
        if not found:
            complaints.append(_complaint(ref))
    return Answer(out=table.text(steps), err="".join(complaints))


def _table(asked: Parsed) -> Table[_Running]:
    default = PID_FORMAT if asked.has("pidformat") else DEFAULT_FORMAT
    ending: Ending = ""
    if asked.has("parsable2"):
        ending = "none"
    elif asked.has("parsable"):
        ending = "delimiter"
    chosen = choose(",".join(asked.all("format")) or default, COLUMNS)
    return Table(chosen, has_header=not asked.has("noheader"), ending=ending)


def _complaint(ref: JobRef) -> str:
    if ref.step:
        return f"sstat: error: StepId={ref} not found running.\n"
    return f"sstat: error: couldn't get steps for job {ref}\n"


def _steps(ref: JobRef, controller: Controller, user_id: int, *, every: bool) -> Iterator[_Running]:
    """Return the running steps that *ref* names: of a job the first numbered one, or all."""
    try:
        jobs = controller.find(ref)
    except UnknownJob:
        return
    for job in jobs:
        if job.state not in HOLDING or user_id not in (0, job.owner.user_id):
            continue
        running = list(_of_job(job, controller))
        if ref.step:
            yield from (step for step in running if step.step_id == ref.step)
        elif every:
            yield from running
        else:
            yield from [step for step in running if not step.is_batch][:1]


def _of_job(job: Job, controller: Controller) -> Iterator[_Running]:
    held = job.allocation
    if held is not None and not job.spec.interactive:
        display_id = f"{job.display_id}.{_BATCH}"
        yield _Running(display_id, _BATCH, 1, held.nodes[:1], (held.pid,) if held.pid else ())
    for step in controller.steps(job):
        if not step.end_at:
            yield _Running(
                f"{job.display_id}.{step.step_id}", step.step_id, step.ntasks, step.nodes
            )
