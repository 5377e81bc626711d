"""sstat: the steps that run, and what their tasks use at this moment.

Nothing is sampled beforehand, since that would wake us for figures that nobody asked for: these are
those of the processes that live now. What a step used at most `sacct` has once it has ended.

Source: sstat(1) of Slurm 22.05; names, widths and wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from stoker.commands.columns import Column, Ending, Kind, Table, UnknownField, choose, name_grid
from stoker.commands.options import EarlyAnswer, Option, Parsed, parse
from stoker.core.enums import HOLDING
from stoker.core.errors import UnknownJob
from stoker.core.models import Job, Owner
from stoker.core.units import (
    JobRef,
    NotationError,
    compress_hosts,
    format_duration,
    format_size,
    parse_job_ref,
)
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller
from stoker.worker.stepdesk import TaskSample

OPTIONS = (
    Option("allsteps", "a", help="show every step of the jobs, the batch script too"),
    Option("helpformat", "e", help="list the fields"),
    Option("pidformat", "i", help="show where the steps run and their processes"),
    Option("jobs", "j", "required", "show these jobs or steps", value="LIST"),
    Option("noheader", "n", help="print no header"),
    Option("noconvert", help="write sizes in the units they are counted in"),
    Option("format", "o", "required", "show these fields", value="FIELD[%WIDTH],..."),
    Option("parsable", "p", help="set fields apart by |, and end lines with one"),
    Option("parsable2", "P", help="set fields apart by |"),
    Option("verbose", "v", "none", "say more", "meaningless"),
    Option("help", "h", help="show this help"),
    Option("usage", "", help="show a short usage"),
    Option("version", "V", help="show the version of Slurm whose language this is"),
)

_BATCH = "batch"
_IN = ("cpu", "energy", "fs/disk", "mem", "pages", "vmem")
_OUT = ("energy", "fs/disk")
"""Of which resources sstat tells what came in, and what went out, in its order."""

Figure = Callable[[TaskSample], float]


class _Running(msgspec.Struct, frozen=True):
    """A step that runs, with what its tasks use; no task is known if all are just being started."""

    display_id: str
    step_id: str
    ntasks: int
    nodes: tuple[str, ...]
    samples: Sequence[TaskSample] = ()
    node_of: Callable[[int], str] = str
    frequency_khz: int = 0
    convert: bool = True

    @property
    def is_batch(self) -> bool:
        """Whether it is the batch script."""
        return self.step_id == _BATCH

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the processes of the tasks."""
        return tuple(pid for sample in self.samples for pid in sample.pids)

    def total(self, figure: Figure) -> float:
        """Return the sum over all tasks."""
        return sum(map(figure, self.samples))

    def average(self, figure: Figure) -> float:
        """Return the average over all tasks."""
        return self.total(figure) / len(self.samples)

    def most(self, figure: Figure) -> TaskSample:
        """Return the task that uses most; of several the first."""
        return max(self.samples, key=figure)

    def least(self, figure: Figure) -> TaskSample:
        """Return the task that uses least; of several the first."""
        return min(self.samples, key=figure)


_Read = Callable[[_Running], str]


class _Measure(NamedTuple):
    """A figure of a task, and how it is written."""

    figure: Figure
    text: Callable[[_Running, float], str]


def _size(unit: str) -> Callable[[_Running, float], str]:
    return lambda step, amount: format_size(int(amount), unit, convert=step.convert)


_CPU = _Measure(lambda task: task.cpu_s, lambda _, seconds: format_duration(seconds))
_PAGES = _Measure(lambda task: task.pages, lambda _, count: str(int(count)))
_READ = _Measure(lambda task: task.read_bytes, _size(""))
_RSS = _Measure(lambda task: task.rss_kib, _size("K"))
_SIZE = _Measure(lambda task: task.size_kib, _size("K"))
_WRITTEN = _Measure(lambda task: task.written_bytes, _size(""))
_ENERGY = _Measure(lambda _: 0, lambda _, joules: str(int(joules)))

_MEASURES_IN = dict(zip(_IN, (_CPU, _ENERGY, _READ, _RSS, _PAGES, _SIZE), strict=True))
_MEASURES_OUT = dict(zip(_OUT, (_ENERGY, _WRITTEN), strict=True))


def _if_known(read: _Read) -> _Read:
    """Read nothing of a step of which no process is known."""
    return lambda step: read(step) if step.samples else ""


def _average(measure: _Measure) -> _Read:
    return _if_known(lambda step: measure.text(step, step.average(measure.figure)))


def _most(measure: _Measure) -> _Read:
    return _if_known(lambda step: measure.text(step, measure.figure(step.most(measure.figure))))


def _most_node(measure: _Measure) -> _Read:
    return _if_known(lambda step: step.node_of(step.most(measure.figure).task))


def _most_task(measure: _Measure) -> _Read:
    return _if_known(lambda step: str(step.most(measure.figure).task))


def _least(measure: _Measure) -> _Read:
    return _if_known(lambda step: measure.text(step, measure.figure(step.least(measure.figure))))


def _least_node(measure: _Measure) -> _Read:
    return _if_known(lambda step: step.node_of(step.least(measure.figure).task))


def _least_task(measure: _Measure) -> _Read:
    return _if_known(lambda step: str(step.least(measure.figure).task))


def _total(measure: _Measure) -> _Read:
    return _if_known(lambda step: measure.text(step, step.total(measure.figure)))


def _each(measures: Mapping[str, _Measure], read: Callable[[_Measure], _Read]) -> _Read:
    """Read a figure of every resource: ``cpu=00:00:01,mem=4K``."""
    readers = {name: read(measure) for name, measure in measures.items()}
    return _if_known(
        lambda step: ",".join(f"{name}={reader(step)}" for name, reader in readers.items())
    )


def _each_task(measures: Mapping[str, _Measure], read: Callable[[_Measure], _Read]) -> _Read:
    """Read whose figure it is: Slurm leaves energy out, and writes the number of cpu as a time."""
    readers = {name: read(measure) for name, measure in measures.items() if name != "energy"}

    def text(name: str, number: str) -> str:
        return f"{name}={format_duration(float(number)) if name == 'cpu' else number}"

    return _if_known(
        lambda step: ",".join(text(name, reader(step)) for name, reader in readers.items())
    )


def _frequency(step: _Running) -> str:
    return "0" if step.is_batch else "Unknown"


_FIELDS: dict[str, tuple[int, _Read, Kind]] = {
    "AveCPU": (10, _average(_CPU), "text"),
    "AveCPUFreq": (10, _if_known(lambda step: f"{step.frequency_khz / 1e6:.2f}M"), "text"),
    "AveDiskRead": (12, _average(_READ), "text"),
    "AveDiskWrite": (12, _average(_WRITTEN), "text"),
    "AvePages": (10, _average(_PAGES), "text"),
    "AveRSS": (10, _average(_RSS), "text"),
    "AveVMSize": (10, _average(_SIZE), "text"),
    "ConsumedEnergy": (14, lambda _: "0", "text"),
    "ConsumedEnergyRaw": (17, lambda _: "0", "figure"),
    "JobID": (-12, lambda step: step.display_id, "text"),
    "MaxDiskRead": (12, _most(_READ), "text"),
    "MaxDiskReadNode": (15, _most_node(_READ), "text"),
    "MaxDiskReadTask": (15, _most_task(_READ), "text"),
    "MaxDiskWrite": (12, _most(_WRITTEN), "text"),
    "MaxDiskWriteNode": (16, _most_node(_WRITTEN), "text"),
    "MaxDiskWriteTask": (16, _most_task(_WRITTEN), "text"),
    "MaxPages": (8, _most(_PAGES), "text"),
    "MaxPagesNode": (12, _most_node(_PAGES), "text"),
    "MaxPagesTask": (14, _most_task(_PAGES), "text"),
    "MaxRSS": (10, _most(_RSS), "text"),
    "MaxRSSNode": (10, _most_node(_RSS), "text"),
    "MaxRSSTask": (10, _most_task(_RSS), "text"),
    "MaxVMSize": (10, _most(_SIZE), "text"),
    "MaxVMSizeNode": (14, _most_node(_SIZE), "text"),
    "MaxVMSizeTask": (14, _most_task(_SIZE), "text"),
    "MinCPU": (10, _least(_CPU), "text"),
    "MinCPUNode": (10, _least_node(_CPU), "text"),
    "MinCPUTask": (10, _least_task(_CPU), "text"),
    "Nodelist": (20, lambda step: compress_hosts(step.nodes), "text"),
    "NTasks": (8, lambda step: str(step.ntasks), "figure"),
    "Pids": (20, lambda step: ",".join(map(str, step.pids)), "text"),
    "ReqCPUFreq": (13, _frequency, "text"),
    "ReqCPUFreqMin": (13, _frequency, "text"),
    "ReqCPUFreqMax": (13, _frequency, "text"),
    "ReqCPUFreqGov": (13, _frequency, "text"),
    "TRESUsageInAve": (14, _each(_MEASURES_IN, _average), "text"),
    "TRESUsageInMax": (14, _each(_MEASURES_IN, _most), "text"),
    "TRESUsageInMaxNode": (18, _each(_MEASURES_IN, _most_node), "text"),
    "TRESUsageInMaxTask": (18, _each_task(_MEASURES_IN, _most_task), "text"),
    "TRESUsageInMin": (14, _each(_MEASURES_IN, _least), "text"),
    "TRESUsageInMinNode": (18, _each(_MEASURES_IN, _least_node), "text"),
    "TRESUsageInMinTask": (18, _each_task(_MEASURES_IN, _least_task), "text"),
    "TRESUsageInTot": (14, _each(_MEASURES_IN, _total), "text"),
    "TRESUsageOutAve": (15, _each(_MEASURES_OUT, _average), "text"),
    "TRESUsageOutMax": (15, _each(_MEASURES_OUT, _most), "text"),
    "TRESUsageOutMaxNode": (19, _each(_MEASURES_OUT, _most_node), "text"),
    "TRESUsageOutMaxTask": (19, _each_task(_MEASURES_OUT, _most_task), "text"),
    "TRESUsageOutMin": (15, _each(_MEASURES_OUT, _least), "text"),
    "TRESUsageOutMinNode": (19, _each(_MEASURES_OUT, _least_node), "text"),
    "TRESUsageOutMinTask": (19, _each_task(_MEASURES_OUT, _least_task), "text"),
    "TRESUsageOutTot": (15, _each(_MEASURES_OUT, _total), "text"),
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
    question = _Question(controller, call.owner, every=asked.has("allsteps"))
    for ref in refs:
        found = list(question.steps(ref))
        steps += found
        if not found:
            complaints.append(_complaint(ref))
    if asked.has("noconvert"):
        steps = [msgspec.structs.replace(step, convert=False) for step in steps]
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


class _Question:
    """Who asks, and whether for every step of a job or for the first numbered one."""

    def __init__(self, controller: Controller, by: Owner, *, every: bool) -> None:
        self._controller = controller
        self._by = by
        self._every = every
        self._frequency_khz = controller.cpu_frequency_khz()

    def steps(self, ref: JobRef) -> Iterator[_Running]:
        """Return the running steps that *ref* names."""
        try:
            jobs = self._controller.find(ref)
        except UnknownJob:
            return
        for job in jobs:
            may_see = self._controller.rights.may_attend(job, self._by)
            if job.state not in HOLDING or not may_see:
                continue
            running = list(self._of_job(job))
            if ref.step:
                yield from (step for step in running if step.step_id == ref.step)
            elif self._every:
                yield from running
            else:
                yield from [step for step in running if not step.is_batch][:1]

    def _of_job(self, job: Job) -> Iterator[_Running]:
        samples = self._controller.steps.samples(job)
        held = job.allocation
        if held is not None and not job.spec.interactive:
            yield _Running(
                f"{job.display_id}.{_BATCH}",
                _BATCH,
                1,
                held.nodes[:1],
                samples.get(_BATCH, ()),
                lambda _: held.nodes[0],
                self._frequency_khz,
            )
        for step in self._controller.steps.of(job):
            if not step.end_at:
                yield _Running(
                    f"{job.display_id}.{step.step_id}",
                    step.step_id,
                    step.ntasks,
                    step.nodes,
                    samples.get(step.step_id, ()),
                    step.node_of,
                    self._frequency_khz,
                )
