"""Licences: how many are left, and who waits for them."""

from __future__ import annotations

from msgspec.structs import replace

from stoker.core.enums import Reason
from stoker.scheduling.licenses import Licenses
from stoker.scheduling.plan import plan
from stoker.scheduling.snapshot import Queue, Shape, Snapshot, Waiting
from support.machines import free_node, shape

NOW = 1000.0


def wants(**licenses: int) -> Shape:
    return replace(shape(), licenses=tuple(sorted(licenses.items())))


def queue(job_id: int, wanted: Shape) -> Queue:
    return Queue(wanted, (Waiting(job_id, (job_id,), 1),))


def test_jobs_wait_for_licences_and_let_others_pass() -> None:
    wanted = wants(matlab=3)
    queues = [queue(1, wanted), queue(2, wants(matlab=2)), queue(3, shape())]
    left = Licenses.beside({"matlab": 4}, ())
    decided = plan(Snapshot(queues, (), (free_node(8),), left), NOW)
    assert [start.job_id for start in decided.starts] == [1, 3]
    assert decided.reason(wants(matlab=2), 2) == Reason.LICENSES
    assert left.refusal(wants(matlab=4)) == "", "a plan takes of a copy"


def test_what_runs_holds_licences() -> None:
    left = Licenses.beside({"matlab": 4, "ansys": 1}, [wants(matlab=3), wants(ansys=2)])
    assert left.refusal(wants(matlab=1)) == ""
    assert left.refusal(wants(matlab=2)) == Reason.LICENSES
    assert left.refusal(wants(ansys=1)) == Reason.LICENSES
    assert left.refusal(wants(unknown=1)) == Reason.LICENSES


def test_further_limits_are_asked_too_and_told_of_starts() -> None:
    inner = Licenses({"inner": 1})
    both = Licenses({"outer": 1}, inner)
    wanted = wants(outer=1)
    assert both.refusal(wanted) == inner.refusal(wanted) == Reason.LICENSES
    assert both.refusal(shape()) == ""
    apart = both.copy()
    apart.start(wants(inner=1), ())
    assert inner.refusal(wants(inner=1)) == ""
