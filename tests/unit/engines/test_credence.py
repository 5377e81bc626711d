"""What a user's shepherd is believed, and what not."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.errors import EngineError
from stoker.engines.base import (
    Ended,
    EngineEvent,
    Evidence,
    Failed,
    Lost,
    Started,
    UnitUsage,
    Withdrawn,
)
from stoker.engines.credence import Credence
from stoker.engines.messages import read
from stoker.engines.register import Register

ALICE, BOB = 2001, 2002
RECORD = {1: ALICE, 2: BOB, 3: ALICE}
NOW = 5000.0
MINE, OTHERS = "1.0.batch", "2.0.batch"


class Asked:
    """Whose jobs are whose; keeps what it was asked."""

    def __init__(self) -> None:
        self.questions: list[set[int]] = []

    def owners(self, job_ids: Collection[int]) -> Mapping[int, int]:
        self.questions.append(set(job_ids))
        return {job_id: RECORD[job_id] for job_id in job_ids if job_id in RECORD}


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
def alices(register: Register) -> Credence:
    credence = Credence(ALICE, Asked().owners, register, clock=lambda: NOW)
    credence.hand_in([MINE, "3.0.0.1"])
    return credence


def started(key: str, pid: int = 10, **facts: Any) -> Started:
    return Started(**{"key": key, "pid": pid, "start_ticks": 5, "at": NOW, **facts})


def ended(key: str, **facts: Any) -> Ended:
    plain: dict[str, Any] = {"exit_code": 0, "signal": 0, "status_known": True, "at": NOW}
    return Ended(**{"key": key, **plain, **facts})


def evidence(*events: EngineEvent, **facts: Any) -> Evidence:
    return Evidence(
        **{"boot_id": "b", "queued": frozenset(), "running": {}, **facts}, events=events
    )


def take(credence: Credence, *events: EngineEvent) -> list[EngineEvent]:
    believed = credence.sift(events)
    credence.note(believed)
    return believed.events


# What it tells.


def test_a_units_start_and_end_are_believed_once(alices: Credence) -> None:
    first, last = started(MINE), ended(MINE, exit_code=3)
    assert take(alices, first) == [first]
    assert take(alices, first, started(MINE, pid=11)) == []
    assert take(alices, last) == [last]
    assert take(alices, last, started(MINE), Lost(MINE)) == []


def test_what_was_not_acted_on_is_believed_again(alices: Credence) -> None:
    assert alices.sift([ended(MINE)]).events == alices.sift([ended(MINE)]).events == [ended(MINE)]


def test_a_unit_that_is_handed_in_anew_by_who_hears_of_its_end_is_another(
    alices: Credence,
) -> None:
    believed = alices.sift([Withdrawn(MINE)])
    alices.forget([MINE])
    alices.hand_in([MINE])
    alices.note(believed)
    assert take(alices, started(MINE), ended(MINE)) == [started(MINE), ended(MINE)]


def test_the_end_of_another_users_job_is_not_believed(alices: Credence) -> None:
    for event in (started(OTHERS), ended(OTHERS), Lost(OTHERS), Withdrawn(OTHERS)):
        assert take(alices, event) == []


@pytest.mark.parametrize("key", ["", "1", "1.0", "1.0.0", "9.0.batch", "\ud800", "1.0.batch\0"])
def test_units_that_were_never_handed_in_are_not_spoken_of(alices: Credence, key: str) -> None:
    assert take(alices, started(key), ended(key)) == []


def test_a_unit_that_was_forgotten_is_not_spoken_of(alices: Credence, register: Register) -> None:
    alices.forget([MINE])
    assert take(alices, started(MINE)) == []
    assert register.user_of("1.0") is None
    assert not alices.is_idle
    alices.forget(["3.0.0.1"])
    assert alices.is_idle


def test_a_unit_that_is_handed_in_anew_may_start_again(alices: Credence) -> None:
    take(alices, started(MINE), Lost(MINE))
    alices.forget([MINE])
    alices.hand_in([MINE])
    assert take(alices, started(MINE)) == [started(MINE)]


def test_a_flood_of_starts_comes_to_one(alices: Credence) -> None:
    assert len(take(alices, *[started(MINE, pid=pid) for pid in range(1, 1000)])) == 1


def test_who_is_met_anew_may_say_once_more_who_runs_but_not_that_it_ended(
    alices: Credence,
) -> None:
    take(alices, started(MINE))
    alices.renew()
    assert take(alices, started(MINE), started(MINE)) == [started(MINE)]
    take(alices, ended(MINE))
    alices.renew()
    assert take(alices, started(MINE), ended(MINE)) == []


@pytest.mark.parametrize(
    "event", [Withdrawn(MINE), Failed(MINE, "fork", 11, "no", NOW), Lost(MINE)], ids=type
)
def test_who_was_said_to_run_cannot_be_taken_back(alices: Credence, event: EngineEvent) -> None:
    assert take(alices, started(MINE), event)[1:] == [Lost(MINE)]


def test_who_never_ran_can_be_taken_back(alices: Credence) -> None:
    assert take(alices, Withdrawn(MINE)) == [Withdrawn(MINE)]


def test_who_takes_back_again_and_again_what_it_was_given_has_failed(alices: Credence) -> None:
    kinds = []
    for _ in range(40):
        alices.hand_in([MINE])
        (event,) = take(alices, Withdrawn(MINE))
        kinds.append(type(event))
        alices.forget([MINE])
    assert kinds == [Withdrawn] * 32 + [Failed] * 8


def test_what_was_asked_back_may_be_taken_back_as_often_as_one_likes(alices: Credence) -> None:
    for _ in range(40):
        alices.hand_in([MINE])
        alices.ask_back([MINE, OTHERS])
        assert take(alices, Withdrawn(MINE)) == [Withdrawn(MINE)]
        alices.forget([MINE])


# What it tells is put right.


def test_numbers_times_and_words_that_cannot_be_are_put_right(alices: Credence) -> None:
    huge = UnitUsage(utime_s=math.inf, stime_s=math.nan, maxrss_kib=2**64 - 1, minflt=-5)
    hostile = ended(
        MINE, exit_code=2**63, signal=-9, at=math.inf, why="\x1b[2J; rm -rf", usage=huge
    )
    (found,) = take(alices, hostile)
    assert isinstance(found, Ended)
    assert found.usage is not None
    assert (found.exit_code, found.signal, found.at, found.why) == (255, 0, NOW, None)
    assert (found.usage.maxrss_kib, found.usage.minflt) == (2**62 - 1, 0)
    assert math.isfinite(found.usage.utime_s)
    assert math.isfinite(found.usage.stime_s)


def test_nothing_happened_before_it_was_handed_in_nor_after_now(alices: Credence) -> None:
    assert take(alices, started(MINE, at=1.0)) == [started(MINE, at=NOW)]
    assert take(alices, ended(MINE, at=NOW + 1e9)) == [ended(MINE, at=NOW)]


@pytest.mark.parametrize("facts", [{"pid": 0}, {"pid": -1}, {"pid": 2**40}, {"start_ticks": -1}])
def test_a_process_that_cannot_be_is_none(alices: Credence, facts: dict[str, int]) -> None:
    assert take(alices, started(MINE, **facts)) == []


def test_a_failures_words_are_bounded_and_can_be_recorded(alices: Credence) -> None:
    said = Failed(MINE, "shepherd\n", 10**9, "\ud800" * 10**5, NOW, "\udcff" * 10**5)
    (found,) = take(alices, said)
    assert isinstance(found, Failed)
    assert (found.step, found.errno) == ("attributes", 255)
    assert len(found.message.encode()) == len(found.path.encode()) == 4096


# When it is met.


def test_of_what_it_knows_only_what_is_on_record_as_its_users_counts(register: Register) -> None:
    alices = Credence(ALICE, Asked().owners, register, clock=lambda: NOW)
    said = evidence(
        ended("3.0.batch"),
        ended("2.1.batch"),
        ended("77.0.batch"),
        queued=frozenset({"1.0.0.0", "2.0.0.0"}),
        running={MINE: started(MINE), OTHERS: started(OTHERS)},
        remembers_since=math.inf,
    )
    believed, unwanted = alices.judge(said)
    assert believed.queued == {"1.0.0.0"}
    assert believed.running == {MINE: started(MINE)}
    assert believed.events == [ended("3.0.batch")]
    assert believed.remembers_since == NOW
    assert sorted(unwanted) == ["2.1.batch", "77.0.batch"]
    assert register.user_of("1.0") == ALICE
    assert register.user_of("2.0") is None


@pytest.mark.parametrize(
    "key",
    ["01.0.batch", "1.0.foo", "1.0.1", "+1.0.batch", "1 .0.batch", "\u0661.0.batch", "1.0.0.x"],
)
def test_a_key_that_is_not_written_as_we_write_it_counts_for_nothing(
    register: Register, key: str
) -> None:
    asked = Asked()
    alices = Credence(ALICE, asked.owners, register)
    said = evidence(ended(key), queued=frozenset({key}), running={key: started(key)})
    believed, unwanted = alices.judge(said)
    assert (believed.queued, believed.running, believed.events) == (frozenset(), {}, [])
    assert unwanted == [key]
    assert asked.questions == [set()]


def test_who_speaks_of_more_units_than_there_can_be_is_not_met(register: Register) -> None:
    credence = Credence(ALICE, Asked().owners, register)
    with pytest.raises(EngineError, match="speaks of 40000 units"):
        credence.judge(evidence(queued=frozenset(f"1.0.{n}.0" for n in range(40_000))))
    assert credence.is_idle
    assert register.user_of("1.0") is None


def test_a_unit_under_another_ones_name_does_not_run(register: Register) -> None:
    alices = Credence(ALICE, Asked().owners, register)
    believed, _ = alices.judge(evidence(running={MINE: started("3.0.batch")}))
    assert not believed.running


def test_looking_through_what_it_knows_learns_nothing(alices: Credence, register: Register) -> None:
    said = evidence(running={"3.5.batch": started("3.5.batch"), MINE: started(MINE)})
    assert alices.looked_through(said).running == {MINE: started(MINE)}
    assert register.user_of("3.5") is None


# Whatever it says.


_numbers = st.integers(-(2**63), 2**64 - 1)
_times = st.floats()
_keys = st.sampled_from([MINE, "3.0.0.1", OTHERS, "1.1.batch", "", "x"])
_usages = st.none() | st.builds(UnitUsage, _times, _times, _numbers, _numbers, _numbers)
_events: st.SearchStrategy[EngineEvent] = st.one_of(
    st.builds(Started, _keys, _numbers, _numbers, _times),
    st.builds(Ended, _keys, _numbers, _numbers, st.booleans(), _times, st.text(), usage=_usages),
    st.builds(Failed, _keys, st.text(), _numbers, st.text(), _times, st.text()),
    st.builds(Withdrawn, _keys),
    st.builds(Lost, _keys),
)


@given(st.lists(st.lists(_events, max_size=8), max_size=4))
def test_of_each_unit_a_start_and_an_end_are_believed_at_the_most(
    batches: list[list[EngineEvent]],
) -> None:
    alices = Credence(ALICE, Asked().owners, Register(), clock=lambda: NOW)
    alices.hand_in([MINE, "3.0.0.1"])
    believed = [event for batch in batches for event in take(alices, *batch)]
    for key in {event.key for event in believed}:
        assert key in (MINE, "3.0.0.1")
        kinds = [isinstance(event, Started) for event in believed if event.key == key]
        assert kinds in ([True], [False], [True, False])
    for event in believed:
        assert getattr(event, "at", NOW) == NOW


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_a_frame_is_a_message_or_refused(frame: bytes) -> None:
    with suppress(EngineError):
        read(frame)


@pytest.mark.parametrize(
    "frame", [b"[" * 10**6, b'{"type":"events","events":' + b"[" * 10**5, b'{"type":"\xff"}', b""]
)
def test_a_frame_of_brackets_or_of_nothing_is_refused(frame: bytes) -> None:
    with pytest.raises(EngineError):
        read(frame)
