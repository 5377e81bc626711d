"""``--cpu-bind``, ``--mem-bind``, ``--hint`` of srun: what they may say, and what tasks are told.

Tasks are bound to the cores of their step, whatever these options say; where the machine states
more CPUs than it has, none is bound, and srun says so.

Source: srun(1); texts and variables are recorded.
"""

from __future__ import annotations

import re
from typing import Final

from stoker.commands.options import EarlyAnswer
from stoker.commands.wishes import OptionError, Wishes
from stoker.worker.call import Answer

_CPU_BINDINGS: Final = re.compile(
    r"(?:q(?:uiet)?|v(?:erbose)?|no(?:ne)?|rank(?:_ldom)?|help|sockets|cores|threads|ldoms|boards"
    r"|(?:map|mask)_(?:cpu|ldom):\S+)(?:,.*)?"
)
_MEMORY_BINDINGS: Final = re.compile(
    r"(?:q(?:uiet)?|v(?:erbose)?|no(?:ne)?|nosort|sort|rank|local|prefer|help"
    r"|(?:map|mask)_mem:\S+)(?:,.*)?"
)
_UNITS: Final = ("threads", "cores", "sockets", "ldoms", "boards")
_HOWS: Final = re.compile(r"(no(?:ne)?|rank_ldom|rank|(?:map|mask)_(?:cpu|ldom):)(.*)")
_NO_BINDING: Final = "srun: cluster configuration lacks support for cpu binding\n"

_CPU_HELP: Final = """\
CPU bind options:
    --cpu-bind=         Bind tasks to CPUs
        q[uiet]         quietly bind before task runs (default)
        v[erbose]       verbosely report binding before task runs
        no[ne]          don't bind tasks to CPUs (default)
        rank            bind by task rank
        map_cpu:<list>  specify a CPU ID binding for each task
                        where <list> is <cpuid1>,<cpuid2>,...<cpuidN>
        mask_cpu:<list> specify a CPU ID binding mask for each task
                        where <list> is <mask1>,<mask2>,...<maskN>
        rank_ldom       bind task by rank to CPUs in a NUMA locality domain
        map_ldom:<list> specify a NUMA locality domain ID for each task
                        where <list> is <ldom1>,<ldom2>,...<ldomN>
        mask_ldom:<list>specify a NUMA locality domain ID mask for each task
                        where <list> is <ldom1>,<ldom2>,...<ldomN>
        sockets         auto-generated masks bind to sockets
        cores           auto-generated masks bind to cores
        threads         auto-generated masks bind to threads
        ldoms           auto-generated masks bind to NUMA locality domains
        help            show this help message
"""
MEMORY_HELP: Final = """\
Memory bind options:
    --mem-bind=         Bind memory to locality domains (ldom)
        nosort          avoid sorting pages at startup
        sort            sort pages at startup
        q[uiet]         quietly bind before task runs (default)
        v[erbose]       verbosely report binding before task runs
        no[ne]          don't bind tasks to memory (default)
        rank            bind by task rank
        local           bind to memory local to processor
        map_mem:<list>  specify a memory binding for each task
                        where <list> is <cpuid1>,<cpuid2>,...<cpuidN>
        mask_mem:<list> specify a memory binding mask for each tasks
                        where <list> is <mask1>,<mask2>,...<maskN>
        help            show this help message
"""


def check_memory_binding(wishes: Wishes) -> None:
    """Refuse what is no binding of memory.

    Raises:
        EarlyAnswer: Help is asked for.
        OptionError: In srun's words.
    """
    memory = wishes.shown.get("mem-bind", "none")
    if _MEMORY_BINDINGS.fullmatch(memory.lower()) is None:
        wishes.fail(f'error: unrecognized --mem-bind argument "{memory}"', 255)
    if "help" in memory.lower().split(","):
        raise EarlyAnswer(Answer(out=MEMORY_HELP, code=255))


def check_cpu_binding(wishes: Wishes, *, binds: bool) -> None:
    """Refuse what is no binding of CPUs; say so if one is asked for and none can be.

    Raises:
        EarlyAnswer: Help is asked for.
        OptionError: In srun's words.
    """
    cpus = wishes.shown.get("cpu-bind")
    if cpus is None:
        return
    if "help" in cpus.lower().split(","):
        raise EarlyAnswer(Answer(out=_CPU_HELP))
    lacking = "" if binds else _NO_BINDING
    if _CPU_BINDINGS.fullmatch(cpus.lower()) is None:
        raise OptionError(
            f'{lacking}srun: error: unrecognized --cpu-bind argument "{cpus}"\n'
            "srun: fatal: Failed to parse --cpu-bind= values.\n",
            1,
        )
    if lacking:
        wishes.notes.append(lacking.removeprefix("srun: ").rstrip("\n"))


def binding_variables(wishes: Wishes) -> dict[str, str]:
    """Return what tasks are told of the binding that was asked for."""
    text = wishes.shown.get("cpu-bind", "").lower()
    found = {}
    if wishes.shown.get("hint") == "nomultithread":
        text = text or "threads"
        found["SLURM_THREADS_PER_CORE"] = "1"
    if not text:
        return {}
    first, _, rest = text.partition(",")
    loudness = "verbose" if first in ("v", "verbose") else "quiet"
    kind, listed = _kind(rest if first in ("q", "quiet", "v", "verbose") else text)
    return {
        **found,
        "SLURM_CPU_BIND": ",".join(filter(None, (loudness, kind + listed))),
        "SLURM_CPU_BIND_LIST": listed,
        "SLURM_CPU_BIND_TYPE": kind,
        "SLURM_CPU_BIND_VERBOSE": loudness,
    }


def _kind(text: str) -> tuple[str, str]:
    """Return a binding's kind, as in ``threads`` or ``map_cpu:``, and its list."""
    first, _, rest = text.partition(",")
    unit, text = (first, rest) if first in _UNITS else ("", text)
    match = _HOWS.fullmatch(text)
    how, listed = (match[1], match[2]) if match else ("", "")
    how = "none" if how == "no" else how
    return ",".join(filter(None, (unit, how))), listed
