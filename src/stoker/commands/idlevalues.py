"""Values of options that one machine has no use for: they are checked all the same.

Who mistypes such an option is told so here as on a cluster, and in the same words.

Source: sbatch(1); messages and exit codes as of Slurm 22.05.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from stoker.commands.bindings import MEMORY_HELP
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.units import NotationError, parse_patience

_PROFILES: Final = frozenset({"none", "all", "energy", "task", "filesystem", "lustre", "network"})
_GPU_BINDINGS: Final = re.compile(
    r"(?:v(?:erbose)?,)?(?:closest|none|(?:single|per_task|map_gpu|mask_gpu):\S+)"
)
_GPU_FREQUENCIES: Final = re.compile(r"(?:(?:memory=)?(?:low|medium|highm1|high|\d+)|verbose)")
_MEMORY_BINDINGS: Final = re.compile(
    r"(?:q(?:uiet)?|v(?:erbose)?|no(?:ne)?|nosort|sort|rank|local|prefer|help"
    r"|(?:map|mask)_mem:\S+)(?:,.*)?"
)
_NOT_ALLOWED: Final = "since it's not allowed by configuration (AllowSpecResourcesUsage = No)"


def _switches(wishes: Wishes, value: str) -> None:
    count = value.partition("@")[0]
    if not count.isdecimal():
        wishes.fail(f'error: Invalid numeric value "{count}" for --switches.')


def _wait_all_nodes(wishes: Wishes, value: str) -> None:
    if not value.isdecimal():
        wishes.fail(f'error: Invalid numeric value "{value}" for --wait-all-nodes.')
    if int(value[:9]) > 1:
        wishes.refuse("wait-all-nodes")


def _profile(wishes: Wishes, value: str) -> None:
    if not _PROFILES.issuperset(value.lower().split(",")):
        wishes.fail(f"error: invalid --profile={value} option", 255)


def _gpu_binding(wishes: Wishes, value: str) -> None:
    if _GPU_BINDINGS.fullmatch(value.lower()) is None:
        wishes.fail(f"error: Invalid --gpu-bind argument: gpu:{value}", 255)


def _gpu_frequency(wishes: Wishes, value: str) -> None:
    words = value.lower().split(",")
    if not all(_GPU_FREQUENCIES.fullmatch(word) for word in words):
        wishes.fail(f"error: Invalid --gpu-freq argument: gpu:{value}", 255)


def _memory_binding(wishes: Wishes, value: str) -> None:
    if wishes.program != "srun" and value.lower() == "help":
        raise OptionError("", 255, MEMORY_HELP)
    # srun tells its tasks of it, and reads it where it does.
    if wishes.program != "srun" and _MEMORY_BINDINGS.fullmatch(value.lower()) is None:
        wishes.fail(f'error: unrecognized --mem-bind argument "{value}"', 255)


def _gres_flags(wishes: Wishes, value: str) -> None:
    if value.lower() not in ("enforce-binding", "disable-binding"):
        wishes.refuse("gres-flags")


def _het_group(wishes: Wishes, value: str) -> None:
    """Take the number of a job's only component for what it is."""
    numbers = re.split("[,-]", value)
    if not all(each.isdecimal() and each.isascii() for each in numbers):
        wishes.fail(
            f"error: _parse_single_range: Invalid range: `{value}'\n"
            f"srun: error: Invalid --het-group value: {value}"
        )
    if highest := max(int(each[:9]) for each in numbers):
        wishes.fail(
            f"error: Requested het-group offset exceeds highest hetjob index ({highest} > 0)"
        )


def _power(wishes: Wishes, value: str) -> None:
    if value.lower() != "level":
        wishes.notes.append(f"error: Ignoring unrecognized power option ({value})")


def _delay_boot(wishes: Wishes, value: str) -> None:
    try:
        wishes.spec["delay_boot_s"] = parse_patience(value)
    except NotationError:
        wishes.refuse("delay-boot")


def _preferred_features(wishes: Wishes, value: str) -> None:
    wishes.shown["prefer"] = value


def _thread_spec(wishes: Wishes, value: str) -> None:
    if not value.isdecimal():
        wishes.fail(f'error: Invalid numeric value "{value}" for --thread-spec.')
    wishes.notes.append(f"error: Ignoring --thread-spec {_NOT_ALLOWED}")


def _no_kill(wishes: Wishes, value: str) -> None:
    if value.lower() not in ("", "off", "no"):
        wishes.refuse("no-kill")


def _extra_node_info(wishes: Wishes, value: str) -> None:
    """Read ``SOCKETS[:CORES[:THREADS]]``, each a number or ``*``."""
    for place, part in zip(("first", "second", "third"), value.split(":"), strict=False):
        number = part.partition("-")[0]
        if number != "*" and not number.isdecimal():
            wishes.fail(f'error: Invalid numeric value "{part}" for {place} arg of -B.')


IDLE_READERS: Final[Mapping[str, Callable[[Wishes, str], None]]] = {
    "delay-boot": _delay_boot,
    "extra-node-info": _extra_node_info,
    "gpu-bind": _gpu_binding,
    "gpu-freq": _gpu_frequency,
    "gres-flags": _gres_flags,
    "het-group": _het_group,
    "mem-bind": _memory_binding,
    "no-kill": _no_kill,
    "power": _power,
    "prefer": _preferred_features,
    "profile": _profile,
    "switches": _switches,
    "thread-spec": _thread_spec,
    "wait-all-nodes": _wait_all_nodes,
}
"""What is read of each, by its long name."""
