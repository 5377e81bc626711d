"""Which records a reference names: active, ended of late, or ended at any time."""

from __future__ import annotations

import pytest

from stoker.core.errors import UnknownJob
from stoker.worker.selection import Selection
from support.recording_engine import ref


@pytest.fixture
def selection(rooms):
    return Selection(rooms.queue.table, rooms.worker.repository)


@pytest.fixture
def array(rooms):
    """An array 1_[1-6] of which task 1 (job 2) has ended and task 2 (job 3) runs."""
    rooms.submit(array="1-6%1")
    rooms.schedule()
    rooms.start(2)
    rooms.finish(2)
    rooms.start(3)
    return rooms


def named(targets):
    return [(target.job.display_id, target.tasks and str(target.tasks)) for target in targets]


def test_an_id_names_a_job(rooms, selection):
    rooms.submit()
    assert named(selection.active(ref(1))) == [("1", None)]
    assert selection.active(ref(2)) == []


def test_an_arrays_id_names_its_rest_and_all_its_tasks(array, selection):
    assert named(selection.active(ref(1))) == [("1_[3-6%1]", None), ("1_2", None)]
    assert [job.display_id for job in selection.known(ref(1), 0)] == ["1_[3-6%1]", "1_1", "1_2"]
    assert [job.display_id for job, _ in selection.ended(ref(1))] == ["1_1"]


def test_a_tasks_own_number_names_it_alone(array, selection):
    assert named(selection.active(ref(3))) == [("1_2", None)]


def test_tasks_are_named_where_they_are_in_the_rest_or_by_themselves(array, selection):
    assert named(selection.active(ref("1_2"))) == [("1_2", None)]
    assert named(selection.active(ref("1_[2,4,6]"))) == [("1_[3-6%1]", "4,6"), ("1_2", None)]
    assert named(selection.active(ref("1_[3-6]"))) == [("1_[3-6%1]", None)]
    assert selection.active(ref("1_99")) == []


def test_what_ended_long_ago_is_known_to_accounting_only(array, selection):
    with pytest.raises(UnknownJob, match="cannot find job 1_1"):
        selection.known(ref("1_1"), array.now_s + 1)
    assert [job.display_id for job, _ in selection.ended(ref("1_1"))] == ["1_1"]


def test_tasks_cancelled_before_they_started_are_not_shown_any_more_as_in_slurm(array, selection):
    array.ask("cancel", "1_[4-5]")
    shown = [job.display_id for job in selection.known(ref(1), 0)]
    assert shown == ["1_[3,6%1]", "1_1", "1_2"]
    assert [job.display_id for job, _ in selection.ended(ref("1_4"))] == ["1_[4-5%1]"]
    with array.queue.turn():
        assert [job.display_id for job in array.control.recent_jobs()] == ["1_1"]


def test_a_whole_array_that_was_cancelled_while_it_waited_is_shown(rooms, selection):
    rooms.submit(array="1-6", hold=True)
    rooms.ask("cancel", 1)
    assert [job.display_id for job in selection.known(ref(1), 0)] == ["1_[1-6]"]


def test_nobody_knows_what_never_was(selection):
    with pytest.raises(UnknownJob, match="cannot find job 7"):
        selection.known(ref(7), 0)
    assert selection.ended(ref(7)) == []
