"""Crontabs: entries are jobs that come back, and text and jobs stay in step."""

from __future__ import annotations

import pytest

from stoker.core.errors import Infeasible, InvalidSpec
from stoker.core.models import CronEntry
from stoker.core.noticestore import NoticeStore
from stoker.engines.base import Lost
from support.recording_engine import ALICE, key_of, submission

HOURLY = "0 * * * * work"


def entry(text=HOURLY, zone="UTC"):
    return CronEntry(text.rpartition(" ")[0].rpartition("\n")[2], zone, text)


def set_crontab(rooms, *texts, **said):
    jobs = [submission(cron=entry(text), **said) for text in texts]
    with rooms.queue.turn():
        rooms.control.set_crontab(ALICE, "".join(f"{text}\n" for text in texts), jobs)
    return sorted(rooms.queue.table, key=lambda job: job.job_id)


def text_on_record(rooms):
    return NoticeStore(rooms.database).crontab(ALICE.user_id)


def until_due(rooms, job):
    rooms.wait_s(job.begin_at - rooms.now_s)
    rooms.schedule()


def test_an_entry_waits_for_its_time_runs_and_waits_again_under_its_number(rooms):
    (job,) = set_crontab(rooms, HOURLY)
    assert (job.begin_at % 3600, rooms.control.reason(job)) == (0, "BeginTime")
    first_at = job.begin_at
    until_due(rooms, job)
    rooms.start(job)
    rooms.finish(job, code=3)
    assert (rooms.state(job), job.begin_at, job.restarts) == ("PENDING", first_at + 3600, 1)
    assert rooms.control.reason(job) == "BeginTime"
    (attempt,) = rooms.worker.repository.attempts([job.job_id])
    assert (attempt.end_state, attempt.exit_code) == ("FAILED", 3)


def test_a_run_that_takes_longer_than_its_period_is_not_run_twice(rooms):
    (job,) = set_crontab(rooms, HOURLY)
    until_due(rooms, job)
    rooms.start(job)
    rooms.wait_s(3 * 3600 + 10)
    rooms.finish(job)
    assert job.begin_at == rooms.now_s - rooms.now_s % 3600 + 3600


def test_crontabs_and_their_jobs_outlive_the_daemon(rooms):
    (job,) = set_crontab(rooms, HOURLY)
    rooms.restart()
    job = rooms.active(job)
    assert rooms.control.crontab(ALICE.user_id) == f"{HOURLY}\n"
    until_due(rooms, job)
    rooms.start(job)
    rooms.finish(job)
    assert rooms.state(job) == "PENDING"


def test_an_entry_that_stays_keeps_its_job_and_one_that_goes_takes_it_along(rooms):
    kept, gone = set_crontab(rooms, HOURLY, "5 * * * * work")
    (same, other) = set_crontab(rooms, "7 * * * * work", HOURLY)
    assert same.job_id == kept.job_id
    assert other.job_id not in (kept.job_id, gone.job_id)
    assert rooms.state(gone) == "CANCELLED"
    assert text_on_record(rooms) == f"7 * * * * work\n{HOURLY}\n"
    assert set_crontab(rooms) == []
    assert text_on_record(rooms) == ""


def test_who_cancels_jobs_disables_their_entries(rooms):
    jobs = set_crontab(rooms, "#SCRON -n1\n0 * * * * work", "5 * * * * work")
    with rooms.queue.turn():
        for job in jobs:
            rooms.ask("cancel", job.job_id)
    assert text_on_record(rooms) == (
        "#DISABLED: #SCRON -n1\n#DISABLED: 0 * * * * work\n#DISABLED: 5 * * * * work\n"
    )


def test_a_run_that_is_cancelled_does_not_come_back(rooms):
    (job,) = set_crontab(rooms, HOURLY)
    until_due(rooms, job)
    rooms.start(job)
    rooms.ask("cancel", job.job_id)
    rooms.finish(job, signal=15)
    assert rooms.state(job) == "CANCELLED"
    assert text_on_record(rooms) == f"#DISABLED: {HOURLY}\n"


def test_a_crontab_is_taken_whole_or_not_at_all(rooms):
    (job,) = set_crontab(rooms, HOURLY)
    jobs = [submission(cron=entry("5 * * * * a")), submission(cron=entry(), ntasks=99)]
    with pytest.raises(Infeasible), rooms.queue.turn():
        rooms.control.set_crontab(ALICE, "new", jobs)
    assert [each.job_id for each in rooms.queue.table] == [job.job_id]
    assert text_on_record(rooms) == f"{HOURLY}\n"


def test_a_crontab_for_which_the_queue_has_no_room_leaves_nothing_behind(make_rooms):
    rooms = make_rooms(follow_depth_max=0, max_job_count=3)
    (job,) = set_crontab(rooms, HOURLY)
    jobs = [submission(cron=entry(f"{minute} * * * * a")) for minute in range(5)]
    with rooms.queue.turn(), pytest.raises(InvalidSpec, match="unable to accept"):
        rooms.control.set_crontab(ALICE, "new", jobs)
    assert [each.job_id for each in rooms.queue.table] == [job.job_id]
    assert text_on_record(rooms) == f"{HOURLY}\n"


def test_reboot_entries_run_when_the_daemon_starts_and_then_wait(rooms):
    (job,) = set_crontab(rooms, "@reboot work")
    rooms.schedule()
    assert rooms.engine.launched() == []
    rooms.restart()
    rooms.schedule()
    job = rooms.active(job)
    rooms.start(job)
    rooms.finish(job)
    rooms.schedule()
    assert (rooms.state(job), len(rooms.engine.launched())) == ("PENDING", 1)


def test_a_run_that_is_lost_comes_back_however_often_it_has_run(rooms):
    (job,) = set_crontab(rooms, HOURLY)
    job.restarts = 1000
    until_due(rooms, job)
    rooms.start(job)
    rooms.report(Lost(key_of(rooms.active(job))))
    assert (rooms.state(job), rooms.control.reason(rooms.active(job))) == ("PENDING", "BeginTime")
