"""Of what users are told: the notices on record, in Slurm's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.noticestore import NoticeStore
from stoker.worker import mail
from support.recording_engine import abandoned_turn

ALL = "BEGIN,END,FAIL,REQUEUE,INVALID_DEPEND"
FAR = 1e12


@pytest.fixture
def rooms(make_rooms):
    return make_rooms(follow_depth_max=0, mail_prog="/bin/mailer")


def notices(rooms):
    due = NoticeStore(rooms.database).due(FAR, 100)
    return [notice for each in due.values() for notice in each]


def subjects(rooms):
    return [notice.argv[2] for notice in notices(rooms)]


def run(rooms, code=0, signal=0, **said):
    job = rooms.running(**said)
    rooms.wait_s(65)
    rooms.finish(job, code, signal)
    return job


def test_a_job_that_wants_all_has_its_begin_and_its_end_told(rooms):
    run(rooms, mail_type=ALL, mail_user="a@x")
    begin, end = notices(rooms)
    assert begin.argv == (
        *("/bin/mailer", "-s"),
        *("Slurm Job_id=1 Name=work Began, Queued time 00:00:00", "a@x"),
    )
    assert end.argv[2:] == (
        "Slurm Job_id=1 Name=work Ended, Run time 00:01:05, COMPLETED, ExitCode 0",
        "a@x",
    )
    assert (begin.stdin, end.event_id) == ("", "mail.1.0.END")


@pytest.mark.parametrize(
    ("types", "code", "expected"),
    [
        ("FAIL", 3, "Failed, Run time 00:01:05, FAILED, ExitCode 3"),
        ("END", 3, "Ended, Run time 00:01:05, FAILED, ExitCode 3"),
        ("FAIL", 0, None),
        ("BEGIN", 3, "Began, Queued time 00:00:00"),
        ("", 3, None),
    ],
)
def test_only_what_is_wanted_is_told(rooms, types, code, expected):
    run(rooms, code, mail_type=types)
    found = [text.removeprefix("Slurm Job_id=1 Name=work ") for text in subjects(rooms)]
    assert found == ([expected] if expected else [])


def test_without_a_program_or_an_address_nothing_is_sent(rooms, make_rooms):
    run(rooms, mail_type=ALL, mail_user="-Xevil")
    run(rooms, mail_type=ALL, mail_user="a@x\nBcc: b@x")
    assert notices(rooms) == []
    silent = make_rooms()
    run(silent, mail_type=ALL)
    assert notices(silent) == []


@pytest.mark.parametrize(
    "text",
    ["-f", "|/home/bob/program", "a@x,|id", "/home/alice/.profile", "a@x +box", "'|id'", "a\n"],
)
def test_mail_goes_to_no_file_program_or_option(rooms, text):
    """A coordinator may have put it there; the mail program runs as the job's user."""
    run(rooms, mail_type="END", mail_user=text)
    assert subjects(rooms) == []


@pytest.mark.parametrize("text", ["bob", "a-b+c@x.org", "a@x,b@y", "Bob <bob@x.org>"])
def test_mail_goes_to_addresses(rooms, text):
    run(rooms, mail_type="END", mail_user=text)
    assert [notice.argv[3] for notice in notices(rooms)] == [text]


def test_a_name_cannot_break_out_of_the_subject(rooms):
    run(rooms, name="x\nBcc: b@x\x1b[2J", mail_type="END")
    assert subjects(rooms)[0].startswith("Slurm Job_id=1 Name=x?Bcc: b@x?[2J Ended")


def test_an_array_is_summed_up_when_the_last_of_it_has_ended(rooms):
    rooms.submit(array="1-3", mail_type="BEGIN,END,FAIL")
    rooms.schedule()
    for number, job in enumerate(sorted(rooms.queue.table, key=lambda job: job.job_id)):
        rooms.start(job)
        rooms.finish(job, code=number)
    assert subjects(rooms) == [
        "Slurm Array Summary Job_id=1_* (1) Name=work Began",
        "Slurm Array Summary Job_id=1_* (1) Name=work Failed, Mixed, ExitCode [0-2]",
    ]


def test_tasks_are_told_one_by_one_if_that_is_wanted(rooms):
    rooms.submit(array="1-2", mail_type="END,ARRAY_TASKS")
    rooms.schedule()
    for job in list(rooms.queue.table):
        rooms.start(job)
        rooms.finish(job)
    assert sorted(text.split(" Name=")[0] for text in subjects(rooms)) == [
        "Slurm Array Task Job_id=1_1 (2)",
        "Slurm Array Task Job_id=1_2 (1)",
    ]


def test_a_part_of_the_limit_is_told_once_also_by_the_next_daemon(rooms):
    job = rooms.running(mail_type="TIME_LIMIT_50,TIME_LIMIT_90", time_limit_s=100.0)
    rooms.wait_s(55)
    rooms.schedule()
    assert [text.split(" Name=work ")[1] for text in subjects(rooms)] == [
        "Reached 50% of time limit, Run time 00:00:55"
    ]
    rooms.restart()
    rooms.wait_s(40)
    rooms.schedule()
    rooms.schedule()
    assert [notice.event_id for notice in notices(rooms)] == [
        "mail.1.0.TIME_LIMIT_50",
        "mail.1.0.TIME_LIMIT_90",
    ]
    rooms.finish(job)


def test_a_requeue_and_a_hopeless_dependency_are_told(rooms):
    job = run(rooms, mail_type=ALL, code=1)
    rooms.submit(dependency=f"afterok:{job.job_id}", mail_type=ALL)
    rooms.ask("requeue", job.job_id)
    told = [text.split("Name=work ")[1].split(",")[0] for text in subjects(rooms)]
    assert "Invalid dependency" in told
    assert "Requeued" in told


def test_the_hook_hears_of_every_job_in_json(make_rooms):
    rooms = make_rooms(notify_prog="/bin/hook", notify_types="END,FAIL")
    run(rooms, 3, name="a\nb")
    (notice,) = notices(rooms)
    assert notice.argv == ("/bin/hook",)
    said = json.loads(notice.stdin)
    assert (said["event"], said["job_id"], said["exit_code"], said["name"]) == (
        *("FAIL", 1, 3),
        "a\nb",
    )


def test_what_was_not_recorded_is_not_told(rooms):
    rooms.submit(mail_type=ALL)
    with abandoned_turn(rooms):
        rooms.worker.scheduler.schedule(rooms.queue.current)
    assert notices(rooms) == []


@given(st.text(max_size=30))
def test_a_subject_is_one_line_whatever_the_name(name):
    assert "\n" not in mail.plain(name)
    assert mail.plain(name).isprintable()


def test_mail_is_sent_by_the_jobs_user_and_the_hook_is_the_daemons(make_rooms):
    programs = {"mail_prog": "/bin/mailer", "notify_prog": "/bin/hook", "notify_types": "END"}
    rooms = make_rooms(follow_depth_max=0, **programs)
    job = rooms.running(mail_type=ALL)
    rooms.finish(job)
    owners = {notice.argv[0]: notice.owner for notice in notices(rooms)}
    assert owners == {"/bin/mailer": job.owner, "/bin/hook": None}
