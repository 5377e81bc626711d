"""The lines of docs/pieces.md run as they stand there, and are as few as it says."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import pytest

from stoker.worker.daemon import DaemonThread
from stoker.worker.descriptors import ComputedProperty, ThreadSafeProperty
from stoker.worker.observers import MetricsObserver
from stoker.worker.recovery import RecoveryManager
from stoker.worker.resources import ResourceRequest, ResourceTracker
from stoker.worker.signal_handler import SignalHandler

PAGE = Path(__file__).parents[2] / "docs" / "pieces.md"
LIMIT_S = 10.0


def block(name: str) -> str:
    found = re.findall(rf"```python name={name}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(found) == 1, f"{len(found)} blocks are named {name}"
    return found[0]


def run(name: str, **names: object) -> dict[str, object]:
    exec(compile(block(name), f"{PAGE.name}: {name}", "exec"), names)
    return names


@pytest.mark.parametrize(("name", "lines"), [("daemon", 3), ("signals", 5), ("resources", 2)])
def test_it_takes_as_few_lines_as_the_page_says(name, lines):
    assert len(block(name).splitlines()) == lines


def test_each_block_is_run_here():
    assert re.findall(r"```python name=(\w+)", PAGE.read_text()) == [
        "daemon",
        "signals",
        "resources",
        "descriptors",
        "recovery",
    ]


def test_a_daemon_in_three_lines():
    has_swept = threading.Event()
    served = []

    def serve(sweeper: DaemonThread) -> None:
        assert has_swept.wait(LIMIT_S), "no work was done"
        served.append(sweeper.is_running)

    names = run("daemon", DaemonThread=DaemonThread, sweep=has_swept.set, serve=serve)
    assert served == [True]
    assert not names["sweeper"].is_running


class Stub:
    """A server and a database: says what was done to it."""

    def __init__(self, name: str, done: list[str]) -> None:
        self.name, self.done = name, done

    def start(self) -> None:
        self.done.append(f"{self.name} started")
        os.kill(os.getpid(), signal.SIGTERM)

    def stop(self) -> None:
        self.done.append(f"{self.name} stopped")

    close = stop


def test_signals_in_five_lines():
    before = signal.getsignal(signal.SIGTERM)
    done: list[str] = []
    run(
        "signals",
        SignalHandler=SignalHandler,
        server=Stub("server", done),
        database=Stub("database", done),
    )
    assert done == ["server started", "server stopped", "database stopped"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_resources_in_two_lines(capsys):
    def work(tracker: ResourceTracker) -> None:
        tracker.allocate(1, ResourceRequest(cpus=3))
        tracker.release(1)

    run(
        "resources",
        tracker=ResourceTracker(total_cpus=4),
        MetricsObserver=MetricsObserver,
        work=work,
    )
    assert "'allocations_count': 1, 'releases_count': 1, 'total_allocated': 3" in (
        capsys.readouterr().out
    )


def test_attributes_that_several_threads_use():
    names = run(
        "descriptors",
        threading=threading,
        ThreadSafeProperty=ThreadSafeProperty,
        ComputedProperty=ComputedProperty,
    )
    counter = names["Counter"]()
    counter.take(3)
    assert (counter.used, counter.free) == (3, 5)


def test_recovery_of_a_home_without_records_finds_nothing_and_makes_nothing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("STOKER_HOME", str(tmp_path / "home"))
    run("recovery", RecoveryManager=RecoveryManager)
    assert capsys.readouterr().out.startswith("Recovery: 0/0 jobs recovered (100.0% success) in 0.")
    assert not (tmp_path / "home").exists()
