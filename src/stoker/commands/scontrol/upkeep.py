"""scontrol's words for the daemon's and the nodes' upkeep: logging, dampening, reboots.

What they set stands in the settings here, or has nothing to act on: a word that makes sense is
accepted from root, and changes nothing. Nodes are never rebooted.

Source: scontrol(1); the wording as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from errno import EACCES
from itertools import dropwhile
from os import strerror as system_strerror
from typing import Final

from stoker.commands.errors import strerror
from stoker.commands.scontrol.words import Line, failure
from stoker.core.units import NotationError, expand_hosts
from stoker.worker.call import Answer

_DEBUG_LEVELS: Final = (
    "quiet", "fatal", "error", "info", "verbose", "debug", "debug2", "debug3", "debug4", "debug5",
)  # fmt: skip
_DEBUG_FLAGS: Final = (
    "accrue", "agent", "backfill", "backfillmap", "burstbuffer", "cgroup", "cpu_bind",
    "cpufrequency", "data", "db_archive", "db_assoc", "db_event", "db_job", "db_qos", "db_query",
    "db_reservation", "db_resource", "db_step", "db_tres", "db_usage", "db_wckey", "dependency",
    "elasticsearch", "energy", "extsensors", "federation", "frontend", "gang", "gres", "hetjob",
    "interconnect", "jobaccountgather", "jobcontainer", "license", "mpi", "network", "networkraw",
    "no_conf_hash", "nodefeatures", "power", "priority", "profile", "protocol", "reservation",
    "route", "script", "selecttype", "steps", "switch", "task", "timecray", "tracejobs",
    "triggers", "workqueue",
)  # fmt: skip
_NUMBER: Final = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_FACTOR_MAX: Final = 65_535
_REBOOT_WORDS: Final = re.compile("asap|(?:nextstate|reason)=.*", re.IGNORECASE | re.DOTALL)
_NEXT_STATES: Final = frozenset({"down", "resume"})


def set_debug(line: Line, words: Sequence[str]) -> Answer:
    """Accept a level of logging, as a word or a number; less than none is none."""
    word = words[0].lower()
    is_level = word in _DEBUG_LEVELS
    if not is_level and _NUMBER.fullmatch(word) is not None:
        is_level = int(word) < len(_DEBUG_LEVELS)
    if not is_level:
        return failure(f"invalid debug level: {words[0]}")
    return _for_root(line, "slurm_set_debug_level error")


def set_debug_flags(line: Line, words: Sequence[str]) -> Answer:
    """Accept what is to be logged, or no more."""
    word = words[0]
    if word[:1] not in ("+", "-"):
        return failure(f"invalid debug flag: {word}\nUsage: setdebugflags [+|-]NAME")
    for name in filter(None, word[1:].split(",")):
        if name.lower() not in _DEBUG_FLAGS:
            return failure(
                f"scontrol: error: Invalid DebugFlag: {name}\ninvalid debug flag: {word}"
            )
    return _for_root(line, "slurm_set_debug_flags error")


def set_schedule_log(line: Line, words: Sequence[str]) -> Answer:
    """Refuse to log the scheduler's steps elsewhere: no file is configured for it, as in Slurm."""
    if words[0].lower() not in ("0", "1", "disable", "enable"):
        return failure(f"invalid schedlog level: {words[0]}")
    what = "slurm_set_schedlog_level error"
    if line.call.owner.user_id:
        return _for_root(line, what)
    return failure(f"{what}: {strerror('ESLURM_DISABLED')}")


def set_dampening(line: Line, words: Sequence[str]) -> Answer:
    """Accept a factor that Fair Tree, by which shares are counted, does not know."""
    word = words[0]
    if not word.isdecimal() or not word.isascii() or not int(word[:12]) & _FACTOR_MAX:
        return failure(f"invalid dampening factor: {word}", 0)
    return _for_root(line, "slurm_set_fs_dampeningfactor error")


def reboot(_line: Line, words: Sequence[str]) -> Answer:
    """Refuse: the machine is not for us to reboot."""
    for word in words:
        name, equals, value = word.partition("=")
        if name.lower() == "nextstate" and equals and value.lower() not in _NEXT_STATES:
            missing = "missing state"
            known = f"Invalid state: {value}\nValid states: DOWN, RESUME"
            return failure(known if value else missing)
    nodes = [*dropwhile(_REBOOT_WORDS.fullmatch, words)]
    if not nodes:
        return failure("Missing node list. Specify ALL|<NodeList>")
    if len(nodes) > 1:
        return failure("too many arguments for keyword:reboot")
    return failure(
        "scontrol: error: RebootProgram isn't defined\n"
        f"scontrol_reboot_nodes error: {strerror('SLURM_ERROR')}"
    )


def cancel_reboot(line: Line, words: Sequence[str]) -> Answer:
    """Say that no node waits for a reboot."""
    if not words:
        return failure("missing argument for keyword:cancel_reboot")
    return failure(f"slurm_update error: {strerror(_why_not_cancelled(line, words[0]))}")


def _why_not_cancelled(line: Line, text: str) -> str:
    if not line.controller.rights.is_administrator(line.call.owner):
        return "ESLURM_USER_ID_MISSING"
    known = {status.node.name for status in line.controller.nodes()}
    try:
        named = known if text.lower() == "all" else {*expand_hosts(text)}
    except NotationError:
        return "ESLURM_INVALID_NODE_NAME"
    return "ESLURM_INVALID_NODE_STATE" if named <= known else "ESLURM_INVALID_NODE_NAME"


def _for_root(line: Line, what: str) -> Answer:
    return failure(f"{what}: {system_strerror(EACCES)}") if line.call.owner.user_id else Answer()
