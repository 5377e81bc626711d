"""The parameters of ``scontrol update jobid=``: what each changes, and how its value is read.

A reader gets the value and the job, and returns fields of `Job` and `JobSpec` with their new
values. Names may be cut off where the ``|`` stands.

Source: scontrol(1) "SPECIFICATIONS FOR UPDATE COMMAND, JOBS"; errors as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from stoker.commands.demands import check_licenses
from stoker.commands.numbervalues import NICE_MAX
from stoker.commands.scontrol.words import Line
from stoker.commands.wordvalues import mail_types
from stoker.core.enums import Hold, JobState
from stoker.core.errors import InvalidSpec, NotAllowed
from stoker.core.models import FOREVER, Job
from stoker.core.units import (
    NotationError,
    expand_hosts,
    parse_begin,
    parse_dependency,
    parse_gres,
    parse_patience,
    parse_time_limit,
    zone_of,
)

Changes = Mapping[str, object]
Reader = Callable[[str, Job, Line], Changes]


class BadValue(Exception):
    """A value that cannot be read; carries the line that scontrol prints."""


class Parameter(NamedTuple):
    """How a parameter is read, and whether only a waiting job can be changed so."""

    read: Reader
    is_for_waiting: bool = False
    code_when_late: str = "ESLURM_JOB_NOT_PENDING"


def _text(field: str) -> Reader:
    return lambda value, _job, _line: {field: value}


def _number(field: str, name: str) -> Reader:
    def read(value: str, _job: Job, _line: Line) -> Changes:
        return {field: _whole(value, name)}

    return read


def _flag(field: str, name: str) -> Reader:
    def read(value: str, _job: Job, _line: Line) -> Changes:
        word = value.lower()
        if word in ("no", "yes", "n", "y"):
            return {field: word in ("yes", "y")}
        return {field: bool(_whole(value, name))}

    return read


def _whole(value: str, name: str) -> int:
    if re.fullmatch(r"\d{1,10}", value, re.ASCII) is None:
        raise BadValue(f"scontrol: error: Invalid {name} value: {value}")
    return int(value)


def _tasks(value: str, _job: Job, _line: Line) -> Changes:
    count = _whole(value, "NumTasks")
    if count < 1:
        raise InvalidSpec("a job has a task at least", "ESLURM_BAD_TASK_COUNT")
    return {"ntasks": count}


def _time_limit(value: str, job: Job, _line: Line) -> Changes:
    sign = value[:1] if value[:1] in ("+", "-") and value != "-1" else ""
    try:
        seconds = parse_time_limit(value.removeprefix(sign))
    except NotationError:
        raise BadValue("scontrol: error: Invalid TimeLimit value") from None
    if sign and job.time_limit_s is not None:
        seconds = job.time_limit_s + (seconds if sign == "+" else -seconds)
        if seconds <= 0:
            raise BadValue("scontrol: error: Invalid TimeLimit value")
    return {"time_limit_s": None if seconds == FOREVER else seconds}


def _time_min(value: str, job: Job, _line: Line) -> Changes:
    try:
        least_s = parse_time_limit(value)
    except NotationError:
        raise BadValue("scontrol: error: Invalid TimeMin value") from None
    is_waiting = job.state is JobState.PENDING
    if is_waiting and job.time_limit_s is not None and least_s > job.time_limit_s:
        raise InvalidSpec("it may not run for so long", "ESLURM_INVALID_TIME_MIN_LIMIT")
    return {"time_min_s": least_s}


def _delay_boot(value: str, _job: Job, _line: Line) -> Changes:
    try:
        return {"delay_boot_s": parse_patience(value)}
    except NotationError:
        raise BadValue("scontrol: error: Invalid DelayBoot value") from None


def _moment(value: str, line: Line) -> float:
    zone = zone_of(line.call.environment.get("TZ", ""))
    try:
        return parse_begin(value, line.controller.now(), zone)
    except NotationError as error:
        raise BadValue(
            f"Invalid time specification (pos={error.position}): {value}\nNo changes specified"
        ) from None


def _begin(value: str, _job: Job, line: Line) -> Changes:
    return {"begin_at": _moment(value, line)}


def _deadline(value: str, _job: Job, line: Line) -> Changes:
    return {"deadline_at": _moment(value, line)}


def _end_time(value: str, job: Job, line: Line) -> Changes:
    ends_at = _moment(value, line)
    if job.state is JobState.PENDING:
        raise NotAllowed("it has not started", "ESLURM_JOB_NOT_RUNNING")
    return {"time_limit_s": max(0.0, ends_at - job.start_at)}


def _dependency(value: str, _job: Job, _line: Line) -> Changes:
    if not value:
        return {"dependency": None}
    try:
        return {"dependency": parse_dependency(value)}
    except NotationError as error:
        raise InvalidSpec(str(error), "ESLURM_DEPENDENCY") from None


def _priority(value: str, job: Job, _line: Line) -> Changes:
    priority = _whole(value, "Priority")
    if priority and job.hold is not Hold.NONE:
        raise InvalidSpec("the job is held; release it first", "ESLURM_JOB_HELD")
    if priority and job.state is not JobState.PENDING:
        raise InvalidSpec("what has started is ranked no more", "ESLURM_PRIO_RESET_FAIL")
    return {"priority": priority}


def _nice(value: str, _job: Job, _line: Line) -> Changes:
    """Read as strtol(3) does: a word is 0; nothing at all is the default."""
    number = re.match(r"[+-]?\d{1,20}", value, re.ASCII)
    nice = (int(number[0]) if number else 0) if value else 100
    if abs(nice) > NICE_MAX:
        raise BadValue(f"scontrol: error: Nice value out of range (+/- {NICE_MAX}). Value ignored")
    return {"nice": nice}


def _memory_per_node(value: str, _job: Job, _line: Line) -> Changes:
    return {"mem_per_node_mib": _whole(value, "MinMemoryNode"), "mem_per_cpu_mib": None}


def _memory_per_cpu(value: str, _job: Job, _line: Line) -> Changes:
    return {"mem_per_cpu_mib": _whole(value, "MinMemoryCPU"), "mem_per_node_mib": None}


def _cpus(value: str, job: Job, _line: Line) -> Changes:
    """CPUs in all: the tasks stay, and each gets its part."""
    least = value.partition("-")[0]
    if not least.isdecimal():
        raise BadValue(
            f'scontrol: error: Invalid numeric value "{value}" for NumCPUs.\n'
            f"scontrol: error: Invalid NumCPUs value: {value}"
        )
    return {"cpus_per_task": -(-_whole(least, "NumCPUs") // job.spec.tasks)}


def _nodes(value: str, _job: Job, _line: Line) -> Changes:
    least, _, most = value.partition("-")
    count = _whole(least, "NumNodes")
    return {"min_nodes": count} | ({"max_nodes": _whole(most, "NumNodes")} if most else {})


def _host_list(field: str) -> Reader:
    def read(value: str, _job: Job, line: Line) -> Changes:
        known = {status.node.name for status in line.controller.nodes()}
        try:
            strangers = set(expand_hosts(value)) - known
        except NotationError:
            strangers = {value}
        if strangers:
            raise InvalidSpec(f"no such node: {min(strangers)}", "ESLURM_INVALID_NODE_NAME")
        return {field: value}

    return read


def _features(value: str, _job: Job, line: Line) -> Changes:
    known = {feature for status in line.controller.nodes() for feature in status.node.features}
    if set(filter(None, value.replace("&", ",").replace("|", ",").split(","))) - known:
        raise InvalidSpec(f"no node has the features {value}", "ESLURM_INVALID_FEATURE")
    return {"features": value}


def _preferred_features(value: str, _job: Job, _line: Line) -> Changes:
    if value:
        raise InvalidSpec("no node has features", "ESLURM_INVALID_PREFER")
    return {}


def _licenses(value: str, _job: Job, line: Line) -> Changes:
    check_licenses(value, line.controller)
    return {"licenses": value}


def _gres(value: str, _job: Job, line: Line) -> Changes:
    known = {name.partition(":")[0] for each in line.controller.nodes() for name in each.node.gres}
    try:
        wanted = {name.partition(":")[0] for name, _ in parse_gres(value)}
    except NotationError as error:
        raise InvalidSpec(str(error), "ESLURM_INVALID_GRES") from None
    if not known.issuperset(wanted):
        raise InvalidSpec(f"no node has {min(wanted - known)}", "ESLURM_INVALID_GRES")
    return {"gres": value, "tres_asked": {}}


def _standard_output(value: str, _job: Job, _line: Line) -> Changes:
    return {"stdout": value}


def _mail_type(value: str, _job: Job, _line: Line) -> Changes:
    types = mail_types(value)
    if types is None:
        raise BadValue(f"Invalid MailType: {value}")
    return {"mail_type": types}


def _refused(code: str) -> Reader:
    """Return a reader of what this machine does not have."""

    def read(value: str, _job: Job, _line: Line) -> Changes:
        raise InvalidSpec(f"there is none: {value}", code)

    return read


def _of_operators(value: str, _job: Job, line: Line) -> Changes:
    """Accept what has no meaning on one machine of those who may say it."""
    if not line.controller.rights.is_administrator(line.call.owner):
        raise NotAllowed(f"only operators may say {value}", "ESLURM_ACCESS_DENIED")
    return {}


def _nothing(_value: str, _job: Job, _line: Line) -> Changes:
    """Accept what has no meaning on one machine."""
    return {}


WITHOUT_VALUE: Final = frozenset({"nice", "resetaccruetime"})
"""Parameters that may be said without a value."""

PARAMETERS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "acc|ount": Parameter(_text("account"), is_for_waiting=True),
        "adm|incomment": Parameter(_text("admin_comment")),
        "arr|aytaskthrottle": Parameter(_number("array_limit", "ArrayTaskThrottle")),
        "bur|stbuffer": Parameter(_refused("ESLURM_NOT_SUPPORTED")),
        "clusterf|eatures": Parameter(_refused("SLURM_ERROR")),
        "comment": Parameter(_text("comment")),
        "con|tiguous": Parameter(_flag("contiguous", "Contiguous"), is_for_waiting=True),
        "cor|espec": Parameter(_of_operators, is_for_waiting=True),
        "cpusp|ertask": Parameter(_number("cpus_per_task", "CPUsPerTask"), is_for_waiting=True),
        "dea|dline": Parameter(_deadline),
        "del|ayboot": Parameter(_delay_boot),
        "dep|endency": Parameter(_dependency, is_for_waiting=True),
        "eli|gibletime": Parameter(_begin, is_for_waiting=True),
        "end|time": Parameter(_end_time),
        "exc|nodelist": Parameter(_host_list("exclude"), is_for_waiting=True),
        "fea|tures": Parameter(_features, is_for_waiting=True),
        "gre|s": Parameter(_gres, is_for_waiting=True),
        "jobn|ame": Parameter(_text("name")),
        "lic|enses": Parameter(_licenses),
        "mailt|ype": Parameter(_mail_type),
        "mailu|ser": Parameter(_text("mail_user")),
        "minc|pusnode": Parameter(_number("min_cpus_per_node", "MinCPUsNode"), is_for_waiting=True),
        "minmemoryc|pu": Parameter(_memory_per_cpu, is_for_waiting=True),
        "minmemoryn|ode": Parameter(_memory_per_node, is_for_waiting=True),
        "mint|mpdisknode": Parameter(
            _number("tmp_disk_mib", "MinTmpDiskNode"), is_for_waiting=True
        ),
        "nam|e": Parameter(_text("name")),
        "nic|e": Parameter(_nice),
        "numc|pus": Parameter(_cpus, is_for_waiting=True),
        "numn|odes": Parameter(_nodes, is_for_waiting=True, code_when_late="ESLURM_NOT_SUPPORTED"),
        "numt|asks": Parameter(_tasks, is_for_waiting=True),
        "ove|rsubscribe": Parameter(_flag("oversubscribe", "OverSubscribe"), is_for_waiting=True),
        "par|tition": Parameter(_text("partition"), is_for_waiting=True),
        "pre|fer": Parameter(_preferred_features, is_for_waiting=True),
        "pri|ority": Parameter(_priority),
        "qos": Parameter(_text("qos")),
        "reb|oot": Parameter(_of_operators),
        "reqc|ores": Parameter(_nothing),
        "reqn|odelist": Parameter(_host_list("node_list"), is_for_waiting=True),
        "reqn|odes": Parameter(_nodes, is_for_waiting=True, code_when_late="ESLURM_NOT_SUPPORTED"),
        "reqp|rocs": Parameter(_tasks, is_for_waiting=True),
        "reqs|ockets": Parameter(_nothing),
        "reqt|hreads": Parameter(_nothing),
        "requeue": Parameter(_flag("requeue", "Requeue")),
        "reset|accruetime": Parameter(_nothing, is_for_waiting=True),
        "res|ervationname": Parameter(_text("reservation"), is_for_waiting=True),
        "sha|red": Parameter(_flag("oversubscribe", "Shared"), is_for_waiting=True),
        "sit|efactor": Parameter(_of_operators),
        "sta|rttime": Parameter(_begin, is_for_waiting=True),
        "stdo|ut": Parameter(_standard_output, is_for_waiting=True),
        "swi|tches": Parameter(_nothing),
        "tas|kspernode": Parameter(_number("ntasks_per_node", "TasksPerNode"), is_for_waiting=True),
        "thr|eadspec": Parameter(_of_operators, is_for_waiting=True),
        "timel|imit": Parameter(_time_limit),
        "timem|in": Parameter(_time_min),
        "wai|t-for-switch": Parameter(_nothing),
        "wck|ey": Parameter(_text("wckey"), is_for_waiting=True),
        "wor|kdir": Parameter(_text("work_dir"), is_for_waiting=True),
    }
)
