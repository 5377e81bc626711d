"""The truth about a campaign's jobs, written by the jobs; and the judgement of what is on record.

Each job appends ``id attempt start`` when it begins and ``id attempt end code`` when it is about to
end to one file, opened with O_APPEND. No scheduler has a hand in it.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from campaign.driver import Driver, Row
from campaign.tally import Row as Tally
from support.daemon import until

UNKNOWN_ENDS = ("-999:0", "0:0", "1:0", "0:1")
WAITING = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED")


class Mark(NamedTuple):
    """A line of the witness file."""

    job_id: int
    attempt: int
    what: str


@dataclass
class Asked:
    """A job whose id was printed, and what was asked for it afterwards."""

    code: int
    verbs: list[str] = field(default_factory=list)


def script(witness: Path, code: int, seconds: float) -> str:
    """Return what a job does."""
    file = shlex.quote(str(witness))
    pause = f"sleep {seconds:.2f}; " if seconds else ""
    who = '"$SLURM_JOB_ID" "${SLURM_RESTART_COUNT:-0}"'
    return (
        f'printf "%s %s start\\n" {who} >> {file}; {pause}'
        f'printf "%s %s end {code}\\n" {who} >> {file}; exit {code}'
    )


def submit_some(driver: Driver, witness: Path, count: int) -> dict[int, Asked]:
    """Submit short jobs, every other of which fails; return those whose ids were printed."""
    asked = {}
    for number in range(count):
        code = 7 * (number % 2)
        body = script(witness, code, 0.0)
        done = driver.run("sbatch", "--parsable", "--requeue", f"--wrap={body}")
        if done.returncode == 0:
            asked[int(done.stdout.split(";")[0])] = Asked(code)
    return asked


def read(witness: Path) -> list[Mark]:
    """Return what the jobs have written."""
    text = witness.read_text() if witness.exists() else ""
    marks = []
    for line in text.splitlines():
        job_id, attempt, what = line.split(maxsplit=2)
        marks.append(Mark(int(job_id), int(attempt), what))
    return marks


def records(driver: Driver) -> dict[int, Row]:
    """Return what sacct says of every job."""
    fields = "JobIDRaw,State,ExitCode"
    done = driver.run("sacct", "-X", "-n", "-P", "-a", "-S", "now-1days", "-o", fields)
    assert done.returncode == 0, f"sacct: {done.stderr}"
    rows = {}
    for line in done.stdout.splitlines():
        job_id, state, code = line.split("|")
        rows[int(job_id)] = Row(state.split()[0], code)
    return rows


def let_all_end(driver: Driver, limit_s: float) -> None:
    """Release what is held, and wait until nothing is in the queue; who stays is counted later."""
    driver.revive()
    left = [""]

    def is_empty() -> bool:
        held = driver.run("squeue", "-h", "-t", "PD", "-o", "%i %r").stdout.splitlines()
        ids = [line.split()[0] for line in held if "held" in line.lower()]
        if ids:
            driver.run("scontrol", "release", ",".join(ids))
        done = driver.run("squeue", "-h", "-o", "%i %T %r")
        left[0] = done.stdout + done.stderr
        return done.returncode == 0 and not done.stdout.strip()

    with suppress(AssertionError):
        until(is_empty, lambda: left[0], limit_s)


def judge(driver: Driver, asked: Mapping[int, Asked], witness: Path, fault: str) -> Tally:
    """Compare what was asked, what ran, and what is on record."""
    rows, marks = records(driver), read(witness)
    own: dict[int, list[Mark]] = defaultdict(list)
    for mark in marks:
        own[mark.job_id].append(mark)
    tally = Tally(fault, tries=len(asked))
    for mark, times in Counter(marks).items():
        if times > 1 and mark.what == "start":
            tally.doubled += 1
            tally.notes.append(f"{mark.job_id}.{mark.attempt} started {times} times")
    for job_id, want in asked.items():
        verdict = _verdict(want, rows.get(job_id), own[job_id])
        if verdict != "good":
            setattr(tally, verdict, getattr(tally, verdict) + 1)
        if verdict not in ("good", "unknown"):
            seen = f"{want}, {rows.get(job_id)}, {[tuple(mark) for mark in own[job_id]]}"
            tally.notes.append(f"job {job_id} is {verdict}: {seen}")
    if complaint := driver.agrees():
        tally.stuck += 1
        tally.notes.append(complaint)
    return tally


def _verdict(want: Asked, row: Row | None, marks: Sequence[Mark]) -> str:
    """Return the column that a job belongs to."""
    if row is None:
        return "lost"
    if row.state in WAITING:
        return "stuck"
    last = max((mark.attempt for mark in marks), default=-1)
    ends = [mark.what for mark in marks if mark.what != "start" and mark.attempt == last]
    if row.state in ("COMPLETED", "FAILED") and row.exit_code == f"{want.code}:0":
        return "good" if ends == [f"end {want.code}"] else "lost"
    if row.state == "CANCELLED":
        return "good" if "cancel" in want.verbs else "wrong"
    if row.state == "NODE_FAIL" or (row.state == "FAILED" and row.exit_code in UNKNOWN_ENDS):
        return "unknown"
    return "wrong"
