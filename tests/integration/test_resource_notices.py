"""Observers of resources hear of what is on record, never of what a broken turn took back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.core.errors import StoreError
from stoker.worker.observers import MetricsObserver, ResourceObserver
from support.records import Records


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    records = Records(tmp_path / "stoker.db")
    records.tracker.tell_when = records.queue.when_recorded
    yield records
    records.database.close()


def test_they_are_told_when_the_change_is_on_record(records):
    seen = []

    class Reader(ResourceObserver):
        def on_resource_allocated(self, cpus, stats) -> None:
            seen.append(records.on_record(1).allocation is not None)

    with records.tracker.attach(Reader()), records.queue.turn():
        records.reserved()
        assert records.tracker.flush()
        assert seen == []
    assert seen == [True]


def test_they_do_not_hear_of_what_could_not_be_recorded_nor_of_filling_the_books_anew(
    records, monkeypatch
):
    def break_off(*_: object) -> None:
        raise StoreError("the power failed")

    records.reserved()
    with records.tracker.attach(MetricsObserver()) as metrics:
        with monkeypatch.context() as broken:
            broken.setattr(records.repository, "save_jobs", break_off)
            with pytest.raises(StoreError):
                records.reserved(cpus=2)
        with records.queue.turn():
            pass
        assert records.tracker.used_cpus == 1
    assert set(metrics.get_metrics().values()) == {0}
