"""strigger: have a program run when something happens to a job or a node.

Of Slurm's events those are served that one machine can have; controllers that take over from one
another, databases and power saving are refused.

Source: strigger(1); messages and columns are recorded.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Final

from stoker.commands.errors import code_of, describe, strerror
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
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller

_ELSEWHERE: Final = (
    *("backup_slurmctld_assumed_control", "backup_slurmctld_failure"),
    *("backup_slurmctld_resumed_operation", "burst_buffer", "draining", "primary_database_failure"),
    *("primary_database_resumed_operation", "primary_slurmctld_acct_buffer_full"),
    *("primary_slurmctld_failure", "primary_slurmctld_resumed_control"),
    *("primary_slurmctld_resumed_operation", "primary_slurmdbd_failure"),
    *("primary_slurmdbd_resumed_operation", "reconfig", "resume"),
)
"""Events that one machine does not have."""

OPTIONS: Final = (
    Option("clear", help="remove triggers"),
    Option("clusters", "M", "required", "this cluster's name", "meaningless", "NAMES"),
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
        Option(name, help="an event that one machine does not have", meaning="refused")
        for name in _ELSEWHERE
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
_OFFSET: Final = re.compile(r"[+-]?\d{1,5}", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,10}", re.ASCII)


class _Refusal(Exception):
    """Why the command cannot be carried out: the whole line for standard error."""


def strigger(call: Call, controller: Controller) -> Answer:
    """Make, show or remove triggers."""
    try:
        parsed = parse("strigger", OPTIONS, call.argv)
        return _answer(call, parsed, controller)
    except EarlyAnswer as early:
        return early.answer
    except _Refusal as refusal:
        return Answer(err=f"{refusal}\n", code=1)


def _answer(call: Call, parsed: Parsed, controller: Controller) -> Answer:
    modes = [mode for mode in _MODES if parsed.has(mode)]
    if len(modes) != 1:
        raise _failure("You must use exactly one of the following options: --set, --get or --clear")
    for text in (parsed.last("id"), parsed.last("jobid")):
        if text is not None and _NUMBER.fullmatch(text) is None:
            raise _failure(f"Invalid value specified: {text}")
    if modes == ["set"]:
        return _set(call, parsed, controller)
    if modes == ["get"]:
        return _shown(parsed, controller)
    return _cleared(call, parsed, controller)


def _failure(text: str) -> _Refusal:
    return _Refusal(f"strigger: error: {text}")


def _set(call: Call, parsed: Parsed, controller: Controller) -> Answer:
    trigger = _trigger(call, parsed)
    try:
        controller.set_trigger(trigger)
    except (UnknownJob, NotAllowed) as error:
        raise _Refusal(f"slurm_set_trigger: {describe(error)}") from None
    except StokerError as error:
        raise _Refusal(f"slurm_set_trigger: {strerror(code_of(error))}") from None
    return Answer()


def _trigger(call: Call, parsed: Parsed) -> Trigger:
    job_id = int(parsed.last("jobid") or 0)
    if any(parsed.has(name) for name in _ELSEWHERE):
        raise _Refusal(f"slurm_set_trigger: {strerror('ESLURM_NOT_SUPPORTED')}")
    events = tuple(name for name in (*_OF_JOBS, *_OF_NODES) if parsed.has(name))
    if not events:
        raise _failure(
            "You must specify a trigger (--block_err, --down, --up, --reconfig, --time or --fini)"
        )
    program = parsed.last("program")
    if program is None:
        raise _failure("You must specify a --program value")
    if not program.startswith("/"):
        raise _failure('The --program value must start with "/"')
    if any(event in _OF_JOBS for event in events) and not job_id:
        raise _failure("You must specify a --jobid value with --time or --fini option")
    if job_id and any(event in _OF_NODES for event in events):
        raise _Refusal(f"slurm_set_trigger: {strerror('ESLURM_NOT_SUPPORTED')}")
    offset = parsed.last("offset") or "0"
    if _OFFSET.fullmatch(offset) is None:
        raise _failure(f"Invalid value for --offset: {offset}")
    _check_words(program)
    return Trigger(
        trigger_id=0,
        owner=call.owner,
        program=program,
        events=events,
        job_id=job_id,
        node=parsed.last("node") or "*",
        offset_s=int(offset),
        stays=(parsed.last("flags") or "").upper() == "PERM",
    )


def _check_words(program: str) -> None:
    try:
        shlex.split(program)
    except ValueError as error:
        raise _failure(f"The --program value cannot be read: {error}") from None


def _chosen(parsed: Parsed, controller: Controller) -> Iterator[Trigger]:
    """Yield the triggers that the options describe."""
    events = {name for name in (*_OF_JOBS, *_OF_NODES) if parsed.has(name)}
    user = parsed.last("user")
    for trigger in controller.triggers():
        fits = (
            parsed.last("id") in (None, str(trigger.trigger_id)),
            parsed.last("jobid") in (None, str(trigger.job_id)),
            user in (None, trigger.owner.user_name, str(trigger.owner.user_id)),
            not events or events & set(trigger.events),
            not parsed.last("node") or trigger.node in ("*", parsed.last("node")),
        )
        if all(fits):
            yield trigger


def _shown(parsed: Parsed, controller: Controller) -> Answer:
    rows = "".join(map(_row, _chosen(parsed, controller)))
    return Answer(out=rows if parsed.has("noheader") or not rows else _HEADING + rows)


def _row(trigger: Trigger) -> str:
    kind, name = ("job", str(trigger.job_id)) if trigger.job_id else ("node", trigger.node)
    flags = "PERM" if trigger.stays else ""
    return (
        f"{trigger.trigger_id:7d} {kind:<9} {name:>7} {','.join(trigger.events):<35} "
        f"{trigger.offset_s:6d} {trigger.owner.user_name:<8} {flags:<5} {trigger.program}\n"
    )


def _cleared(call: Call, parsed: Parsed, controller: Controller) -> Answer:
    if not any(parsed.has(name) for name in ("id", "jobid", "user")):
        raise _failure("You must specify a --id, --jobid, or --user to clear")
    doomed = list(_chosen(parsed, controller))
    if not doomed:
        if parsed.has("quiet"):
            return Answer()
        raise _Refusal("slurm_clear_trigger: No such process")
    try:
        controller.clear_triggers(doomed, call.owner)
    except NotAllowed as error:
        raise _Refusal(f"slurm_clear_trigger: {describe(error)}") from None
    return Answer()
