"""strigger: have a program run when something happens to a job or a node.

Of Slurm's events those are served that one machine can have; controllers that take over from one
another, databases and power saving are refused.

Source: strigger(1); messages and columns are recorded.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Final, NamedTuple

from stoker.commands.errors import code_of, describe, strerror
from stoker.commands.headings import UnknownCluster, cluster_heading
from stoker.commands.options import (
    HELP,
    USAGE,
    VERSION_OPTION,
    EarlyAnswer,
    Option,
    Parsed,
    parse,
)
from stoker.core.errors import NotAllowed, StokerError, UnknownJob
from stoker.core.notices import Trigger
from stoker.core.units import NotationError, expand_hosts
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller

_ELSEWHERE: Final = {
    "backup_slurmctld_assumed_control": "C",
    "backup_slurmctld_failure": "B",
    "backup_slurmctld_resumed_operation": "c",
    "burst_buffer": "",
    "front_end": "",
    "primary_database_failure": "h",
    "primary_database_resumed_operation": "H",
    "primary_slurmctld_acct_buffer_full": "e",
    "primary_slurmctld_failure": "a",
    "primary_slurmctld_resumed_control": "b",
    "primary_slurmctld_resumed_operation": "A",
    "primary_slurmdbd_failure": "g",
    "primary_slurmdbd_resumed_operation": "G",
    "reconfig": "r",
}
"""Events that one machine does not have, with the letters of their options."""

OPTIONS: Final = (
    Option("clear", help="remove triggers"),
    Option("cluster", "M", "required", "this cluster's name", value="NAME", aliases=("clusters",)),
    Option("down", "d", help="when a node is taken down"),
    Option("drained", "D", help="when a node is drained"),
    Option("fail", "F", help="when a node is set to fail"),
    Option("fini", "f", help="when the job has ended"),
    Option("flags", "", "required", "PERM: the trigger stays when it was pulled", value="FLAGS"),
    Option("get", help="show triggers"),
    Option("id", "i", "required", "the trigger of that number", value="NUMBER"),
    Option("idle", "I", help="when nothing runs on a node any more"),
    Option("jobid", "j", "required", "the job", value="JOB_ID"),
    Option("node", "n", "optional", "a node, or any", value="HOST"),
    Option("noheader", "N", help="no heading"),
    Option("offset", "o", "required", "so long after, or with a minus before", value="SECONDS"),
    Option("program", "p", "required", "what to run: a path, and words", value="PATH"),
    Option("quiet", "Q", help="say nothing of what is not there"),
    Option("set", help="make a trigger"),
    Option("time", "t", help="when the job has reached its time limit"),
    Option("up", "u", help="when a node takes jobs again"),
    Option("user", "", "required", "only triggers of this user", value="NAME"),
    Option("verbose", "v", help="say more", meaning="meaningless"),
    *(
        Option(name, letter, help="an event that one machine does not have", meaning="refused")
        for name, letter in _ELSEWHERE.items()
    ),
    HELP,
    USAGE,
    VERSION_OPTION,
)

_MODES: Final = ("set", "get", "clear")
_OF_JOBS: Final = ("fini", "time")
_OF_NODES: Final = ("down", "drained", "fail", "idle", "up")
_HEADING: Final = (
    "TRIG_ID RES_TYPE   RES_ID TYPE                                OFFSET USER     FLAGS PROGRAM\n"
)
_OFFSET_MAX_S: Final = 32_000
_NUMBER: Final = re.compile(r"\s*([+-]?\d{1,10})", re.ASCII)
_NO_EVENT: Final = (
    "You must specify a trigger (--down, --up, --reconfig, --time, --fini, --burst_buffer,\n"
    "--primary_slurmctld_failure,\n--primary_slurmctld_resumed_operation,\n"
    "--primary_slurmctld_resumed_control,\n--primary_slurmctld_acct_buffer_full,\n"
    "--backup_slurmctld_failure,\n--backup_slurmctld_resumed_operation,\n"
    "--backup_slurmctld_as_ctrl,\n--primary_slurmdbd_failure,\n"
    "--primary_slurmdbd_resumed_operation,\n--primary_database_failure, or \n"
    "--primary_database_resumed_operation)\n"
)


class _Refusal(Exception):
    """Why the command cannot be carried out: the whole line for standard error."""


class _Wanted(NamedTuple):
    """The options, and what they say of which triggers are meant."""

    parsed: Parsed
    trigger_id: int
    job_id: int
    user_id: int | None

    @property
    def is_narrow(self) -> bool:
        """Whether it says enough to clear triggers by."""
        return bool(self.trigger_id or self.job_id or self.user_id is not None)


def strigger(call: Call, controller: Controller) -> Answer:
    """Make, show or remove triggers."""
    try:
        parsed = parse("strigger", OPTIONS, call.argv)
        return _answer(call, parsed, controller)
    except (EarlyAnswer, UnknownCluster) as early:
        return early.answer
    except _Refusal as refusal:
        return Answer(err=f"{refusal}\n", code=1)


def _answer(call: Call, parsed: Parsed, controller: Controller) -> Answer:
    cluster_heading("strigger", parsed.last("cluster"), controller)
    job_id, user = _job_id(parsed), _user(parsed, controller)
    modes = [mode for mode in _MODES if parsed.has(mode)]
    if len(modes) != 1:
        raise _failure("You must use exactly one of the following options: --set, --get or --clear")
    wanted = _Wanted(parsed, _leading_number(parsed.last("id")), job_id, user)
    if modes == ["clear"] and not wanted.is_narrow:
        raise _failure("You must specify a --id, --jobid, or --user to clear")
    if modes == ["set"]:
        return _set(call, wanted, controller)
    if any(parsed.has(name) for name in _OF_JOBS) and not job_id:
        raise _failure("You must specify a --jobid value")
    if modes == ["get"]:
        return _shown(wanted, controller)
    return _cleared(call, wanted, controller)


def _job_id(parsed: Parsed) -> int:
    """Return the job's number, of which a task's is a part; 0: none is named."""
    text = parsed.last("jobid")
    if text is None:
        return 0
    if (job_id := _leading_number(text)) <= 0:
        raise _failure(f"Invalid jobid {text}")
    return job_id


def _leading_number(text: str | None) -> int:
    """Return the number with which a text begins, as C reads it; without one it is 0."""
    found = _NUMBER.match(text or "")
    return int(found.group(1)) if found else 0


def _user(parsed: Parsed, controller: Controller) -> int | None:
    name = parsed.last("user")
    if name is None:
        return None
    if name.isdecimal() and name.isascii():
        return int(name[:10])
    user_id = controller.user_id(name)
    if user_id is None:
        raise _failure(f"Invalid user {name}")
    return user_id


def _failure(text: str) -> _Refusal:
    return _Refusal(f"strigger: error: {text}")


def _set(call: Call, wanted: _Wanted, controller: Controller) -> Answer:
    trigger = _trigger(call, wanted, controller)
    try:
        controller.set_trigger(trigger)
    except (UnknownJob, NotAllowed) as error:
        raise _Refusal(f"slurm_set_trigger: {describe(error)}") from None
    except StokerError as error:
        raise _Refusal(f"slurm_set_trigger: {strerror(code_of(error))}") from None
    return Answer()


def _trigger(call: Call, wanted: _Wanted, controller: Controller) -> Trigger:
    parsed = wanted.parsed
    events = tuple(name for name in (*_OF_JOBS, *_OF_NODES) if parsed.has(name))
    is_elsewhere = any(parsed.has(name) for name in _ELSEWHERE)
    if not events and not is_elsewhere:
        raise _failure(_NO_EVENT)
    program = _program(parsed)
    if any(event in _OF_JOBS for event in events) and not wanted.job_id:
        raise _failure("You must specify a --jobid value")
    _check_program(program)
    offset_s = _leading_number(parsed.last("offset"))
    if abs(offset_s) > _OFFSET_MAX_S:
        raise _failure(f"The --offset parameter must be between +/-{_OFFSET_MAX_S}")
    if is_elsewhere or (wanted.job_id and any(event in _OF_NODES for event in events)):
        raise _Refusal(f"slurm_set_trigger: {strerror('ESLURM_NOT_SUPPORTED')}")
    return Trigger(
        trigger_id=0,
        owner=call.owner,
        program=program,
        events=events,
        job_id=wanted.job_id,
        node="*" if wanted.job_id else _nodes(parsed.last("node"), controller),
        offset_s=offset_s,
        stays=_stays(parsed),
    )


def _stays(parsed: Parsed) -> bool:
    flags = parsed.last("flags")
    if flags is not None and not flags.lower().startswith("perm"):
        raise _failure(f"Invalid flags {flags}")
    return flags is not None


def _nodes(text: str | None, controller: Controller) -> str:
    """Return the nodes that are named, which must all be there."""
    if not text:
        return "*"
    known = {status.node.name for status in controller.nodes()}
    try:
        are_known = known.issuperset(expand_hosts(text))
    except NotationError:
        are_known = False
    if not are_known:
        raise _Refusal(f"slurm_set_trigger: {strerror('ESLURM_INVALID_NODE_NAME')}")
    return text


def _program(parsed: Parsed) -> str:
    program = parsed.last("program")
    if program is None:
        raise _failure("You must specify a --program value")
    return program


def _check_program(program: str) -> None:
    if not program.startswith("/"):
        raise _failure('The --program value must start with "/"')
    try:
        shlex.split(program)
    except ValueError as error:
        raise _failure(f"The --program value cannot be read: {error}") from None


def _chosen(wanted: _Wanted, controller: Controller) -> Iterator[Trigger]:
    """Yield the triggers that the options describe."""
    parsed = wanted.parsed
    events = {name for name in (*_OF_JOBS, *_OF_NODES) if parsed.has(name)}
    for trigger in controller.triggers():
        fits = (
            wanted.trigger_id in (0, trigger.trigger_id),
            wanted.job_id in (0, trigger.job_id),
            wanted.user_id in (None, trigger.owner.user_id),
            events <= {*trigger.events},
            not (parsed.has("node") and trigger.job_id),
        )
        if all(fits):
            yield trigger


def _shown(wanted: _Wanted, controller: Controller) -> Answer:
    rows = "".join(map(_row, _chosen(wanted, controller)))
    return Answer(out=rows if wanted.parsed.has("noheader") or not rows else _HEADING + rows)


def _row(trigger: Trigger) -> str:
    kind, name = ("job", str(trigger.job_id)) if trigger.job_id else ("node", trigger.node)
    flags = "PERM" if trigger.stays else ""
    return (
        f"{trigger.trigger_id:7d} {kind:<9} {name:>7} {','.join(trigger.events):<35} "
        f"{trigger.offset_s:6d} {trigger.owner.user_name:<8} {flags:<5} {trigger.program}\n"
    )


def _cleared(call: Call, wanted: _Wanted, controller: Controller) -> Answer:
    doomed = list(_chosen(wanted, controller))
    if not doomed:
        if wanted.parsed.has("quiet"):
            return Answer()
        raise _Refusal("slurm_clear_trigger: No such process")
    try:
        controller.clear_triggers(doomed, call.owner)
    except NotAllowed as error:
        raise _Refusal(f"slurm_clear_trigger: {describe(error)}") from None
    return Answer()
