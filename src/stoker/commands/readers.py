"""What the options of sbatch, srun and salloc mean: each is read, checked and kept as a wish.

Wishes come from directives, from environment variables and from the command line, in this order;
of several for one thing the last counts, but a wrong value is an error wherever it stands.

Source: sbatch(1), srun(1), salloc(1); the wording of errors is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, TypeAlias

from stoker.commands.idlevalues import IDLE_READERS
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.models import FOREVER, SignalRequest
from stoker.core.units import (
    NotationError,
    parse_begin,
    parse_gres,
    parse_memory,
    parse_signal,
    parse_time_limit,
)

_NUMBER: Final = re.compile(r"\s*\+?(\d{1,10})", re.ASCII)
_NUMBER_MAX: Final = (1 << 31) - 1
_NODE_COUNT: Final = re.compile(r"(\d{0,9})([kKmM]?)(?:(-)(?:(\d{1,9})([kKmM]?))?)?", re.ASCII)
NICE_MAX: Final = (1 << 31) - 3
_NICE_DEFAULT: Final = 100
_NO_PRIORITY: Final = (1 << 32) - 1
_SIGNAL_AHEAD_MAX_S: Final = (1 << 16) - 1

_MAIL_TYPES: Final = (
    "INVALID_DEPEND",
    "BEGIN",
    "END",
    "FAIL",
    "REQUEUE",
    "STAGE_OUT",
    "TIME_LIMIT",
    "TIME_LIMIT_90",
    "TIME_LIMIT_80",
    "TIME_LIMIT_50",
    "ARRAY_TASKS",
)
"""In the order in which scontrol prints them; the first six are what ALL means."""

_MAIL_ALL: Final = 6

_HINT_HELP: Final = """\
Application hint options:
    --hint=             Bind tasks according to application hints
        compute_bound   use all cores in each socket
        memory_bound    use only one core in each socket
        [no]multithread [don't] use extra threads with in-core multi-threading
        help            show this help message
"""

RLIMITS: Final = (
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "memlock",
    "nofile",
    "nproc",
    "rss",
    "stack",
)


def take_all(wishes: Wishes, values: Iterable[tuple[str, str | None]]) -> None:
    """Take options in, in order, as the table names them; what needs no reading is only noted.

    Raises:
        OptionError: A value says nothing sensible.
    """
    for name, value in values:
        text = value or ""
        wishes.shown[name] = text or "set"
        reader = _READERS.get(name)
        if reader is not None:
            reader(wishes, text)
        wishes.from_variables.discard(name)


def take_variables(wishes: Wishes, values: Iterable[tuple[str, str | None]]) -> None:
    """Take in what environment variables stand for.

    Raises:
        OptionError: A value says nothing sensible.
    """
    for name, value in values:
        take_all(wishes, [(name, value)])
        wishes.from_variables.add(name)


_Reader: TypeAlias = Callable[[Wishes, str], None]


def _text(field: str, wishes: Wishes, value: str) -> None:
    wishes.spec[field] = value


def _own_text(field: str, wishes: Wishes, value: str) -> None:
    setattr(wishes, field, value)


def _yes(field: str, wishes: Wishes, _: str) -> None:
    wishes.spec[field] = True


def _no(field: str, wishes: Wishes, _: str) -> None:
    wishes.spec[field] = False


def _own_flag(field: str, wishes: Wishes, _: str) -> None:
    setattr(wishes, field, True)


def _number(wishes: Wishes, name: str, value: str) -> int:
    match = _NUMBER.fullmatch(value)
    number = int(match[1]) if match else 0
    if not 0 < number <= _NUMBER_MAX:
        wishes.fail(f'error: Invalid numeric value "{value}" for --{name}.')
    return number


def _count(name: str, field: str, wishes: Wishes, value: str) -> None:
    wishes.spec[field] = _number(wishes, name, value)


def _told_count(name: str, variable: str, wishes: Wishes, value: str) -> None:
    """Check a count that has no meaning here; the job is told of it all the same."""
    number = wishes.layout[name] = _number(wishes, name, value)
    if variable:
        wishes.variables[variable] = str(number)


def _memory(name: str, wishes: Wishes, value: str) -> int:
    try:
        return parse_memory(value)
    except NotationError:
        wishes.refuse(name)


def _memory_field(name: str, field: str, wishes: Wishes, value: str) -> None:
    wishes.spec[field] = _memory(name, wishes, value)


def _mem_per_gpu(wishes: Wishes, value: str) -> None:
    wishes.mem_per_gpu_mib = _memory("mem-per-gpu", wishes, value)


def _duration(name: str, field: str, wishes: Wishes, value: str) -> None:
    try:
        wishes.spec[field] = parse_time_limit(value)
    except NotationError:
        # As strtol(3) in Slurm: a negative number of minutes is taken, as no limit at all.
        if re.fullmatch(r"-\d{1,9}", value, re.ASCII) is None:
            wishes.refuse(name)
        wishes.spec[field] = FOREVER


def _time(name: str, wishes: Wishes, value: str) -> float:
    if not value:
        wishes.refuse(name)
    try:
        return parse_begin(value, wishes.now, wishes.zone)
    except NotationError as error:
        wishes.refuse(name, f"Invalid time specification (pos={error.position}): {value}\n")


def _begin(wishes: Wishes, value: str) -> None:
    wishes.begin_at = _time("begin", wishes, value)


def _deadline(wishes: Wishes, value: str) -> None:
    wishes.spec["deadline_at"] = _time("deadline", wishes, value)


def _nodes(wishes: Wishes, value: str) -> None:
    match = _NODE_COUNT.fullmatch(value)
    if match is None or not value:
        wishes.fail(f'error: "{value}" is not a valid node count', 255)
    low, high = _scaled(match[1] or "0", match[2]), _scaled(match[4] or "-1", match[5] or "")
    if match[3] and high < low:
        wishes.fail(f"error: Maximum node count {high} is less than minimum node count {low}", 255)
    wishes.spec["min_nodes"] = low or None
    wishes.spec["max_nodes"] = (high if match[3] else low) or None


def _scaled(digits: str, suffix: str) -> int:
    return int(digits) * {"": 1, "k": 1024, "m": 1024 * 1024}[suffix.lower()]


def _signal(wishes: Wishes, value: str) -> None:
    """Read ``[{R|B}:]SIGNAL[@SECONDS]``."""
    prefixes, _, rest = value.rpartition(":")
    name, at, seconds = rest.partition("@")
    wanted = set(prefixes.upper())
    is_known = wanted <= {"B", "R"}
    if not is_known or (at and re.fullmatch(r"\d{0,5}", seconds, re.ASCII) is None):
        wishes.refuse("signal")
    if int(seconds or 0) > _SIGNAL_AHEAD_MAX_S:
        wishes.refuse("signal")
    try:
        signal = parse_signal(name)
    except NotationError:
        wishes.refuse("signal")
    if not signal:
        wishes.refuse("signal")
    wishes.spec["signal"] = SignalRequest(signal, int(seconds or 60), "B" in wanted)


def _nice(wishes: Wishes, value: str) -> None:
    match = re.match(r"\s*([+-]?\d+)", value, re.ASCII)
    # As strtoll(3): a word that is no number counts as 0, and nothing at all as the default.
    nice = int(match[1][:20]) if match else (0 if value else _NICE_DEFAULT)
    if abs(nice) > NICE_MAX:
        wishes.fail(f"error: Invalid --nice value, out of range (+/- {NICE_MAX})", 255)
    wishes.spec["nice"] = nice


def _priority(wishes: Wishes, value: str) -> None:
    if value.upper() == "TOP":
        wishes.priority = (1 << 32) - 2
        return
    # As strtoll(3): a word that is no number counts as 0.
    number = re.match(r"[+-]?\d{1,11}", value, re.ASCII)
    priority = int(number[0]) if number else 0
    if not 0 <= priority < _NO_PRIORITY:
        wishes.refuse("priority")
    wishes.priority = priority


def _open_mode(wishes: Wishes, value: str) -> None:
    mode = value.lower()
    if mode not in ("a", "append", "t", "truncate"):
        wishes.refuse("open-mode")
    wishes.spec["open_mode"] = mode[0]
    wishes.variables["SLURM_OPEN_MODE"] = mode[0]


def _kill_on_invalid_dependency(wishes: Wishes, value: str) -> None:
    choice = {"yes": True, "no": False}.get(value.lower())
    if choice is None:
        wishes.refuse("kill-on-invalid-dep")
    wishes.spec["kill_on_invalid_dependency"] = choice


def mail_types(value: str) -> str | None:
    """Return occasions for mail in the order in which they are shown; None if one is unknown."""
    wanted: set[str] = set()
    for word in value.upper().split(","):
        if word == "NONE":
            wanted.clear()
        elif word == "ALL":
            wanted.update(_MAIL_TYPES[:_MAIL_ALL])
        elif word in _MAIL_TYPES:
            wanted.add(word)
        else:
            return None
    return ",".join(word for word in _MAIL_TYPES if word in wanted)


def _mail_type(wishes: Wishes, value: str) -> None:
    types = mail_types(value)
    if types is None:
        wishes.refuse("mail-type")
    wishes.spec["mail_type"] = types


def _exclusive(wishes: Wishes, value: str) -> None:
    if value.lower() not in ("", "user", "mcs"):
        wishes.refuse("exclusive")
    wishes.spec["exclusive"] = True


def _distribution(wishes: Wishes, value: str) -> None:
    first, _, plane = re.split("[,:]", value, maxsplit=1)[0].partition("=")
    if first == "plane" and not plane.isdecimal():
        said = "error: Invalid plane size or size not specified\n"
        wishes.refuse("distribution", f"{wishes.program}: {said}")
    is_plane = first == "plane" and plane.isdecimal()
    if not is_plane and (plane or first not in ("block", "cyclic", "arbitrary", "*")):
        wishes.refuse("distribution")
    wishes.variables["SLURM_DISTRIBUTION"] = value


def _hint(wishes: Wishes, value: str) -> None:
    if value.lower() == "help":
        raise OptionError("", 1, _HINT_HELP)
    if value not in ("compute_bound", "memory_bound", "multithread", "nomultithread"):
        wishes.fail(f'error: unrecognized --hint argument "{value}", see --hint=help')
    wishes.variables["SLURM_HINT"] = value
    if value == "nomultithread":
        wishes.variables["SLURM_THREADS_PER_CORE"] = "1"


def _account_frequency(wishes: Wishes, value: str) -> None:
    pattern = r"(?:\d+|(?:task|energy|network|filesystem)=\d+)(?:,(?:\w+=)?\d+)*"
    if re.fullmatch(pattern, value, re.ASCII) is None:
        wishes.fail(f"error: Invalid --acctg-freq specification: {value}", 255)
    for part in value.split(","):
        kind, _, seconds = part.rpartition("=")
        if kind in ("", "task"):
            wishes.spec["sample_every_s"] = float(seconds[:9])


def _cpu_frequency(wishes: Wishes, value: str) -> None:
    word = r"(?:\d+|low|medium|highm1|high|[a-z]+demand|conservative|performance|powersave)"
    if re.fullmatch(rf"{word}(?:-{word})?(?::{word})?", value.lower(), re.ASCII) is None:
        raise OptionError(
            f'{wishes.program}: error: unrecognized --cpu-freq argument "{value}"\n'
            f"{wishes.program}: error: Invalid --cpu-freq argument\n",
            255,
        )


def _propagate(wishes: Wishes, value: str) -> None:
    names = [word.removeprefix("RLIMIT_") for word in value.split(",")]
    for name in names if value not in ("", "ALL", "NONE") else ():
        if name.lower() not in RLIMITS or not name.isupper():
            wishes.fail(
                f"error: Bad rlimit name: {name}\n"
                f"{wishes.program}: error: --propagate={value} is not valid."
            )
    wishes.propagate = ",".join(names).lower() or "all"


def _gpu_count(field: str, name: str, wishes: Wishes, value: str) -> None:
    if re.fullmatch(r"(?:[A-Za-z_][\w.-]*:)?\d{1,6}", value, re.ASCII) is None:
        wishes.refuse(name)
    setattr(wishes, field, value)
    wishes.variables[f"SLURM_{name.upper().replace('-', '_')}"] = value


def _cpus_per_gpu(wishes: Wishes, value: str) -> None:
    wishes.cpus_per_gpu = _number(wishes, "cpus-per-gpu", value)


def _gres(wishes: Wishes, value: str) -> None:
    try:
        parse_gres(value)
    except NotationError:
        wishes.fail("error: Invalid generic resource (gres) specification")
    wishes.spec["gres"] = value


def _core_spec(wishes: Wishes, value: str) -> None:
    _number(wishes, "core-spec", value)
    wishes.notes.append(
        "error: Ignoring -S since it's not allowed by configuration (AllowSpecResourcesUsage = No)"
    )


def _of_root(name: str, wishes: Wishes, _: str) -> None:
    if not wishes.is_root:
        wishes.fail(f"error: --{name} only permitted by root user", 255)


def _verbose(wishes: Wishes, value: str) -> None:
    """Count flags; a variable gives a number, which the first flag replaces."""
    if value:
        match = re.fullmatch(r"\d{1,9}", value, re.ASCII)
        if match is None:
            wishes.fail(f'error: Invalid numeric value "{value}" for --verbose.')
        wishes.verbose = int(match[0])
    else:
        wishes.verbose = 1 if "verbose" in wishes.from_variables else wishes.verbose + 1
    wishes.shown["verbose"] = str(wishes.verbose)


def _get_user_environment(wishes: Wishes, value: str) -> None:
    if re.fullmatch(r"\d*[sSlL]?", value, re.ASCII) is None:
        wishes.refuse("get-user-env")
    wishes.user_environment = True


_READERS: Final[Mapping[str, _Reader]] = {
    **IDLE_READERS,
    "account": partial(_text, "account"),
    "acctg-freq": _account_frequency,
    "array": partial(_own_text, "array"),
    "begin": _begin,
    "chdir": partial(_own_text, "chdir"),
    "clusters": partial(_own_text, "clusters"),
    "comment": partial(_text, "comment"),
    "constraint": partial(_text, "features"),
    "contiguous": partial(_yes, "contiguous"),
    "core-spec": _core_spec,
    "cores-per-socket": partial(_told_count, "cores-per-socket", ""),
    "cpu-freq": _cpu_frequency,
    "cpus-per-gpu": _cpus_per_gpu,
    "cpus-per-task": partial(_count, "cpus-per-task", "cpus_per_task"),
    "deadline": _deadline,
    "dependency": partial(_own_text, "dependency"),
    "distribution": _distribution,
    "error": partial(_own_text, "stderr"),
    "exclude": partial(_text, "exclude"),
    "exclusive": _exclusive,
    "export": partial(_own_text, "export"),
    "export-file": partial(_own_text, "export_file"),
    "get-user-env": _get_user_environment,
    "gid": partial(_of_root, "gid"),
    "gpus": partial(_gpu_count, "gpus", "gpus"),
    "gpus-per-node": partial(_gpu_count, "gpus_per_node", "gpus-per-node"),
    "gpus-per-socket": partial(_gpu_count, "gpus_per_node", "gpus-per-socket"),
    "gpus-per-task": partial(_gpu_count, "gpus_per_task", "gpus-per-task"),
    "gres": _gres,
    "hint": _hint,
    "hold": partial(_own_flag, "hold"),
    "input": partial(_own_text, "stdin"),
    "job-name": partial(_text, "name"),
    "kill-on-invalid-dep": _kill_on_invalid_dependency,
    "licenses": partial(_text, "licenses"),
    "mail-type": _mail_type,
    "mail-user": partial(_text, "mail_user"),
    "mem": partial(_memory_field, "mem", "mem_per_node_mib"),
    "mem-per-cpu": partial(_memory_field, "mem-per-cpu", "mem_per_cpu_mib"),
    "mem-per-gpu": _mem_per_gpu,
    "mincpus": partial(_count, "mincpus", "min_cpus_per_node"),
    "nice": _nice,
    "no-requeue": partial(_no, "requeue"),
    "nodefile": partial(_own_text, "node_file"),
    "nodelist": partial(_text, "node_list"),
    "nodes": _nodes,
    "ntasks": partial(_count, "ntasks", "ntasks"),
    "ntasks-per-core": partial(_told_count, "ntasks-per-core", "SLURM_NTASKS_PER_CORE"),
    "ntasks-per-gpu": partial(_told_count, "ntasks-per-gpu", "SLURM_NTASKS_PER_GPU"),
    "ntasks-per-node": partial(_count, "ntasks-per-node", "ntasks_per_node"),
    "ntasks-per-socket": partial(_told_count, "ntasks-per-socket", "SLURM_NTASKS_PER_SOCKET"),
    "open-mode": _open_mode,
    "output": partial(_own_text, "stdout"),
    "oversubscribe": partial(_yes, "oversubscribe"),
    "partition": partial(_text, "partition"),
    "priority": _priority,
    "propagate": _propagate,
    "qos": partial(_text, "qos"),
    "quiet": partial(_own_flag, "quiet"),
    "requeue": partial(_yes, "requeue"),
    "reservation": partial(_text, "reservation"),
    "signal": _signal,
    "sockets-per-node": partial(_told_count, "sockets-per-node", ""),
    "threads-per-core": partial(_told_count, "threads-per-core", "SLURM_THREADS_PER_CORE"),
    "time": partial(_duration, "time", "time_limit_s"),
    "time-min": partial(_duration, "time-min", "time_min_s"),
    "tmp": partial(_memory_field, "tmp", "tmp_disk_mib"),
    "uid": partial(_of_root, "uid"),
    "verbose": _verbose,
    "wckey": partial(_text, "wckey"),
}
