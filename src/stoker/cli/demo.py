"""`stoker demo`: real work on a private Stoker, whose daemon is killed on the way.

The primes below a million are counted in 25 blocks by an array of jobs; a job that depends on it
adds them up and compares the sum with the known one. Beside them one job fails, one hits its time
limit, one is cancelled. Each task leaves a line in a witness file, which proves that it ran once.
All commands that are shown are really run, by Slurm's names.

Always holds: whatever happens, no process and no file stays behind.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import click

from stoker.cli.names import ensure_names
from stoker.client.client import Client
from stoker.client.daemon import ensure_daemon
from stoker.core.errors import DaemonUnavailable, StokerError

BLOCKS: Final = 25
_BLOCK_SIZE: Final = 40_000
PRIMES: Final = 78_498
"""The number of primes below a million; the blocks end there."""

_STOKER: Final = (sys.executable, "-I", "-m", "stoker.cli.people")
_CPUS: Final = 2
_TASKS_BEFORE_KILL: Final = 8
_PATIENCE_S: Final = 120.0
_TICK_S: Final = 0.5
_END_S: Final = 10.0

_COUNT = """\
import sys
from pathlib import Path

block = int(sys.argv[1])
numbers = range(max(2, block * {size}), (block + 1) * {size})
count = sum(all(number % d for d in range(2, int(number**0.5) + 1)) for number in numbers)
Path(f"counts/{{block}}").write_text(str(count))
"""

_MERGE = """\
import sys
from pathlib import Path

total = sum(int(path.read_text()) for path in Path("counts").iterdir())
Path("result").write_text(str(total))
sys.exit(total != {primes})
"""

_ARRAY = """\
#!/bin/bash
#SBATCH --job-name=primes
#SBATCH --array=0-{last}
#SBATCH --output=output/primes-%a
echo "$SLURM_ARRAY_TASK_ID" >> witness
exec {python} count.py "$SLURM_ARRAY_TASK_ID"
"""

_SUM = """\
#!/bin/bash
#SBATCH --job-name=sum
#SBATCH --output=output/sum
exec {python} merge.py
"""


class DemoFailed(StokerError):
    """The demo did not go as it should."""


def run_demo() -> int:
    """Run the demo; return 0 if everything came out as it should."""
    began_at = time.monotonic()
    # Told to end, it sweeps up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="stoker-demo-") as directory:
        stage = Stage(Path(directory))
        with stage.swept():
            try:
                problems = play(stage)
            except DemoFailed as error:
                problems = [str(error)]
    for problem in problems:
        click.secho(f"  WRONG: {problem}", fg="red", bold=True)
    verdict = "all came out as it should" if not problems else "this is not as it should be"
    click.secho(
        f"\n{verdict.capitalize()} ({time.monotonic() - began_at:.0f} s).",
        fg="red" if problems else "green",
        bold=True,
    )
    return 1 if problems else 0


class Stage:
    """A directory with a Stoker of its own, and the commands that are run there."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.work = directory / "work"
        self.pids: set[int] = set()
        self.environment = _environment(self.home)
        for folder in (self.work, self.work / "counts", self.work / "output"):
            folder.mkdir()
        python = shlex.quote(sys.executable)
        self._write("count.py", _COUNT.format(size=_BLOCK_SIZE))
        self._write("merge.py", _MERGE.format(primes=PRIMES))
        self._write("primes.sh", _ARRAY.format(last=BLOCKS - 1, python=python))
        self._write("sum.sh", _SUM.format(python=python))

    def _write(self, name: str, text: str) -> None:
        (self.work / name).write_text(text)

    def open(self) -> None:
        """Start the daemon and put Slurm's names on PATH."""
        path = f"{ensure_names(self.home)}:{self.environment['PATH']}"
        self.environment["PATH"] = path
        self._start()
        self.note_processes()

    def client(self) -> Client:
        """Return a client of this Stoker."""
        return Client(self.home, start=lambda _: self._start())

    def _start(self) -> None:
        ensure_daemon(self.home, self.environment, lambda text: click.echo(f"  {text}"))

    def note_processes(self) -> Mapping[str, int]:
        """Return the pids of stokerd and shepherd, and remember them."""
        with self.client() as client:
            status = client.status()
        found = {name: int(status[name]["pid"]) for name in ("stokerd", "shepherd")}
        self.pids |= set(found.values())
        return found

    def run(self, *argv: str, is_shown: bool = True) -> str:
        """Run a command where the jobs are; show it and what it says, return what it says."""
        if is_shown:
            click.secho(f"  $ {shlex.join(argv)}", bold=True)
        command = [*_STOKER, *argv[1:]] if argv[0] == "stoker" else argv
        done = subprocess.run(
            command,
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if is_shown:
            for line in (done.stderr + done.stdout).splitlines():
                click.echo(f"    {line}")
        if done.returncode:
            raise DemoFailed(f"{shlex.join(argv)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def submit(self, *argv: str) -> str:
        """Run a command that ends its answer with a job's id; return that."""
        return self.run(*argv).split()[-1]

    @contextmanager
    def swept(self) -> Iterator[None]:
        """End every process that was started here, whatever happens inside."""
        try:
            yield
        finally:
            with suppress(StokerError, OSError), self._silent_client() as client:
                client.shutdown(cancel=True, timeout_s=_END_S)
                _await_ends(self.pids)
            for pid in _processes_of(self.home):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _silent_client(self) -> Client:
        def refuse(home: Path) -> None:
            raise DaemonUnavailable(f"cannot reach stokerd in {home}: it is gone")

        return Client(self.home, start=refuse)


def play(stage: Stage) -> list[str]:
    """Run the demo's acts; return what is not as it should be."""
    _announce("A private Stoker, with two CPUs, in a directory of its own")
    stage.open()

    _announce(f"Work: primes below a million in {BLOCKS} blocks, and three jobs with other fates")
    fails = stage.submit("sbatch", "--job-name=fails", "--output=output/fails", "--wrap=exit 3")
    late = stage.submit("stoker", "submit", "--time=0:02", "--job-name=late", "--", "sleep", "600")
    unwanted = stage.submit(
        "sbatch", "--job-name=unwanted", "--output=output/unwanted", "--wrap=sleep 600"
    )
    primes = stage.submit("sbatch", "primes.sh")
    total = stage.submit("sbatch", f"--dependency=afterok:{primes}", "sum.sh")

    _await_tasks(stage, primes, _TASKS_BEFORE_KILL)
    _kill_daemon(stage)

    _announce("The next command brings it back; the jobs never noticed")
    stage.run("squeue")
    stage.note_processes()
    stage.run("scancel", unwanted)
    _await_tasks(stage, primes, BLOCKS)
    with stage.client() as client:
        client.wait(primes, total, fails, late, unwanted, timeout_s=_PATIENCE_S)

    _announce("What became of them, by the accounting records")
    stage.run("sacct", "-X", "--format=JobID%-8,JobName%-10,State%-18,ExitCode,Elapsed")
    expected = {
        primes: ("COMPLETED", "0:0", BLOCKS),
        total: ("COMPLETED", "0:0", 1),
        fails: ("FAILED", "3:0", 1),
        late: ("TIMEOUT", "0:0", 1),
        unwanted: ("CANCELLED", "0:0", 1),
    }
    return [*_wrong_records(stage, expected), *_wrong_result(stage)]


def _announce(text: str) -> None:
    click.secho(f"\n{text}", fg="cyan", bold=True)


# --- Acts.


def _kill_daemon(stage: Stage) -> None:
    pids = stage.note_processes()
    _announce(f"kill -9 {pids['stokerd']}: the daemon is shot in the middle of it")
    os.kill(pids["stokerd"], signal.SIGKILL)
    _await_ends({pids["stokerd"]})
    alive = "goes on" if _is_alive(pids["shepherd"]) else "is gone, which must not be"
    click.echo(f"  stokerd is dead; the shepherd (pid {pids['shepherd']}) with the jobs {alive}")


def _await_tasks(stage: Stage, primes: str, count: int) -> None:
    """Show how the array comes on until *count* of its tasks have ended."""
    deadline = time.monotonic() + _PATIENCE_S
    shown = -1
    with stage.client() as client:
        while time.monotonic() < deadline:
            ended = client.tally(primes).get("COMPLETED", 0)
            if ended != shown:
                _show_progress(ended)
                shown = ended
            if ended >= count:
                _end_progress()
                return
            with suppress(TimeoutError):
                client.wait(primes, timeout_s=_TICK_S)
    raise DemoFailed(f"after {_PATIENCE_S:g} s {shown} of {BLOCKS} blocks are counted")


def _show_progress(ended: int) -> None:
    bar = "#" * ended + "." * (BLOCKS - ended)
    start, end = ("\r", "") if sys.stdout.isatty() else ("", "\n")
    click.echo(f"{start}  [{bar}] {ended} of {BLOCKS} blocks are counted{end}", nl=False)


def _end_progress() -> None:
    if sys.stdout.isatty():
        click.echo()


# --- The verdict.


def _wrong_records(stage: Stage, expected: Mapping[str, tuple[str, str, int]]) -> list[str]:
    """Compare the accounting records with what must have become of each job."""
    text = stage.run("sacct", "-X", "-n", "-P", "--format=JobID,State,ExitCode", is_shown=False)
    found = Counter(_outcome(line) for line in text.splitlines())
    wanted = {(job_id, state, code): count for job_id, (state, code, count) in expected.items()}
    problems = [
        f"{found[outcome]} records of job {' '.join(outcome)}, not {count}"
        for outcome, count in wanted.items()
        if found[outcome] != count
    ]
    return problems + [f"nobody expected job {' '.join(each)}" for each in found.keys() - wanted]


def _outcome(line: str) -> tuple[str, str, str]:
    """Return a record's job (of a task the array's), its state's first word, its exit code."""
    job_id, state, code = line.split("|")
    return job_id.partition("_")[0], state.partition(" ")[0], code


def _wrong_result(stage: Stage) -> list[str]:
    """Check the sum, and that each task ran exactly once."""
    result = _content(stage.work / "result")
    witness = Counter(_content(stage.work / "witness").split())
    click.echo(f"\n  There are {result or 'no'} primes below a million; known are {PRIMES}.")
    click.echo(f"  The witness file has {witness.total()} lines for {BLOCKS} tasks.")
    problems = [] if result == str(PRIMES) else [f"the sum is {result!r}, not {PRIMES}"]
    return problems + [
        f"task {task} ran {witness[str(task)]} times"
        for task in range(BLOCKS)
        if witness[str(task)] != 1
    ]


def _content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


# --- Processes.


def _environment(home: Path) -> dict[str, str]:
    """Return our environment without what belongs to another Stoker, or a job around us."""
    foreign = ("STOKER_", "SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {
        "STOKER_HOME": str(home),
        "STOKER_TOTAL_CPUS": str(_CPUS),
        "STOKER_KILL_WAIT_S": "2",
    }


def _await_ends(pids: set[int]) -> None:
    """Wait until these processes are gone, but not for ever."""
    deadline = time.monotonic() + _END_S
    while any(map(_is_alive, pids)) and time.monotonic() < deadline:
        # They are no children of ours, or leave a zombie behind: nothing tells us.
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] != "Z"


def _processes_of(home: Path) -> Sequence[int]:
    """Return the processes that carry this home in their environment, or as an argument."""
    marks = {os.fsencode(home), b"STOKER_HOME=" + os.fsencode(home)}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "environ").read_bytes() + b"\0" + (folder / "cmdline").read_bytes()
            if not marks.isdisjoint(words.split(b"\0")):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]
