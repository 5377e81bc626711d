"""What the daemon does is counted as it happens."""

from __future__ import annotations

from stoker.core.enums import JobState
from support.recording_engine import Rooms


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
