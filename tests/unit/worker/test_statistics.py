"""What the daemon does is counted as it happens."""

from __future__ import annotations

import pytest

from stoker.core.enums import JobState
from stoker.worker.call import Answer, Conversation, ReadFile
from stoker.worker.statistics import Statistics, TimedConversation
from support.recording_engine import ALICE, Rooms


def test_jobs_and_passes_are_counted(rooms: Rooms) -> None:
    counted = rooms.worker.ledger.statistics
    running = rooms.running(ntasks=8)
    rooms.submit(ntasks=8)
    rooms.schedule()
    rooms.finish(running)
    assert (counted.submitted, counted.started) == (2, 1)
    assert counted.ended == {JobState.COMPLETED: 1}
    assert counted.cycles.count >= 2
    assert counted.backfill.count >= 1
    assert counted.cycles.last_at == rooms.now_s


def test_who_goes_before_a_reservation_is_backfilled(rooms: Rooms) -> None:
    rooms.running(ntasks=4, time_limit_s=600.0)
    rooms.submit(ntasks=8)
    rooms.submit(ntasks=1, time_limit_s=60.0)
    rooms.schedule()
    assert rooms.worker.ledger.statistics.backfilled_ever == 1


def test_a_conversation_is_timed_only_while_it_is_worked_on() -> None:
    stretches: list[float] = []

    def conversation() -> Conversation:
        try:
            yield ReadFile("job.sh")
        except FileNotFoundError:
            yield ReadFile("other.sh")
        return Answer(out="done\n")

    timed = TimedConversation(conversation(), stretches.append)
    assert next(timed) == ReadFile("job.sh")
    assert timed.throw(FileNotFoundError()) == ReadFile("other.sh")
    with pytest.raises(StopIteration) as done:
        timed.send(b"")
    assert done.value.value == Answer(out="done\n")
    assert len(stretches) == 3
    timed.close()


def test_more_work_on_a_call_is_no_more_calls() -> None:
    counted = Statistics()
    counted.note_call("sbatch", ALICE, 0.001)
    counted.note_call("sbatch", ALICE, 0.002, count=0)
    assert (counted.by_program["sbatch"].count, counted.by_program["sbatch"].mean_us) == (1, 3000)
