"""Values of options that are words with a notation of their own: signals, mail types, hints.

Source: sbatch(1), srun(1), salloc(1); the wording of errors is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from stoker.commands.wishes import OptionError, Wishes
from stoker.core.models import SignalRequest
from stoker.core.units import NotationError, parse_signal

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

_RLIMITS: Final = (
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
        if name.lower() not in _RLIMITS or not name.isupper():
            wishes.fail(
                f"error: Bad rlimit name: {name}\n"
                f"{wishes.program}: error: --propagate={value} is not valid."
            )
    wishes.propagate = ",".join(names).lower() or "all"


WORD_READERS: Final[Mapping[str, Callable[[Wishes, str], None]]] = {
    "acctg-freq": _account_frequency,
    "cpu-freq": _cpu_frequency,
    "distribution": _distribution,
    "exclusive": _exclusive,
    "hint": _hint,
    "kill-on-invalid-dep": _kill_on_invalid_dependency,
    "mail-type": _mail_type,
    "open-mode": _open_mode,
    "propagate": _propagate,
    "signal": _signal,
}
