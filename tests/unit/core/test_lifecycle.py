"""The transition table: what it lists happens, and nothing else does."""

from __future__ import annotations

import itertools

import pytest

from stoker.core.enums import ENDED, HOLDING, JobState
from stoker.core.errors import IllegalTransition, StokerError
from stoker.core.lifecycle import END_EVENTS, TRANSITIONS, Event, next_state


def run(*events: Event, state: JobState = JobState.PENDING) -> JobState:
    for event in events:
        state = next_state(state, event)
    return state


@pytest.mark.parametrize(("end", "event"), END_EVENTS.items())
def test_a_running_job_may_end_in_each_way(end, event):
    assert run(Event.STARTED, event) is end
    assert run(Event.STARTED, Event.SUSPENDED, event) is end
    assert run(Event.STARTED, Event.ENDING, event) is end


def test_a_suspended_job_goes_on():
    assert run(Event.STARTED, Event.SUSPENDED, Event.RESUMED) is JobState.RUNNING


def test_a_job_may_fail_to_start_and_be_cancelled_before_it_does():
    assert run(Event.FAILED) is JobState.FAILED
    assert run(Event.CANCELLED) is JobState.CANCELLED
    assert run(Event.DEADLINE_PASSED) is JobState.DEADLINE


def test_nothing_completes_that_never_ran():
    for event in (Event.COMPLETED, Event.TIMED_OUT, Event.RAN_OUT_OF_MEMORY, Event.SUSPENDED):
        with pytest.raises(IllegalTransition):
            run(event)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_an_end_is_final_but_for_a_requeue(state):
    for event in set(Event) - {Event.REQUEUED}:
        with pytest.raises(IllegalTransition):
            next_state(state, event)
    assert next_state(state, Event.REQUEUED) is JobState.PENDING


def test_what_the_table_does_not_list_names_state_and_event():
    with pytest.raises(
        IllegalTransition, match="COMPLETED cannot take the event Started"
    ) as caught:
        next_state(JobState.COMPLETED, Event.STARTED)
    assert isinstance(caught.value, StokerError)
    assert isinstance(caught.value, AssertionError)


def test_every_pair_is_listed_or_refused():
    for state, event in itertools.product(JobState, Event):
        if (state, event) in TRANSITIONS:
            assert next_state(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(IllegalTransition):
                next_state(state, event)


def test_every_state_that_holds_resources_can_end_in_every_way():
    for state, event in itertools.product(HOLDING, END_EVENTS.values()):
        assert TRANSITIONS[state, event] in ENDED


def test_only_a_start_or_a_resumption_leads_to_running():
    leading = {event for (_, event), state in TRANSITIONS.items() if state is JobState.RUNNING}
    assert leading == {Event.STARTED, Event.RESUMED, Event.CONTINUED}
