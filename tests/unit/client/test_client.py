from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stoker.client import client as module
from stoker.client.channel import HungUp, SentAway, TurnedDown
from stoker.client.client import Client
from stoker.core.errors import DaemonUnavailable, InvalidSpec, NotAllowed, StokerError, UnknownJob
from stoker.core.messages import (
    DRAFTS_MAX,
    Changed,
    Draft,
    JobFilter,
    JobView,
    Page,
    Receipt,
    Refusal,
    Submit,
    Surroundings,
)

HERE = Surroundings.of("/work", ["A=1"])


class Wire:
    """Stands for all channels: gives the answers it has, in order, and notes what was asked."""

    def __init__(self) -> None:
        self.answers: list[object] = []
        self.asked: list[tuple[str, bytes]] = []
        self.connections = 0
        self.closed = 0

    def __call__(self, home: Path) -> Wire:
        self.connections += 1
        if self.answers and isinstance(self.answers[0], FileNotFoundError):
            raise self.answers.pop(0)
        return self

    def ask(self, method: str, params: bytes, timeout_s: float | None = None) -> bytes:
        self.asked.append((method, params))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return msgspec.msgpack.encode(answer)

    def close(self) -> None:
        self.closed += 1

    def submitted(self) -> list[Submit]:
        return [msgspec.msgpack.decode(params, type=Submit) for _, params in self.asked]


@pytest.fixture
def wire(monkeypatch) -> Wire:
    found = Wire()
    monkeypatch.setattr(module, "Channel", found)
    monkeypatch.setattr("stoker.client.daemon._PAUSES_S", (0.0,))
    monkeypatch.setattr("stoker.client.daemon.PATIENCE_S", 0.05)
    return found


@pytest.fixture
def client(wire) -> Client:
    return Client("/nowhere", start=lambda home: None)


def view(job_id: int, **fields) -> JobView:
    given = {
        "name": "n", "user": "u", "partition": "p", "state": "PENDING", "reason": "None",
        "cpus": 1, "memory_mib": 1, "submit_at": 1.0,
    }  # fmt: skip
    return JobView(id=str(job_id), job_id=job_id, **(given | fields))


def test_one_connection_serves_all_requests(wire, client):
    wire.answers = [{"home": "/nowhere"}, {"home": "/nowhere"}]
    client.status()
    client.status()
    assert wire.connections == 1


def test_a_submission_is_repeated_with_the_same_key_when_the_connection_breaks(wire, client):
    wire.answers = [HungUp(), Receipt((7,))]
    assert client.submit("--", "true") == 7
    first, second = wire.submitted()
    assert first.drafts == second.drafts
    assert first.drafts[0].key
    assert wire.connections == 2


def test_each_draft_has_a_key_of_its_own(wire, client):
    wire.answers = [Receipt((1, 2)), Receipt((3,))]
    list(client.submit_many([Draft.of(["--", "a"]), Draft.of(["--", "a"])], HERE))
    list(client.submit_many([Draft.of(["--", "a"])], HERE))
    keys = {draft.key for request in wire.submitted() for draft in request.drafts}
    assert len(keys) == 3


def test_a_key_that_the_caller_chose_is_kept(wire, client):
    wire.answers = [Receipt((1,))]
    list(client.submit_many([Draft.of(["--", "a"], key="mine")], HERE))
    assert wire.submitted()[0].drafts[0].key == "mine"


def test_thousands_go_in_few_requests_none_of_them_long(wire, client):
    count = 3 * DRAFTS_MAX + 1
    wire.answers = [
        Receipt(tuple(range(start, min(start + DRAFTS_MAX, count))))
        for start in range(0, count, DRAFTS_MAX)
    ]
    drafts = (Draft.of(["--", str(number)]) for number in range(count))
    assert list(client.submit_many(drafts, HERE)) == list(range(count))
    assert [len(request.drafts) for request in wire.submitted()] == [DRAFTS_MAX] * 3 + [1]


def test_large_scripts_are_not_put_into_one_request(wire, client):
    wire.answers = [Receipt((1,)), Receipt((2,))]
    script = b"#!/bin/sh\n" + b"x" * (5 << 20)
    assert list(client.submit_many([Draft.of([], script)] * 2, HERE)) == [1, 2]
    assert len(wire.asked) == 2


def test_a_refusal_comes_as_its_class_after_the_ids_before_it(wire, client):
    wire.answers = [Receipt((1, 2), Refusal("InvalidSpec", "cannot read it", "ESLURM_X"))]
    ids = client.submit_many([Draft.of(["--", "a"])] * 3, HERE)
    assert [next(ids), next(ids)] == [1, 2]
    with pytest.raises(InvalidSpec, match="cannot read it") as caught:
        next(ids)
    assert caught.value.code == "ESLURM_X"


def test_a_class_of_a_newer_daemon_is_a_plain_error(wire, client):
    wire.answers = [Receipt((), Refusal("Unheard", "cannot, for a new reason"))]
    with pytest.raises(StokerError, match="for a new reason"):
        client.submit("--", "true")


def test_what_the_daemon_raises_is_not_asked_again(wire, client):
    wire.answers = [UnknownJob(42)]
    with pytest.raises(UnknownJob):
        client.job(42)
    assert len(wire.asked) == 1


def test_pages_are_asked_for_until_there_are_no_more(wire, client):
    wire.answers = [Page((view(1), view(2)), 2), Page((view(3),))]
    assert [job.job_id for job in client.jobs(JobFilter(users=("u",)))] == [1, 2, 3]
    filters = [msgspec.msgpack.decode(params, type=JobFilter) for _, params in wire.asked]
    assert [each.after for each in filters] == [0, 2]
    assert all(each.users == ("u",) for each in filters)


def test_many_jobs_are_changed_in_few_requests_and_all_refusals_come_back(wire, client):
    wire.answers = [
        Changed({"1": Refusal("UnknownJob", "cannot find job 1")}),
        Changed({"300": Refusal("NotAllowed", "cannot hold job 300")}),
    ]
    refusals = client.change("hold", range(DRAFTS_MAX + 100))
    assert len(wire.asked) == 2
    assert {job_id: type(error) for job_id, error in refusals.items()} == {
        "1": UnknownJob,
        "300": NotAllowed,
    }


def test_a_change_of_some_jobs_raises_what_the_first_refuses(wire, client):
    wire.answers = [Changed({"1": Refusal("UnknownJob", "cannot find job 1")})]
    with pytest.raises(UnknownJob, match="cannot find job 1"):
        client.cancel(1, 2)


def test_a_requeue_is_not_sent_twice_by_itself(wire, client):
    wire.answers = [HungUp()]
    with pytest.raises(DaemonUnavailable, match="cannot tell whether the requeue was done"):
        client.requeue(42)
    assert len(wire.asked) == 1


def test_a_requeue_that_was_never_sent_is_tried_again(wire, client):
    wire.answers = [FileNotFoundError(2, "No such file or directory"), Changed()]
    client.requeue(42)
    assert len(wire.asked) == 1


def test_an_absent_daemon_is_started(wire):
    homes: list[Path] = []
    wire.answers = [FileNotFoundError(2, "No such file or directory"), {"version": "x"}]
    client = Client("/nowhere", start=homes.append)
    assert client.status() == {"version": "x"}
    assert homes == [Path("/nowhere")]


def test_who_is_sent_away_says_why(wire, client):
    # More than can be asked for in the time that a client has patience.
    wire.answers = [SentAway("stokerd is stopping")] * 100_000
    with pytest.raises(DaemonUnavailable, match="stokerd is stopping; try again later"):
        client.status()


def test_who_is_not_served_does_not_insist(wire, client):
    wire.answers = [TurnedDown("Access/permission denied")]
    with pytest.raises(StokerError, match="Access/permission denied"):
        client.status()
    assert len(wire.asked) == 1


def test_after_a_timeout_the_connection_is_not_used_again(wire, client):
    wire.answers = [TimeoutError(), {"version": "x"}]
    with pytest.raises(TimeoutError):
        client.wait(1, timeout_s=0.01)
    assert wire.closed == 1
    assert client.status() == {"version": "x"}
    assert wire.connections == 2


def test_closing_twice_does_no_harm(wire):
    wire.answers = [{}]
    with Client("/nowhere") as client:
        client.status()
    client.close()
    assert wire.closed == 1


@pytest.mark.parametrize(
    ("state", "code", "status"),
    [
        ("COMPLETED", "0:0", 0),
        ("FAILED", "3:0", 3),
        ("FAILED", "0:9", 137),
        ("CANCELLED", "0:0", 1),
        ("TIMEOUT", "0:0", 1),
        ("FAILED", "-999:0", 25),
        ("FAILED", "256:0", 1),
    ],
)
def test_a_jobs_status_is_what_a_shell_would_give(state, code, status):
    assert view(1, state=state, exit_code=code).status == status
