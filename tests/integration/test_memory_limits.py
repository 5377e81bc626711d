"""Memory limits where no control group keeps them: who holds too much is ended, nobody else."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stoker.core.errors import EngineError
from stoker.core.processes import identify
from stoker.engines.base import Unit
from stoker.engines.local import LocalEngine
from support.daemon import PrivateStoker
from support.engine import Events, lines, local_engine, unit, until

_EVERY_S = 0.05
_LIMIT_MIB = 60
_NOTICE = "{job}: {number} of too many at {time}\n"

_HOLD = "import time; held = bytearray(120 << 20); print('ready', flush=True); time.sleep(60)"
_LOOKS = 4
"""So many intervals pass before a job counts as let alone."""

_SHARE = """
import os, time
held = bytearray(40 << 20)
for _ in range(4):
    if os.fork() == 0:
        assert sum(held[::4096]) == 0  # Each child reads, and so has, all of it.
        time.sleep(60)
time.sleep(0.2)
print("ready", flush=True)
time.sleep(60)
"""

_MAP = """
import mmap, sys, time
with open(sys.argv[1], "r+b") as file:
    file.truncate(120 << 20)
    mapped = mmap.mmap(file.fileno(), 0)
sum(mapped[::4096])
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[tuple[LocalEngine, Events]]:
    with local_engine(tmp_path / "home", cgroup="off") as (engine, events, _):
        yield engine, events


def python(key: str, text: str, *arguments: str, **changes: Any) -> Unit:
    given = {"memory_mib": _LIMIT_MIB, "memory_check_s": _EVERY_S, "notices": {"memory": _NOTICE}}
    return unit(key, sys.executable, "-I", "-S", "-c", text, *arguments, **given | changes)


def test_who_holds_too_much_is_killed_and_told(engine, tmp_path: Path) -> None:
    local, events = engine
    out = tmp_path / "out"
    local.launch([python("1.0.batch", _HOLD, stdout=str(out))], {})
    end = events.ended("1.0.batch")
    assert (end.signal, end.why, end.oom) == (9, "memory", False)
    assert end.usage is not None
    assert _LIMIT_MIB << 10 < end.usage.peak_rss_kib <= end.usage.peak_size_kib
    [*_, told] = out.read_text().splitlines()
    job, held, *_ = told.split()
    assert job == "1:"
    assert _LIMIT_MIB << 20 < int(held) < 200 << 20


def test_the_first_look_comes_soon_however_rarely_is_asked_for(engine, tmp_path: Path) -> None:
    local, events = engine
    began = time.monotonic()
    local.launch([python("9.0.batch", _HOLD, memory_check_s=3600.0)], {})
    assert events.ended("9.0.batch").why == "memory"
    assert time.monotonic() - began < 30


def test_all_of_the_job_is_ended_not_only_the_largest_process(engine, tmp_path: Path) -> None:
    local, events = engine
    out = tmp_path / "out"
    shell = f'sleep 60 & echo $! ; "{sys.executable}" -I -S -c "{_HOLD}"'
    local.launch([python("2.0.batch", "", argv=("/bin/sh", "-c", shell), stdout=str(out))], {})
    [sleeper, *_] = lines(out)
    assert events.ended("2.0.batch").why == "memory"
    until(lambda: identify(int(sleeper)) is None, "the other process to end")


@pytest.mark.parametrize("kind", ["shared", "mapped"])
def test_what_is_shared_or_can_be_given_back_is_not_held(engine, tmp_path: Path, kind: str) -> None:
    local, events = engine
    out, data = tmp_path / "out", tmp_path / "data"
    data.touch()
    text = _SHARE if kind == "shared" else _MAP
    local.launch([python("3.0.batch", text, str(data), stdout=str(out))], {})
    assert lines(out) == ["ready"]
    # A second job that is looked at as often, and holds too much later, has seen as many looks.
    late = f"import time; time.sleep({_LOOKS * _EVERY_S}); {_HOLD}"
    local.launch([python("4.0.batch", late, stdout=str(tmp_path / "late"))], {})
    assert events.ended("4.0.batch").why == "memory"
    assert not [event for event in events.of("3.0.batch") if hasattr(event, "exit_code")]


def test_nobody_looks_at_what_has_no_limit_to_keep(engine, tmp_path: Path) -> None:
    local, events = engine
    unlimited = {"5.0.batch": {"memory_mib": None}, "6.0.batch": {"memory_check_s": None}}
    for key, given in unlimited.items():
        local.launch([python(key, _HOLD, stdout=str(tmp_path / key), **given)], {})
        assert lines(tmp_path / key) == ["ready"]
    local.launch([python("7.0.batch", _HOLD)], {})
    assert events.ended("7.0.batch").why == "memory"
    for key in unlimited:
        local.end(key.removesuffix(".batch"), "cancelled", 0.0)
        end = events.ended(key)
        assert (end.why, end.usage and end.usage.peak_rss_kib) == ("cancelled", 0)


def test_the_next_shepherd_goes_on_looking(engine, tmp_path: Path) -> None:
    local, events = engine
    out, gate = tmp_path / "out", tmp_path / "gate"
    text = f"print('ready', flush=True); open({str(gate)!r}).read(); {_HOLD}"
    os.mkfifo(gate)
    local.launch([python("8.0.batch", text, stdout=str(out))], {})
    assert lines(out) == ["ready"]
    first = local.status()["pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: _pid_of_shepherd(local) not in (None, first), "the next shepherd")
    gate.write_text("go")
    end = events.ended("8.0.batch")
    assert (end.why, end.signal) == ("memory", signal.SIGKILL)


def _pid_of_shepherd(local: LocalEngine) -> int | None:
    with suppress(EngineError):
        pid: int = local.status()["pid"]
        return pid
    return None


def test_sacct_tells_of_a_batch_job_that_held_too_much() -> None:
    """As a real Slurm with OverMemoryKill did: the job FAILED, its script cancelled by root."""
    with PrivateStoker(over_memory_kill="true", job_acct_gather_frequency_s=0.2) as stoker:
        hold = f'"{sys.executable}" -I -S -c "{_HOLD}"\n'
        job_id = stoker.sbatch("--mem=60M", "-o", "out", script=hold)
        assert stoker.wait_for(job_id) == "FAILED"
        rows = stoker.ok("sacct", "-nPj", str(job_id), "-o", "JobID,State,ExitCode")
        assert rows == f"{job_id}|FAILED|0:9\n{job_id}.batch|CANCELLED by 0|0:9\n"
        told = (stoker.directory / "out").read_text()
        assert f"error: StepId={job_id}.batch exceeded memory limit (" in told
        assert "slurmstepd: error: Exceeded job memory limit\n" in told
        assert "it held more memory than its limit of 60 MiB" in stoker.ok(
            "stoker", "why", str(job_id)
        )
