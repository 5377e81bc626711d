"""scontrol update: the changes to nodes and partitions.

Source: scontrol(1) "update"; the wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from stoker.commands.errors import describe, strerror
from stoker.commands.nodeview import NodeState
from stoker.commands.scontrol.words import Line, Pair, failure, meant
from stoker.core.errors import InvalidSpec, StokerError
from stoker.core.models import FOREVER
from stoker.core.units import NotationError, expand_hosts, parse_memory, parse_time_limit
from stoker.worker.call import Answer

_NODE_ORDERS: Final = {
    "down": "DOWN",
    "drain": "DRAIN",
    "fail": "DRAIN",
    "idle": "RESUME",
    "resume": "RESUME",
    "undrain": "UNDRAIN",
}
_NEEDS_REASON: Final = frozenset({"DOWN", "DRAIN"})
_PARTITION_STATES: Final = frozenset({"UP", "DOWN", "DRAIN", "INACTIVE"})
_JOB_FACTOR_MAX: Final = 65533
_BAD_STATE: Final = (
    "Invalid input: state={}\nRequest aborted\n"
    "Valid states are: NoResp DRAIN FAIL FUTURE RESUME POWER_DOWN POWER_UP UNDRAIN\n"
    "Not all states are valid given a node's prior state"
)


def update_nodes(line: Line, names: str, pairs: Sequence[Pair]) -> Answer:
    """Drain, take down or bring back the nodes of a host list."""
    found: dict[str, str] = {}
    for each in pairs:
        name = meant(each.name, {"stat|e": "state", "reas|on": "reason"})
        if name is None or each.value is None:
            return failure(f"Update of this parameter is not supported: {each}\nRequest aborted")
        found[name] = each.value
    if "state" not in found:
        return failure("No changes specified")
    order = _NODE_ORDERS.get(found["state"].lower())
    if order is None:
        return failure(_BAD_STATE.format(found["state"]))
    reason = found.get("reason", "")
    if not line.controller.rights.is_administrator(line.call.owner):
        return failure(f"slurm_update error: {strerror('ESLURM_USER_ID_MISSING')}")
    if order in _NEEDS_REASON and not reason:
        return failure("You must specify a reason when DOWNING or DRAINING a node. Request denied")
    try:
        for name in expand_hosts(names):
            _update_node(line, name, order, reason)
    except NotationError:
        return failure(f"slurm_update error: {strerror('ESLURM_INVALID_NODE_NAME')}")
    except StokerError as error:
        return failure(f"slurm_update error: {describe(error)}")
    return Answer()


def _update_node(line: Line, name: str, order: str, reason: str) -> None:
    status = next((each for each in line.controller.nodes() if each.node.name == name), None)
    if status is None:
        raise InvalidSpec(f"no such node: {name}", "ESLURM_INVALID_NODE_NAME")
    state = NodeState.of(status)
    if order == "RESUME" and not state.is_draining and state.base != "down":
        raise InvalidSpec("there is nothing to resume", "ESLURM_INVALID_NODE_STATE")
    line.controller.update_node(name, line.call.owner, order, reason)


def update_partition(line: Line, name: str, pairs: Sequence[Pair]) -> Answer:
    """Change a partition's state, limits and defaults."""
    changes: dict[str, object] = {}
    for each in pairs:
        read = _PARTITION_PARAMETERS.get(each.name.lower())
        if read is None or each.value is None:
            return failure(
                f"scontrol: error: Update of this parameter is not supported: {each}\n\n"
                "scontrol: error: Request aborted\nslurm_update error: No error"
            )
        field, reader = read
        try:
            changes[field] = reader(each.value)
        except ValueError:
            return failure(_bad_value(field, each))
    if not changes:
        return failure("scontrol: error: No changes specified")
    if not line.controller.rights.is_administrator(line.call.owner):
        return failure(f"slurm_update error: {strerror('ESLURM_USER_ID_MISSING')}")
    if name not in {each.name for each in line.controller.partitions()}:
        return failure(f"slurm_update error: {strerror('ESLURM_INVALID_PARTITION_NAME')}")
    try:
        line.controller.update_partition(name, line.call.owner, changes)
    except StokerError as error:
        return failure(f"slurm_update error: {describe(error)}")
    return Answer()


def _bad_value(field: str, said: Pair) -> str:
    if field == "state":
        text = (
            f"scontrol: error: Invalid input: {said}\n"
            "scontrol: error: Acceptable State values are UP, DOWN, DRAIN and INACTIVE"
        )
    else:
        text = f"scontrol: error: Invalid input {said}"
    return f"{text}\nslurm_update error: No error"


def _state(value: str) -> str:
    if value.upper() not in _PARTITION_STATES:
        raise ValueError(value)
    return value.upper()


def _limit(value: str) -> float | None:
    seconds = parse_time_limit(value)
    return None if seconds == FOREVER else seconds


def _job_factor(value: str) -> int:
    factor = int(value)
    if not 0 <= factor <= _JOB_FACTOR_MAX:
        raise ValueError(value)
    return factor


def _count(value: str) -> int | None:
    return None if value.upper() in ("UNLIMITED", "INFINITE") else int(value)


_PARTITION_PARAMETERS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = MappingProxyType(
    {
        "defaulttime": ("default_time_s", _limit),
        "defmempercpu": ("default_mem_per_cpu_mib", parse_memory),
        "defmempernode": ("default_mem_per_node_mib", parse_memory),
        "maxmempercpu": ("max_mem_per_cpu_mib", parse_memory),
        "maxmempernode": ("max_mem_per_node_mib", parse_memory),
        "maxnodes": ("max_nodes", _count),
        "maxtime": ("max_time_s", _limit),
        "minnodes": ("min_nodes", int),
        "priorityjobfactor": ("priority_job_factor", _job_factor),
        "prioritytier": ("priority_tier", int),
        "state": ("state", _state),
    }
)
"""Fields of a partition by the names of their parameters, and how values are read."""
