"""An engine of many users, each with an engine that may do anything: nobody else feels it."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stoker.core import processes
from stoker.core.errors import EngineError
from stoker.engines import attendant, inquiry, orders, shared
from stoker.engines.base import Ended, Evidence, Failed, Listener, Lost, Started, Unit
from stoker.engines.credence import Credence
from stoker.engines.shared import SharedEngine
from support.engine import Events, FakeEngine, unit, until

ALICE, BOB, CAROL = 2001, 2002, 2003
JOBS = {1: ALICE, 2: BOB, 3: CAROL, 11: ALICE, 12: BOB}


class Record:
    """Whose jobs are whose, and who holds something."""

    def __init__(self) -> None:
        self.holding: set[int] = set()

    def owners(self, job_ids: Collection[int]) -> Mapping[int, int]:
        return {job_id: JOBS[job_id] for job_id in job_ids if job_id in JOBS}

    def holders(self) -> Collection[int]:
        return self.holding


class Wilful(FakeEngine):
    """One user's engine: `stops` names what it does not answer until the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_connected = True
        self.stops: set[str] = set()
        self.refuses = ""
        self.goes_on = threading.Event()
        self.passed: list[bytes] = []

    def _note(self, method: str, *arguments: Any) -> None:
        super()._note(method, *arguments)
        if method in self.stops:
            self.goes_on.wait(20)
        if method == "open" and self.refuses:
            raise EngineError(self.refuses)

    def launch(self, units: Any, descriptors: Any) -> None:
        super().launch(units, descriptors)
        for own in descriptors.values():
            self.passed += [os.read(number, 10) for number in own]

    def wait_connected(self, timeout_s: float) -> bool:
        return self.is_connected

    def prod(self) -> None:
        self._note("prod")

    def awaits(self, pid: int) -> bool:
        return False

    def survey(self) -> Evidence:
        self._note("survey")
        return super().survey()

    def status(self) -> Mapping[str, Any]:
        self._note("status")
        return {"pid": 7, "mode": "scan", "running": len(self.units)}


class House:
    """A shared engine over wilful ones, and what it told."""

    def __init__(self) -> None:
        self.record = Record()
        self.users = {ALICE: Wilful(), BOB: Wilful(), CAROL: Wilful()}
        self.events = Events()
        self.engine = SharedEngine(Path("/nowhere"), str.encode, self.record, make=self._make)

    def _make(self, user_id: int, credence: Credence) -> Wilful:
        return self.users[user_id]

    def open(self, *holders: int, listener: Listener | None = None) -> Evidence:
        self.record.holding = set(holders)
        return self.engine.open(listener or self.events)

    def run(self, *keys: str, **changes: Any) -> None:
        """Launch units for the owners of their jobs."""
        self.engine.launch([_unit(key, **changes) for key in keys], {})


def _unit(key: str, **changes: Any) -> Unit:
    return unit(key, "true", user_id=JOBS[int(key.split(".", maxsplit=1)[0])], **changes)


def saw(engine: Wilful, method: str, *arguments: Any) -> None:
    """Wait until the engine was asked that."""
    until(lambda: arguments in engine.named(method), f"{method}{arguments} among {engine.calls}")


def knows(*running: str, ended: Collection[Ended] = (), since: float = 0.0) -> Evidence:
    runs = {key: Started(key, 50, 5, 100.0) for key in running}
    return Evidence("?", frozenset(), runs, tuple(ended), since)


def end(key: str, code: int = 0) -> Ended:
    return Ended(key=key, exit_code=code, signal=0, status_known=True, at=200.0)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(shared, "_OPEN_S", 0.3)
    monkeypatch.setattr(shared, "_CLOSE_S", 2.0)
    monkeypatch.setattr(inquiry, "_ANSWER_S", 0.3)
    monkeypatch.setattr(inquiry, "_LEFT_ALONE_S", 0.5)
    monkeypatch.setattr(attendant, "_PAUSES_S", (0.01,))
    made = House()
    yield made
    for each in made.users.values():
        each.goes_on.set()
    made.engine.close()


def timed(deed: Callable[[], object]) -> float:
    begun = time.monotonic()
    deed()
    return time.monotonic() - begun


# Whose is whose.


def test_units_go_to_their_users_engine_alone(house: House) -> None:
    house.open()
    house.run("1.0.batch", "2.0.batch", "11.0.batch")
    saw(
        house.users[ALICE],
        "launch",
        ("1.0.batch", "11.0.batch"),
        {"1.0.batch": [], "11.0.batch": []},
    )
    saw(house.users[BOB], "launch", ("2.0.batch",), {"2.0.batch": []})
    assert not house.users[CAROL].calls


def test_a_unit_of_nobody_is_not_run(house: House) -> None:
    house.open()
    with pytest.raises(AssertionError, match="nobody"):
        house.engine.launch([unit("1.0.batch", "true")], {})


def test_what_is_asked_of_a_group_goes_to_its_users_engine(house: House) -> None:
    house.open()
    house.run("1.0.batch", "2.0.batch", "2.0.0.0")
    engine, bobs = house.engine, house.users[BOB]
    engine.end("2.0", "cancelled", 3.0)
    engine.end_unit("2.0.0.0", "cancelled", 3.0)
    engine.signal("2.0", 10, "all")
    engine.signal_unit("2.0.0.0", 12)
    engine.suspend("2.0")
    engine.resume("2.0")
    engine.limit("2.0", 60.0)
    engine.withdraw(["2.0.batch", "1.0.batch"])
    saw(bobs, "withdraw", ("2.0.batch",))
    saw(house.users[ALICE], "withdraw", ("1.0.batch",))
    wanted = ["open", "launch", "end", "end_unit", "signal", "signal_unit", "suspend", "resume"]
    assert [name for name, _ in bobs.calls] == [*wanted, "limit", "withdraw"]
    assert [name for name, _ in house.users[ALICE].calls] == ["open", "launch", "withdraw"]


def test_what_is_asked_of_an_unknown_group_starts_nobody(house: House) -> None:
    house.open()
    house.engine.end("99.0", "cancelled", 0.0)
    house.engine.acknowledge(["99.0.batch"])
    assert not any(each.calls for each in house.users.values())


def test_an_end_is_told_and_may_be_forgotten(house: House) -> None:
    house.open()
    house.run("1.0.batch")
    saw(house.users[ALICE], "launch", ("1.0.batch",), {"1.0.batch": []})
    house.users[ALICE].start("1.0.batch")
    house.users[ALICE].finish("1.0.batch", 4)
    assert house.events.ended("1.0.batch").exit_code == 4
    house.engine.acknowledge(["1.0.batch"])
    saw(house.users[ALICE], "acknowledge", ("1.0.batch",))


def test_the_claim_that_anothers_job_ended_changes_nothing(house: House) -> None:
    house.open()
    house.run("1.0.batch", "2.0.batch")
    saw(house.users[BOB], "launch", ("2.0.batch",), {"2.0.batch": []})
    house.users[BOB].finish("1.0.batch")
    house.users[BOB].start("1.0.batch")
    house.users[BOB].tell(Lost("1.0.batch"), Lost("11.0.batch"), Lost("no key"))
    house.users[BOB].start("2.0.batch")
    house.events.started("2.0.batch")
    assert {event.key for event in house.events.all} == {"2.0.batch"}


def test_descriptors_are_passed_on_as_copies(house: House) -> None:
    house.open()
    house.users[ALICE].stops.add("open")
    reading, writing = os.pipe()
    house.engine.launch([_unit("1.0.0.0")], {"1.0.0.0": [reading]})
    os.close(reading)
    os.write(writing, b"hello")
    os.close(writing)
    house.users[ALICE].goes_on.set()
    until(lambda: house.users[ALICE].passed, "the descriptor")
    assert house.users[ALICE].passed == [b"hello"]


# When they are met.


def test_at_the_start_those_are_met_whose_jobs_hold_something(house: House) -> None:
    house.users[ALICE].evidence = knows("1.0.batch", "2.0.batch", since=7.0)
    house.users[BOB].evidence = knows(ended=[end("2.0.batch"), end("1.0.batch")], since=9.0)
    found = house.open(ALICE, BOB)
    assert found.running.keys() == {"1.0.batch"}
    assert [event.key for event in found.events] == ["2.0.batch"]
    assert (found.knows_since(ALICE), found.knows_since(BOB)) == (7.0, 9.0)
    assert found.knows_since(CAROL) > time.time()
    assert found.boot_id == processes.boot_id()
    assert not found.absent
    assert not house.users[CAROL].calls


def test_who_says_nothing_of_any_record_is_told_to_forget_it(house: House) -> None:
    house.users[BOB].evidence = knows(ended=[end("77.0.batch"), end("2.0.batch")])
    house.open(BOB)
    saw(house.users[BOB], "acknowledge", ("77.0.batch",))


def test_who_cannot_be_met_at_the_start_is_absent_and_keeps_nobody_waiting(house: House) -> None:
    house.users[ALICE].evidence = knows("1.0.batch")
    house.users[BOB].stops.add("open")
    house.users[CAROL].refuses = "cannot do it: no"
    found = house.open(ALICE, BOB, CAROL)
    assert found.absent == {BOB, CAROL}
    assert found.running.keys() == {"1.0.batch"}


def test_launches_for_who_is_absent_are_answered_at_once(house: House) -> None:
    house.users[BOB].refuses = "cannot do it: no"
    house.open(BOB)
    house.run("2.0.batch", "1.0.batch")
    (answer,) = house.events.of("2.0.batch")
    assert isinstance(answer, Failed)
    assert (answer.step, answer.message) == ("shepherd", "cannot do it: no")
    saw(house.users[ALICE], "launch", ("1.0.batch",), {"1.0.batch": []})


def test_who_was_absent_is_recovered_when_met_but_not_before_the_others_are(house: House) -> None:
    house.users[BOB].evidence = knows("2.0.batch", "1.0.batch", since=9.0)
    house.users[BOB].refuses = "cannot do it: no"
    house.open(BOB)
    house.users[BOB].refuses = ""
    met: list[tuple[int, Evidence]] = []
    until(lambda: len(house.users[BOB].named("open")) > 1, "another try")
    assert not met
    house.engine.follow(lambda *facts: met.append(facts))
    until(lambda: met, "the recovery")
    (user_id, found), *more = met
    assert (user_id, found.running.keys(), more) == (BOB, {"2.0.batch"}, [])
    assert found.knows_since(BOB) == 9.0
    house.run("12.0.batch")
    saw(house.users[BOB], "launch", ("12.0.batch",), {"12.0.batch": []})


def test_what_recovery_asks_of_who_was_absent_is_done(house: House) -> None:
    house.users[BOB].evidence = knows("2.0.batch", ended=[end("12.0.batch")])
    house.users[BOB].refuses = "cannot do it: no"
    house.open(BOB)
    house.users[BOB].refuses = ""

    def recover(_: int, __: Evidence) -> None:
        house.engine.end("2.0", "cancelled", 0.0)
        house.engine.acknowledge(["12.0.batch"])

    house.engine.follow(recover)
    saw(house.users[BOB], "end", "2.0", "cancelled", 0.0)
    saw(house.users[BOB], "acknowledge", ("12.0.batch",))


def test_who_was_absent_is_met_anew_if_the_recovery_breaks(house: House) -> None:
    house.users[BOB].evidence = knows("2.0.batch", ended=[end("12.0.batch")])
    house.users[BOB].refuses = "cannot do it: no"
    house.open(BOB)
    house.users[BOB].refuses = ""
    met: list[Evidence] = []

    def recover(_: int, evidence: Evidence) -> None:
        met.append(evidence)
        if len(met) < 3:
            raise EngineError("the records are away")

    house.engine.follow(recover)
    until(lambda: len(met) > 2, "the recovery")
    assert [each.running.keys() for each in met] == [{"2.0.batch"}] * 3
    assert [[event.key for event in each.events] for each in met] == [["12.0.batch"]] * 3
    closed = len(house.users[BOB].named("close"))
    assert closed == 2, "each connection but the last is let go"


def test_a_launch_that_finds_no_shepherd_is_answered_and_the_next_tries_again(house: House) -> None:
    house.open()
    house.users[BOB].refuses = "cannot do it: no"
    house.run("2.0.batch")
    assert house.events.failed("2.0.batch").step == "shepherd"
    house.users[BOB].refuses = ""
    house.run("2.0.batch")
    saw(house.users[BOB], "launch", ("2.0.batch",), {"2.0.batch": []})


def test_a_launch_is_answered_while_the_shepherd_is_away(house: House) -> None:
    house.open()
    house.run("2.0.batch")
    saw(house.users[BOB], "launch", ("2.0.batch",), {"2.0.batch": []})
    house.users[BOB].is_connected = False
    house.run("12.0.batch")
    assert "does not answer" in house.events.failed("12.0.batch").message


def test_a_launch_that_breaks_is_answered(house: House) -> None:
    house.open()
    house.run("2.0.batch")
    saw(house.users[BOB], "launch", ("2.0.batch",), {"2.0.batch": []})
    house.users[BOB].fails_with = RuntimeError("a defect")
    house.run("12.0.batch")
    assert house.events.failed("12.0.batch").step == "shepherd"
    house.run("12.0.batch")
    saw(house.users[BOB], "launch", ("12.0.batch",), {"12.0.batch": []})


def test_of_a_launch_that_breaks_half_way_what_was_handed_on_runs(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "_UNITS_PER_FRAME", 2)
    house.open()
    bobs = house.users[BOB]
    launch = bobs.launch

    def break_later(units: Any, descriptors: Any) -> None:
        launch(units, descriptors)
        bobs.fails_with = EngineError("an environment cannot be read")

    monkeypatch.setattr(bobs, "launch", break_later)
    house.run("2.0.0.0", "2.0.0.1", "2.0.0.2")
    assert house.events.failed("2.0.0.2").step == "shepherd"
    bobs.fails_with = None
    bobs.finish("2.0.0.0")
    house.events.ended("2.0.0.0")


def test_a_launch_for_which_there_is_no_thread_is_answered_and_the_next_tries_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.open()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", refuse)
        house.run("2.0.batch")
    assert house.events.failed("2.0.batch").step == "shepherd"
    house.run("2.0.batch")
    saw(house.users[BOB], "launch", ("2.0.batch",), {"2.0.batch": []})


def test_who_has_nothing_to_do_is_let_go_and_met_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendant, "_IDLE_S", 0.02)
    house = House()
    house.open()
    house.run("1.0.batch")
    saw(house.users[ALICE], "launch", ("1.0.batch",), {"1.0.batch": []})
    house.users[ALICE].finish("1.0.batch")
    assert not house.users[ALICE].named("close")
    house.engine.acknowledge(["1.0.batch"])
    saw(house.users[ALICE], "close")
    house.run("11.0.batch")
    saw(house.users[ALICE], "launch", ("11.0.batch",), {"11.0.batch": []})
    assert len(house.users[ALICE].named("open")) == 2
    house.engine.close()


def test_a_shepherd_is_prodded_if_it_is_there(house: House) -> None:
    house.open()
    house.engine.prod(BOB)
    house.run("2.0.batch", "1.0.batch")
    house.engine.prod(BOB)
    saw(house.users[BOB], "prod")
    assert not house.users[ALICE].named("prod")


# Who hangs, hangs alone.


@pytest.mark.parametrize("method", ["open", "launch", "end", "acknowledge"])
def test_who_hangs_keeps_nobody_else_waiting(house: House, method: str) -> None:
    house.open()
    house.users[BOB].stops.add(method)

    def ask() -> None:
        for number in range(20):
            house.run("2.0.batch", f"2.{number}.batch", "1.0.batch")
            house.engine.end("2.0", "cancelled", 0.0)
            house.engine.acknowledge([f"2.{number}.batch"])

    assert timed(ask) < 0.3
    saw(house.users[ALICE], "launch", ("1.0.batch",), {"1.0.batch": []})
    house.users[ALICE].finish("1.0.batch")
    house.events.ended("1.0.batch")
    assert timed(house.engine.close) < 3.0


def test_orders_for_who_takes_none_are_not_kept_without_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendant, "_ORDERS_MAX", 10)
    house.open()
    house.users[BOB].stops.add("launch")
    house.run("2.0.batch")
    for _ in range(100):
        house.engine.signal("2.0", 10, "all")
    house.run("12.0.batch")
    house.users[BOB].stops.clear()
    house.users[BOB].goes_on.set()
    saw(house.users[BOB], "launch", ("12.0.batch",), {"12.0.batch": []})
    assert len(house.users[BOB].named("signal")) <= 10


def test_descriptors_for_who_takes_no_orders_are_not_kept_without_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendant, "_DESCRIPTORS_MAX", 10)
    house.open()
    house.users[BOB].stops.add("launch")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(100):
        key = f"2.0.{number}.0"
        house.engine.launch([_unit(key)], {key: [2, 2, 2]})
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 20
    assert house.events.failed("2.0.99.0").step == "shepherd"


def test_who_does_not_say_how_it_is_is_waited_for_once(house: House) -> None:
    house.open()
    house.run("1.0.batch", "2.0.batch")
    for user_id in (ALICE, BOB):
        until(lambda user=house.users[user_id]: user.units, "the launch")
    house.users[BOB].stops |= {"status", "survey"}
    status = house.engine.status()
    assert status["users"][str(BOB)]["trouble"] == "it does not answer"
    assert status["users"][str(ALICE)]["running"] == status["running"] == 1
    assert timed(house.engine.status) < 0.2
    with pytest.raises(EngineError, match="user 2002: it does not answer"):
        house.engine.survey()
    house.users[BOB].goes_on.set()
    until(lambda: not house.engine.status()["users"][str(BOB)]["trouble"], "bob's status")
    assert house.engine.survey().running == {}


def test_who_is_always_a_little_late_is_waited_for_once_in_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "_ANSWER_S", 0.1)
    monkeypatch.setattr(inquiry, "_LEFT_ALONE_S", 10.0)
    house.open()
    house.run("1.0.batch", "2.0.batch")
    for user_id in (ALICE, BOB):
        until(lambda user=house.users[user_id]: user.units, "the launch")

    def late() -> Mapping[str, Any]:
        time.sleep(0.12)
        return {"pid": 7}

    monkeypatch.setattr(house.users[BOB], "status", late)
    waited_s = 0.0
    for _ in range(10):
        waited_s += timed(house.engine.status)
        time.sleep(0.05)
    assert waited_s < 0.3
    assert house.engine.status()["users"][str(ALICE)]["running"] == 1


def test_a_survey_tells_of_each_user_what_it_may(house: House) -> None:
    house.open()
    house.run("1.0.batch", "2.0.batch")
    for user_id in (ALICE, BOB):
        until(lambda user=house.users[user_id]: user.units, "the launch")
    house.users[ALICE].evidence = knows("1.0.batch")
    house.users[BOB].evidence = knows("2.0.batch", "1.0.batch", "11.0.batch")
    found = house.engine.survey()
    assert found.running.keys() == {"1.0.batch", "2.0.batch"}
    assert found.boot_id == processes.boot_id()


@pytest.mark.parametrize(
    "said",
    [
        {"pid": "x"},
        {"pid": 1, "mode": []},
        {"pid": 1, "mode": "\ud800"},
        {"pid": 1, "running": {}},
        {"pid": 1, "running": 1 << 70},
        {"pid": 1, "running": -5},
        {"pid": 1, "started_at": math.nan},
        {"pid": 1, "started_at": 1e300},
        {"pid": 1, "cpu_s": math.inf},
    ],
)
def test_a_status_that_is_nonsense_is_its_users_trouble(
    house: House, monkeypatch: pytest.MonkeyPatch, said: Mapping[str, Any]
) -> None:
    house.open()
    house.run("2.0.batch")
    until(lambda: house.users[BOB].units, "the launch")
    monkeypatch.setattr(house.users[BOB], "status", lambda: said)
    status = house.engine.status()
    assert "nonsense" in status["users"][str(BOB)]["trouble"]
    assert status["running"] == 0
    assert msgspec.msgpack.encode(status)


@pytest.mark.parametrize("pid", [0, 1])
def test_a_shepherds_words_are_bounded_and_can_be_shown(
    house: House, monkeypatch: pytest.MonkeyPatch, pid: int
) -> None:
    house.open()
    house.run("2.0.batch")
    until(lambda: house.users[BOB].units, "the launch")
    said = {"pid": pid, "trouble": "\x1b]0;mine\a\ud800" + 9_999 * "x"}
    monkeypatch.setattr(house.users[BOB], "status", lambda: said)
    status = house.engine.status()
    trouble = status["users"][str(BOB)]["trouble"]
    assert trouble.startswith("?]0;mine??xx")
    assert len(trouble) < 5_000
    assert msgspec.msgpack.encode(status)


def test_after_it_was_closed_nothing_is_told(house: House) -> None:
    house.open()
    house.run("1.0.batch")
    until(lambda: house.users[ALICE].units, "the launch")
    house.engine.close()
    house.users[ALICE].finish("1.0.batch")
    assert not house.events.all
    assert house.users[ALICE].named("close")
