"""Array tasks that were handed over in advance and taken back stand with their array again."""

from __future__ import annotations

from stoker.core.models import Job
from stoker.engines.base import Withdrawn
from support.recording_engine import Rooms


def hand_over(rooms: Rooms) -> tuple[Job, list[str]]:
    """Submit an array whose tasks are short; return it, and the keys handed over in advance."""
    array = rooms.submit("many", array="0-29")
    rooms.schedule()
    running = len(rooms.engine.launched())
    for _ in range(4):
        rooms.worker.scheduler.note_run(array, 0.001)
    rooms.schedule()
    followers = [unit.key for unit in rooms.engine.launched()[running:]]
    assert followers, "nobody was handed over in advance"
    return array, followers


def take_back(rooms: Rooms, followers: list[str]) -> None:
    """Let half a second pass: who has not started by then is taken back."""
    rooms.wait_s(1.0)
    assert [list(keys) for (keys,) in rooms.engine.asked("withdraw")] == [followers]
    rooms.report(*map(Withdrawn, followers))


def test_a_task_that_was_taken_back_waits_with_its_array_again(make_rooms):
    rooms = make_rooms(follow_depth_max=4)
    array, followers = hand_over(rooms)
    running = len(rooms.engine.launched()) - len(followers)
    take_back(rooms, followers)
    records = rooms.worker.queue.table.array(array.job_id)
    rests = [job.array.format() for job in records if job.array is not None]
    assert rests == [f"{running}-29"]
    assert len(records) == running + 1, [job.display_id for job in records]
    on_record = {job.job_id for job in rooms.worker.repository.active_jobs()}
    assert on_record == {job.job_id for job in records}


def test_numbers_of_tasks_that_went_back_are_not_given_again(make_rooms):
    rooms = make_rooms(follow_depth_max=4)
    _, followers = hand_over(rooms)
    given = {int(unit.key.split(".")[0]) for unit in rooms.engine.launched()}
    take_back(rooms, followers)
    assert rooms.submit("later").job_id > max(given)
