from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stoker.core.enums import Hold, JobState, Reason
from stoker.core.errors import Infeasible, InvalidSpec, NotAllowed, UnknownJob
from stoker.core.messages import (
    PAGE_MAX,
    BackupRequest,
    Changed,
    Draft,
    Explanation,
    Finding,
    JobDetail,
    JobFilter,
    JobRequest,
    JobsRequest,
    JobView,
    NodeView,
    Page,
    Receipt,
    Refusal,
    Stop,
    Submit,
    Surroundings,
)
from stoker.core.models import JobSpec
from stoker.core.units import TaskSet, parse_dependency
from stoker.worker.call import Call, UntilEnded
from stoker.worker.requests import Submission
from stoker.worker.rpc import Rpc
from support.controller import ALICE, BOB, FakeController

HERE = Surroundings.of("/work", ["A=1", "A=2", "B=x=y"], 0o027, {"core": (0, -1)})


class FakeHousehold:
    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def status(self) -> Mapping[str, Any]:
        return {"home": "/home/x", "stokerd": {"pid": 1}}

    def request_stop(self, *, cancel: bool) -> None:
        self.done.append(("stop", cancel))

    def check(self) -> Sequence[Finding]:
        return [Finding(subject="database", is_ok=True, text="is intact")]

    def back_up(self, path: Path) -> None:
        self.done.append(("backup", path))


class Desk:
    """An `Rpc` over a fake controller, asked in Python."""

    def __init__(self) -> None:
        self.controller = FakeController()
        self.household = FakeHousehold()
        self.calls: list[Call] = []
        self.rpc = Rpc(self.controller, self.household, self._read_draft)

    def _read_draft(self, call: Call, script: bytes) -> Submission:
        self.calls.append(call)
        if "bad" in call.argv:
            raise InvalidSpec("cannot read it: it is bad", "ESLURM_BAD")
        spec = JobSpec(name=call.argv[0], argv=call.argv, work_dir=call.work_dir)
        return Submission(spec=spec, owner=call.owner, script=script, key=call.key)

    def ask(self, method: str, params: object, result: Any = Any) -> Any:
        body = self.begin(method, params)
        if not isinstance(body, bytes):
            with pytest.raises(StopIteration) as stop:
                next(body)
            body = stop.value.value
        return msgspec.msgpack.decode(body, type=result)

    def begin(self, method: str, params: object) -> Any:
        """Ask; return the answer, or the conversation that waits."""
        return self.rpc.handle(method, msgspec.msgpack.encode(params), ALICE)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def submit(desk: Desk, *drafts: Draft) -> Receipt:
    return desk.ask("submit", Submit(drafts=drafts, surroundings=HERE), Receipt)


# --- Submitting.


def test_drafts_are_read_as_sbatch_reads_them_and_taken_in_order(desk):
    assert submit(desk, Draft.of(["a"], key="k1"), Draft.of(["b"], b"#!x", key="k2")) == Receipt(
        (1, 2)
    )
    first, second = desk.calls
    assert (first.program, first.argv, first.key) == ("sbatch", ("a",), "k1")
    assert first.owner == ALICE
    assert first.work_dir == "/work"
    assert first.environment == {"A": "1", "B": "x=y"}
    assert first.umask == 0o027
    assert first.rlimits == {"core": (0, -1)}
    assert second.key == "k2"
    assert [each.script for each in desk.controller.submissions] == [b"", b"#!x"]


def test_the_first_bad_draft_ends_it_and_those_before_stay(desk):
    receipt = submit(desk, Draft.of(["a"]), Draft.of(["bad"]), Draft.of(["c"]))
    assert receipt.job_ids == (1,)
    assert receipt.refusal is not None
    assert (receipt.refusal.type, receipt.refusal.code) == ("InvalidSpec", "ESLURM_BAD")
    assert len(desk.controller.submissions) == 1


def test_what_can_never_run_is_refused_as_such(desk):
    desk.controller.refusals["submit"] = Infeasible("it needs more than there is")
    receipt = submit(desk, Draft.of(["a"]))
    assert receipt.refusal is not None
    assert receipt.refusal.type == "Infeasible"


def test_words_that_are_no_text_come_through_and_are_shown_with_escapes(desk):
    submit(desk, Draft.of(["caf\udce9"]))
    assert desk.calls[0].argv == ("caf\udce9",)
    [job] = desk.ask("jobs", JobFilter(), Page).jobs
    assert job.name == r"caf\xe9"


# --- Looking.


def test_jobs_are_those_that_have_not_ended_by_number(desk):
    desk.controller.add(3)
    desk.controller.add(1)
    desk.controller.add(2, state=JobState.COMPLETED, end_at=5.0)
    page = desk.ask("jobs", JobFilter(), Page)
    assert [job.job_id for job in page.jobs] == [1, 3]
    assert page.next_after is None


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (JobFilter(states=("RUNNING",)), [2]),
        (JobFilter(states=("pd", "R")), [1, 2, 3]),
        (JobFilter(users=("alice",)), [1, 2, 3]),
        (JobFilter(users=("bob",)), []),
        (JobFilter(names=("other",)), [3]),
        (JobFilter(partitions=("short",)), [3]),
        (JobFilter(names=("other",), states=("RUNNING",)), []),
        (JobFilter(ids=("1", "3")), [1, 3]),
    ],
)
def test_jobs_match_every_field_that_says_something(desk, wanted, ids):
    desk.controller.add(1)
    desk.controller.start(desk.controller.add(2))
    desk.controller.add(3, spec={"name": "other"}, partition="short")
    assert [job.job_id for job in desk.ask("jobs", wanted, Page).jobs] == ids


def test_drafts_that_are_alike_but_for_their_keys_are_read_once(desk):
    drafts = tuple(Draft.of(["--", "true"], key=f"key-{number}") for number in range(5))
    other = Draft.of(["-n2", "--", "true"], key="other")
    receipt = desk.ask("submit", Submit(drafts=(*drafts, other), surroundings=HERE), Receipt)
    assert len(set(receipt.job_ids)) == 6
    keys = [submission.key for submission in desk.controller.submissions]
    assert keys == ["key-0", "key-1", "key-2", "key-3", "key-4", "other"]


def test_long_lists_come_in_pages_and_no_job_is_missing_or_doubled(desk):
    for job_id in range(1, 2 * PAGE_MAX + 6):
        desk.controller.add(job_id)
    wanted, seen = JobFilter(), []
    while True:
        page = desk.ask("jobs", wanted, Page)
        assert len(page.jobs) <= PAGE_MAX
        seen += [job.job_id for job in page.jobs]
        if page.next_after is None:
            break
        wanted = JobFilter(after=page.next_after)
    assert seen == list(range(1, 2 * PAGE_MAX + 6))


def test_a_daemon_that_forgot_the_list_goes_on_behind_the_last_job(desk):
    for job_id in range(1, PAGE_MAX + 3):
        desk.controller.add(job_id)
    page = desk.ask("jobs", JobFilter(after=PAGE_MAX), Page)
    assert [job.job_id for job in page.jobs] == [PAGE_MAX + 1, PAGE_MAX + 2]


def test_a_page_looks_at_so_many_jobs_and_is_short_where_few_match(desk):
    for job_id in range(1, 20_001):
        desk.controller.add(job_id)
    desk.controller.add(20_001, spec={"name": "rare"})
    wanted, pages = JobFilter(names=("rare",)), []
    while True:
        page = desk.ask("jobs", wanted, Page)
        pages.append([job.job_id for job in page.jobs])
        if page.next_after is None:
            break
        wanted = msgspec.structs.replace(wanted, after=page.next_after)
    assert [job_id for page in pages for job_id in page] == [20_001]
    assert len(pages) > 2


def test_a_job_that_ends_before_its_page_is_not_listed_as_active(desk):
    jobs = [desk.controller.add(job_id) for job_id in range(1, PAGE_MAX + 4)]
    desk.ask("jobs", JobFilter(), Page)
    jobs[-1].state, jobs[-1].end_at = JobState.CANCELLED, 1.0
    page = desk.ask("jobs", JobFilter(after=PAGE_MAX), Page)
    assert [job.job_id for job in page.jobs] == [PAGE_MAX + 1, PAGE_MAX + 2]


def test_a_user_that_is_not_there_is_named(desk):
    with pytest.raises(InvalidSpec, match="the jobs of nobody-at-all: there is no such user"):
        desk.ask("jobs", JobFilter(ended=True, users=("nobody-at-all",)))


def test_details_tell_where_output_goes(desk):
    job = desk.controller.add(
        7, spec={"stdout": "out-%j-%x", "work_dir": "/work", "stdin": "/dev/null"}
    )
    desk.controller.start(job)
    [detail] = desk.ask("details", JobRequest(id="7"), tuple[JobDetail, ...])
    assert detail.stdout == "/work/out-7-wrap"
    assert detail.stderr == detail.stdout
    assert detail.job.nodes == ("node1",)


def test_tasks_that_wait_together_have_files_of_their_own(desk):
    spec = {"stdout": "out-%A_%a", "work_dir": "/work"}
    desk.controller.add(7, array_job_id=7, array=TaskSet(range(5)), spec=spec)
    [detail] = desk.ask("details", JobRequest(id="7"), tuple[JobDetail, ...])
    assert detail.stdout == "/work/out-%A_%a"


def test_an_unknown_job_is_an_error_of_its_class(desk):
    for method in ("details", "why", "script"):
        with pytest.raises(UnknownJob):
            desk.ask(method, JobRequest(id="99"))


@pytest.mark.parametrize("text", ["", "x", "0", "1_", "1;2"])
def test_what_is_no_id_is_refused_with_an_example(desk, text):
    with pytest.raises(InvalidSpec, match="as in 42"):
        desk.ask("why", JobRequest(id=text))


def test_nodes_show_what_is_in_use(desk):
    nodes = desk.ask("nodes", None, tuple[NodeView, ...])
    assert [(node.name, node.cpus, node.allocated_cpus) for node in nodes] == [
        ("node1", 8, 0),
        ("node2", 8, 0),
    ]


def test_an_arrays_waiting_tasks_are_counted_one_by_one(desk):
    desk.controller.add(1, array_job_id=1, array=TaskSet(range(98)))
    desk.controller.add(2, array_job_id=1, array_task_id=98, state=JobState.RUNNING)
    assert desk.ask("tally", JobsRequest(("1",))) == {"PENDING": 98, "RUNNING": 1}
    assert desk.ask("status", None)["jobs"] == {"PENDING": 98, "RUNNING": 1}


# --- Waiting.


def test_who_waits_for_an_array_is_answered_when_all_of_it_has_ended(desk):
    task = desk.controller.add(7, array_job_id=7, array_task_id=0, state=JobState.RUNNING)
    waiting = desk.begin("wait", JobsRequest(("7",)))
    assert next(waiting).job_ids == (7,)
    task.state = JobState.COMPLETED
    assert _answer(waiting) == ["COMPLETED"]


def test_what_ended_in_this_very_turn_is_awaited_only_once(desk):
    desk.controller.add(7, state=JobState.RUNNING)
    waiting = desk.begin("wait", JobsRequest(("7",)))
    assert next(waiting).job_ids == (7,)
    assert _answer(waiting) == ["RUNNING"]


def test_the_answer_has_what_had_ended_before_and_what_has_ended_since_each_once(desk):
    desk.controller.add(5, state=JobState.FAILED)
    desk.controller.add(7, array_job_id=7, array=TaskSet([1, 2]))
    desk.controller.add(8, array_job_id=7, array_task_id=0, state=JobState.COMPLETED)
    waiting = desk.begin("wait", JobsRequest(("7", "5", "7_0")))
    assert next(waiting).job_ids == (7,)
    ended = [
        desk.controller.add(9, array_job_id=7, array_task_id=1, state=JobState.COMPLETED),
        desk.controller.add(10, array_job_id=7, array_task_id=2, state=JobState.TIMEOUT),
    ]
    assert _answer(waiting, ended) == ["COMPLETED", "COMPLETED", "TIMEOUT", "FAILED"]


def test_a_task_that_got_a_number_of_its_own_meanwhile_is_awaited_by_that(desk):
    desk.controller.add(7, array_job_id=7, array_task_id=0, state=JobState.RUNNING)
    desk.controller.add(12, array_job_id=7, array=TaskSet([5, 6]))
    waiting = desk.begin("wait", JobsRequest(("7_5",)))
    assert next(waiting).job_ids == (12,)
    task = desk.controller.add(20, array_job_id=7, array_task_id=5, state=JobState.RUNNING)
    last = desk.controller.add(12, array_job_id=7, array_task_id=6, state=JobState.COMPLETED)
    assert waiting.send([last]).job_ids == (20,)
    task.state = JobState.FAILED
    assert _answer(waiting, [task]) == ["FAILED"]


def _answer(waiting, ended=()) -> list[str]:
    with pytest.raises(StopIteration) as stop:
        waiting.send(ended)
    return [view.state for view in msgspec.msgpack.decode(stop.value.value, type=list[JobView])]


# --- Why.


def why(desk: Desk, job_id: str) -> Explanation:
    return desk.ask("why", JobRequest(id=job_id), Explanation)


def test_why_of_who_waits_for_others_names_them(desk):
    desk.controller.add(1, state=JobState.FAILED, spec={"name": "first"})
    desk.controller.add(
        2, reason=Reason.DEPENDENCY_NEVER_SATISFIED, dependency=parse_dependency("afterok:1")
    )
    explanation = why(desk, "2")
    assert "will never start" in explanation.summary
    assert "Its dependency: afterok:1." in explanation.facts
    assert "Job 1 (first) is FAILED." in explanation.facts
    assert "`stoker cancel 2`" in " ".join(explanation.remedies)


def test_why_of_who_waits_for_room_tells_what_is_asked_for_and_what_is_free(desk):
    desk.controller.add(1, reason=Reason.RESOURCES, spec={"ntasks": 4})
    assert why(desk, "1").facts[0] == (
        "It asks for 4 CPUs and 4000 MiB; 16 CPUs and 32000 MiB of 16 CPUs are free."
    )


def test_why_of_a_held_job_tells_how_to_let_it_go(desk):
    desk.controller.add(1, reason=Reason.JOB_HELD_USER, hold=Hold.USER)
    assert why(desk, "1").remedies == ("`stoker release 1` lets it go.",)


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        ({"state": JobState.RUNNING}, "It runs."),
        ({"state": JobState.COMPLETED}, "It ran to its end with exit code 0."),
        ({"state": JobState.FAILED, "exit_code": 3}, "It failed: it ended with exit code 3."),
        ({"state": JobState.FAILED, "exit_signal": 9}, "It failed: signal 9 ended it."),
        ({"state": JobState.FAILED, "message": "no such file"}, "It failed: no such file."),
        ({"state": JobState.TIMEOUT}, "It reached its time limit and was ended."),
    ],
)
def test_why_of_who_does_not_wait_tells_what_became_of_it(desk, fields, summary):
    desk.controller.add(1, **fields)
    assert why(desk, "1").summary == summary


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence(desk, reason):
    desk.controller.add(1, reason=reason)
    summary = why(desk, "1").summary
    assert summary.endswith(".")


def test_every_end_has_a_sentence(desk):
    for state in JobState:
        desk.controller.add(1, state=state)
        assert why(desk, "1").summary


# --- Waiting.


def test_wait_asks_for_the_end_and_gives_the_jobs(desk):
    job = desk.controller.add(7)
    talk = desk.rpc.handle("wait", msgspec.msgpack.encode(JobsRequest(("7",))), ALICE)
    assert not isinstance(talk, bytes)
    assert next(talk) == UntilEnded((7,))
    job.state = JobState.COMPLETED
    with pytest.raises(StopIteration) as stop:
        talk.send([job])
    [view] = msgspec.msgpack.decode(stop.value.value, type=tuple[JobView, ...])
    assert view.state == "COMPLETED"


def test_wait_for_what_has_ended_does_not_wait(desk):
    desk.controller.add(7, state=JobState.COMPLETED)
    talk = desk.rpc.handle("wait", msgspec.msgpack.encode(JobsRequest(("7",))), ALICE)
    with pytest.raises(StopIteration):
        next(talk)


def test_wait_for_an_array_waits_for_all_its_tasks(desk):
    desk.controller.add(7, array_job_id=7, array=TaskSet([2, 3]))
    desk.controller.add(8, array_job_id=7, array_task_id=1, state=JobState.RUNNING)
    talk = desk.rpc.handle("wait", msgspec.msgpack.encode(JobsRequest(("7",))), ALICE)
    assert next(talk) == UntilEnded((7,))
    talk = desk.rpc.handle("wait", msgspec.msgpack.encode(JobsRequest(("7_1",))), ALICE)
    assert next(talk) == UntilEnded((8,))


def test_wait_for_what_is_not_known_is_an_error(desk):
    talk = desk.rpc.handle("wait", msgspec.msgpack.encode(JobsRequest(("99",))), ALICE)
    with pytest.raises(UnknownJob):
        next(talk)


# --- Changing, the daemon.


@pytest.mark.parametrize(
    ("method", "request_", "call"),
    [
        ("cancel", JobsRequest(("7_[1-3]",)), ("7_[1-3]", "alice")),
        ("hold", JobsRequest(("7",)), ("7", "alice", True)),
        ("release", JobsRequest(("7",)), ("7", "alice")),
        ("requeue", JobsRequest(("7",), hold=True), ("7", "alice", True)),
    ],
)
def test_changes_reach_the_controller_in_the_callers_name(desk, method, request_, call):
    desk.controller.add(7, array_job_id=7, array=TaskSet(range(5)))
    assert desk.ask(method, request_, Changed) == Changed()
    assert desk.controller.called(method) == [call]


def test_to_cancel_an_unknown_job_is_an_error_and_an_ended_one_is_left_alone(desk):
    desk.controller.add(7, state=JobState.COMPLETED, end_at=1.0)
    changed = desk.ask("cancel", JobsRequest(("99", "7")), Changed)
    assert {job_id: why.type for job_id, why in changed.refusals.items()} == {"99": "UnknownJob"}


def test_what_one_job_refuses_does_not_keep_the_next_from_it(desk):
    desk.controller.refusals["hold"] = NotAllowed("cannot: it runs", "ESLURM_RUNNING")
    changed = desk.ask("hold", JobsRequest(("7", "x", "8")), Changed)
    assert desk.controller.called("hold") == [("7", "alice", True), ("8", "alice", True)]
    assert changed.refusals["7"] == Refusal("NotAllowed", "cannot: it runs", "ESLURM_RUNNING")
    assert changed.refusals["x"].type == "InvalidSpec"


def test_the_household_is_asked_for_what_is_not_the_queues(desk):
    status = desk.ask("status", None)
    assert status["home"] == "/home/x"
    assert status["cpus"] == {"total": 16, "allocated": 0}
    desk.ask("shutdown", Stop(cancel=True))
    desk.ask("backup", BackupRequest("/x/y.db"))
    assert desk.household.done == [("stop", True), ("backup", Path("/x/y.db"))]
    assert desk.ask("doctor", None, tuple[Finding, ...])[0].subject == "database"


@pytest.mark.parametrize(
    ("method", "params", "judge"),
    [
        ("shutdown", Stop(), "check_keeper"),
        ("shutdown", Stop(cancel=True), "check_keeper"),
        ("doctor", None, "check_keeper"),
        ("backup", BackupRequest("/etc/passwd"), "check_host"),
    ],
)
def test_the_daemon_is_stopped_examined_and_copied_for_those_who_may_only(
    desk, method, params, judge
):
    desk.controller.refusals[judge] = NotAllowed("cannot do that: ask root")
    with pytest.raises(NotAllowed, match="ask root"):
        desk.ask(method, params)
    assert desk.household.done == []


def test_a_script_is_shown_to_its_owner_and_not_to_others(desk):
    job = desk.controller.submit(Submission(spec=JobSpec(name="x"), owner=BOB, script=b"#!secret"))
    with pytest.raises(NotAllowed, match="it belongs to bob") as refusal:
        desk.ask("script", JobRequest(id=str(job.job_id)))
    assert refusal.value.code == "ESLURM_USER_ID_MISSING"


def test_a_stop_that_cancels_comes_when_all_jobs_have_ended(desk):
    desk.controller.add(1)
    desk.controller.add(5, array_job_id=5, array=TaskSet([2, 3]))
    desk.controller.add(6, array_job_id=5, array_task_id=1, state=JobState.RUNNING)
    talk = desk.rpc.handle("shutdown", msgspec.msgpack.encode(Stop(cancel=True)), ALICE)
    assert next(talk) == UntilEnded((1, 5))
    assert [call[0] for call in desk.controller.called("cancel")] == ["1", "5", "6"]
    assert desk.household.done == []
    with pytest.raises(StopIteration):
        talk.send([])
    assert desk.household.done == [("stop", True)]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("why", b""),
        ("why", b"\xc1"),
        ("why", b"\x91" * 100_000),
        ("why", msgspec.msgpack.encode({"id": 7})),
        ("status", msgspec.msgpack.encode(7)),
        ("no-such-method", b"\xc0"),
        ("__init__", b"\xc0"),
    ],
)
def test_requests_that_say_nothing_sensible_are_refused(desk, method, params):
    with pytest.raises(InvalidSpec, match=r"cannot (read|answer)"):
        desk.rpc.handle(method, params, ALICE)
