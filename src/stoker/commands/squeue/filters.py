"""Which jobs squeue is asked for: a test for each option that lets only some through.

Source: squeue(1); complaints as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from stoker.commands.jobview import is_special
from stoker.commands.squeue.request import Refusal, Request
from stoker.core.enums import JobState
from stoker.core.models import Job
from stoker.core.units import NotationError, expand_hosts
from stoker.worker.call import Call
from stoker.worker.controller import Controller

_ID_DIGITS = 10
"""No user's id has more."""

Test: TypeAlias = Callable[[Job], bool]


def test_of(request: Request, call: Call, controller: Controller) -> tuple[Test, list[str]]:
    """Return what says whether a job is asked for, and what is said of names that nobody has.

    Raises:
        Refusal: There is no such node.
    """
    tests: list[Test] = [_test_of_states(request.states)]
    complaints: list[str] = []
    if request.users is not None:
        complaints = _unknown_users(request.users, call, controller)
        names = frozenset(request.users)
        ids = frozenset(int(name) for name in names if name.isdecimal() and len(name) <= _ID_DIGITS)
        tests.append(lambda job: job.owner.user_name in names or job.owner.user_id in ids)
    if request.nodes is not None:
        nodes = _known_nodes(request.nodes, controller)
        tests.append(
            lambda job: job.allocation is not None and bool(nodes & {*job.allocation.nodes})
        )
    for option, words in request.words.items():
        tests.append(_word_test(option, words))
    return _all_of(tests), complaints


def _all_of(tests: Iterable[Test]) -> Test:
    together = tuple(tests)
    return lambda job: all(test(job) for test in together)


def _test_of_states(states: frozenset[JobState]) -> Test:
    """Return a test for those that are shown in one of these states."""
    if (JobState.SPECIAL_EXIT in states) == (JobState.PENDING in states):
        return lambda job: job.state in states
    if JobState.PENDING in states:
        return lambda job: job.state in states and not is_special(job)
    return lambda job: job.state in states or is_special(job)


def _word_test(option: str, words: frozenset[str]) -> Test:
    match option:
        case "name":
            return lambda job: job.spec.name in words
        case "partition":
            return lambda job: not words.isdisjoint(job.shown_partition.split(","))
        case "account":
            return lambda job: job.spec.account in words
        case "reservation":
            return lambda job: job.spec.reservation in words
        case "licenses":
            return lambda job: any(
                word.split(":")[0] in words for word in job.spec.licenses.split(",")
            )
    assert option == "qos", option
    return lambda job: (job.spec.qos or "normal") in words


def _unknown_users(names: Iterable[str], call: Call, controller: Controller) -> list[str]:
    """Complain about names that no user has."""
    return [
        f"squeue: error: Invalid user: {name}\n"
        for name in names
        if not name.isdecimal()
        and name != call.owner.user_name
        and controller.user_id(name) is None
    ]


def _known_nodes(text: str, controller: Controller) -> frozenset[str]:
    known = {status.node.name for status in controller.nodes()}
    try:
        names = expand_hosts(text)
    except NotationError:
        names = [text]
    for name in names:
        if name not in known:
            raise Refusal(f"squeue: error: Invalid node name {name}")
    return frozenset(names)
