"""What every listing shows of a job, wherever it is shown."""

from __future__ import annotations

import json

from stoker.commands.scontrol import scontrol
from stoker.commands.squeue import squeue
from stoker.core.enums import JobState
from stoker.core.models import FOREVER
from support.controller import call_of, converse
from support.recorded_queue import RecordedQueue, at, job


def test_what_never_ran_began_when_it_ended() -> None:
    cancelled = job(7, "can", submit="04:50:00", state=JobState.CANCELLED, end_at=at("04:50:09"))
    queue = RecordedQueue(at("04:51:00"), [cancelled])
    shown = converse(scontrol(call_of("scontrol", "show", "job", "7"), queue)).out
    assert "   StartTime=2026-11-24T04:50:09 EndTime=2026-11-24T04:50:09 Deadline=N/A" in shown
    assert "   RunTime=00:00:00 TimeLimit=UNLIMITED TimeMin=N/A" in shown
    listed = converse(squeue(call_of("squeue", "-h", "-t", "CA", "-o", "%S|%e|%M"), queue)).out
    assert listed == "2026-11-24T04:50:09|2026-11-24T04:50:09|0:00\n"


def test_a_least_time_without_end_is_shown_as_such() -> None:
    endless = job(30, "wrap", submit="04:50:00", spec={"time_min_s": FOREVER})
    queue = RecordedQueue(at("04:51:00"), [endless])
    shown = converse(scontrol(call_of("scontrol", "show", "job", "30"), queue)).out
    assert " TimeMin=UNLIMITED\n" in shown
    document = json.loads(converse(squeue(call_of("squeue", "--json"), queue)).out)
    assert document["jobs"][0]["time_minimum"] == (1 << 32) - 1


def test_a_suspended_job_has_no_priority_until_it_runs_again() -> None:
    for state, priority in ((JobState.SUSPENDED, 0), (JobState.RUNNING, 1187)):
        stopped = job(30, "wrap", submit="04:50:00", state=state, priority=1187)
        queue = RecordedQueue(at("04:51:00"), [stopped])
        shown = converse(scontrol(call_of("scontrol", "show", "job", "30"), queue)).out
        assert f"   Priority={priority} Nice=0 " in shown
