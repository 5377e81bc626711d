"""What ended long ago leaves the records, into an archive, and takes nothing needed with it."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.core.enums import JobState
from stoker.core.errors import StoreError
from stoker.core.retention import Retention
from stoker.worker.retention import RetentionKeeper
from support.works import Works, records_at

DAY_S = 86400.0


@pytest.fixture
def works(tmp_path, database_url) -> Iterator[Works]:
    made = Works(tmp_path, records_at(database_url))
    yield made
    made.close()


@pytest.fixture
def keeper(works) -> RetentionKeeper:
    return RetentionKeeper(works.worker.queue, works.home, days=7.0, archives=True)


def ended(works: Works, name: str, **said) -> int:
    """Return the id of a job that has run and ended now."""
    job_id = works.submit(name=name, **said).job_id
    works.schedule()
    key = works.run(job_id)
    works.engine.finish(key)
    works.engine.deliver()
    return job_id


def known(works: Works) -> set[int]:
    repository = works.worker.repository
    return {job_id for job_id in range(1, 50) if repository.jobs([job_id])}


def archived(home: Path) -> list[dict]:
    files = sorted((home / "archive").glob("*.jsonl.gz"))
    return [json.loads(line) for path in files for line in gzip.open(path)]


def test_what_ended_long_ago_leaves_and_the_rest_stays(works, keeper):
    old = ended(works, "old")
    works.clock.pass_by(8 * DAY_S)
    young, waiting = ended(works, "young"), works.submit(hold=True).job_id
    keeper.do_work()
    assert known(works) == {young, waiting}
    assert works.worker.repository.attempts([old]) == []
    assert len(works.worker.repository.attempts([young])) == 1


def test_the_archive_has_all_there_was_to_know(works, keeper):
    old = ended(works, "old-\udcff", script=b"#!/bin/sh\necho hello\n", environment=("A=1",))
    works.clock.pass_by(8 * DAY_S)
    keeper.do_work()
    *bodies, record = archived(works.home)
    texts = {each["content"]: base64.b64decode(each["base64"]) for each in bodies}
    assert record["job"]["job_id"] == old
    assert record["job"]["state"] == "COMPLETED"
    assert texts[record["job"]["spec"]["script"]] == b"#!/bin/sh\necho hello\n"
    assert texts[record["job"]["spec"]["environment"]] == b"A=1"
    assert [attempt["pid"] > 0 for attempt in record["attempts"]] == [True]


def test_without_an_archive_nothing_is_written(works):
    ended(works, "old")
    works.clock.pass_by(8 * DAY_S)
    RetentionKeeper(works.worker.queue, works.home, days=7.0, archives=False).do_work()
    assert known(works) == set()
    assert not (works.home / "archive").exists()


def test_nothing_leaves_unless_it_is_asked_for(works):
    old = ended(works, "old")
    works.clock.pass_by(10_000 * DAY_S)
    RetentionKeeper(works.worker.queue, works.home, days=0.0, archives=True).do_work()
    assert known(works) == {old}


def test_an_array_leaves_as_a_whole(works, keeper):
    array = works.submit(array="0-9%1").job_id
    works.schedule()
    first = next(job for job in works.worker.queue.table if job.array is None)
    key = works.run(first.job_id)
    works.engine.finish(key)
    works.engine.deliver()
    works.clock.pass_by(8 * DAY_S)
    keeper.do_work()
    assert first.job_id in known(works)
    works.ask("cancel", array)
    works.engine.deliver()
    works.clock.pass_by(8 * DAY_S)
    keeper.do_work()
    assert known(works) == set()


def test_what_others_still_name_is_not_swept(works, keeper):
    script = b"#!/bin/sh\ntrue\n"
    ended(works, "old", script=script)
    ended(works, "gone", script=b"#!/bin/sh\nfalse\n")
    works.clock.pass_by(8 * DAY_S)
    same = works.submit(name="other", script=script, hold=True)
    keeper.do_work()
    repository = works.worker.repository
    assert repository.content(same.spec.script) == script
    with repository.database.reader() as connection:
        for table, count in (("specs", 1), ("contents", 1)):
            found = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
            assert found == count


def test_what_is_named_again_between_the_two_looks_stays(works, keeper, monkeypatch):
    ended(works, "old", script=b"#!/bin/sh\ntrue\n")
    works.clock.pass_by(8 * DAY_S)
    retention = Retention(works.database)
    [job_id] = retention.ended_before(works.clock.now_s - 7 * DAY_S, 10)
    retention.remove([job_id], works.clock.now_s)
    transaction = works.database.transaction
    again = []

    def meanwhile():
        monkeypatch.setattr(works.database, "transaction", transaction)
        again.append(works.submit(name="old", script=b"#!/bin/sh\ntrue\n", hold=True))
        return transaction()

    monkeypatch.setattr(works.database, "transaction", meanwhile)
    assert retention.sweep(works.clock.now_s) == 0
    works.restart()
    [job] = works.worker.queue.table
    assert works.worker.repository.content(job.spec.script) == b"#!/bin/sh\ntrue\n"


def test_a_job_that_waits_again_is_not_removed(works):
    old = ended(works, "old")
    works.clock.pass_by(8 * DAY_S)
    retention = Retention(works.database)
    found = retention.ended_before(works.clock.now_s - 7 * DAY_S, 10)
    works.ask("requeue", old)
    assert found == [old]
    assert retention.remove(found, works.clock.now_s - 7 * DAY_S) == 0
    assert works.job(old).state is JobState.PENDING


def test_a_full_disk_leaves_everything_where_it_is(works, keeper, monkeypatch):
    old = ended(works, "old")
    works.clock.pass_by(8 * DAY_S)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stoker.worker.retention.write_whole", full)
    keeper.do_work()
    monkeypatch.undo()
    works.database.fail(lambda: StoreError("cannot write"), before=1)
    keeper.do_work()
    works.database.mend()
    assert known(works) == {old}
