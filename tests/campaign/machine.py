"""What happens to the machine: it reboots, it forks no more, somebody sets its clock.

A reboot is another boot id, mounted over the kernel's own in a mount namespace, and nothing of ours
running. The clock is set for our processes only, by a small library that is loaded before libc.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from campaign.sweeps import Sweep, can_trace, injected
from campaign.tally import Row
from support.daemon import PrivateStoker, is_running, processes_of, until, wait_gone

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
FORKS: Final = "clone,clone3,vfork,fork"
RELIEF_S: Final = 5.0
DAY_S: Final = 86400
LIMIT_S: Final = 4
"""The time limit of the jobs during which the clock is set."""
LATE_S: Final = 1.0


def reboot() -> Row:
    """Let everything be gone, and the boot id be another one."""
    row = Row("reboot (another boot id): requeued or failed, nobody else's process is touched")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    argv = ["unshare", "-rm", sys.executable, "-m", "campaign.machine"]
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, timeout=120.0, check=False
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        return Row(f"reboot: skipped, since nothing can be mounted here ({done.stderr.strip()})")
    row.held(done.returncode == 0, (done.stdout + done.stderr)[-1000:])
    return row


def _reboot_inside() -> None:
    with PrivateStoker(total_cpus=4, total_memory="2000M") as stoker:
        script = 'test -n "$SLURM_RESTART_COUNT" || sleep 600\n'
        again = stoker.sbatch("--requeue", script=script)
        once = stoker.sbatch("--no-requeue", script=script)
        # Its process wears no mark of ours, and has the pid and the start time that are on record.
        bare = stoker.sbatch("--no-requeue", script="exec env -i sleep 600\n")
        for job_id in (again, once, bare):
            stoker.wait_running(job_id)
        bystander = int(
            json.loads(stoker.ok("stoker", "show", "--json", str(bare)))[0]["attempts"][0]["pid"]
        )
        until(lambda: bystander not in processes_of(stoker.home), lambda: "it still wears one")
        try:
            _reboot(stoker)
            _check_after_reboot(stoker, again, once, bare)
            assert is_running(bystander), "a process of another boot was taken for a job's"
        finally:
            os.kill(bystander, signal.SIGKILL)


def _reboot(stoker: PrivateStoker) -> None:
    for pid in (stoker.stokerd, stoker.shepherd_pid):
        os.kill(pid, signal.SIGKILL)
        wait_gone(pid)
    for pid in processes_of(stoker.home):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_gone(pid)
    other = stoker.home / "boot_id"
    other.write_text(f"{uuid.uuid4()}\n")
    subprocess.run(["mount", "--bind", str(other), str(BOOT_ID)], check=True)


def _check_after_reboot(stoker: PrivateStoker, again: int, *others: int) -> None:
    assert stoker.wait_for(again) == "COMPLETED"
    assert stoker.job(again)["Restarts"] == "1"
    for job_id in others:
        state, code = stoker.wait_for(job_id), stoker.job(job_id)["ExitCode"]
        assert (state, code) == ("FAILED", "-999:0"), f"job {job_id} is {state} {code}"
    stoker.ok("stoker", "doctor", "--check")


def forks_refused() -> Row:
    """Let the shepherd fork nothing for a while."""
    if not can_trace():
        return Row("forks refused: skipped, since strace is not here or may not trace")
    row = Row("every fork refused (EAGAIN) for a while: jobs wait and say why, then run")
    with PrivateStoker(total_cpus=2, total_memory="2000M") as stoker:
        stoker.ok("stoker", "up")
        with injected(stoker, Sweep("shepherd", FORKS, "error=EAGAIN"), "1+"):
            job_id = stoker.sbatch(script="exit 3\n")
            until(lambda: "no job is started" in stoker.log, lambda: stoker.log)
            row.held(stoker.state(job_id) == "PENDING", f"it is {stoker.state(job_id)}")
            reason = stoker.ok("squeue", "-h", "-o", "%r").strip()
            row.held(reason, "it waits and does not say why")
        stoker.wait_for(job_id, "FAILED", limit_s=RELIEF_S)
        row.held(stoker.accounting(job_id) == ["FAILED", "3:0"], f"{stoker.accounting(job_id)}")
        row.held(stoker.job(job_id)["Restarts"] == "0", "what did not run was counted as a run")
        row.held(stoker.run("stoker", "doctor", "--check").returncode == 0, "the doctor complains")
    return row


@contextmanager
def settable_clock() -> Iterator[tuple[dict[str, str], Path]]:
    """Give what must stand in the environment, and the file that says by how much it is set."""
    with tempfile.TemporaryDirectory() as directory:
        library, file = Path(directory) / "clock.so", Path(directory) / "set_by"
        source = Path(__file__).with_name("clock.c")
        argv = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)]
        subprocess.run(argv, check=True, capture_output=True)
        set_clock(file, 0)
        yield {"LD_PRELOAD": str(library), "CAMPAIGN_CLOCK": str(file)}, file


def set_clock(file: Path, by_s: int) -> None:
    """Set the clock by so much against the kernel's."""
    with file.open("r+b" if file.exists() else "wb") as pipe:
        pipe.write(struct.pack("l", by_s))


def clock_set(by_s: int) -> Row:
    """Set the clock while jobs with time limits run, and while others wait."""
    row = Row(f"wall clock set by {by_s / DAY_S:+g} day: time limits held within {LATE_S:g} s")
    if shutil.which("cc") is None:
        return Row("wall clock set: skipped, since there is no C compiler")
    with (
        settable_clock() as (variables, file),
        PrivateStoker(total_cpus=4, total_memory="2000M", kill_wait_s=0) as stoker,
    ):
        stoker.environment |= variables
        limit = f"--time=0:{LIMIT_S:02}"
        stoker.sbatch(limit, "--job-name=sbatch", script="exec sleep 600\n")
        for name in ("srun", "salloc"):
            stoker.start(name, limit, f"--job-name={name}", "sleep", "600")
        began: dict[str, float] = {}
        until(lambda: _note_running(stoker, began) == 3, lambda: stoker.ok("squeue"))
        set_clock(file, by_s)
        ids = {name: stoker.ok("squeue", "-h", "-o", "%A", "-n", name).strip() for name in began}
        after = stoker.sbatch(f"--dependency=after:{ids['sbatch']}", script="exit 0\n")
        row.held(stoker.wait_for(after) == "COMPLETED", "a job that came later did not run")
        for name, job_id in ids.items():
            state, took_s = stoker.wait_for(job_id), time.monotonic() - began[name]
            row.held(state == "TIMEOUT", f"{name} is {state}")
            row.held(abs(took_s - LIMIT_S) < LATE_S + 0.5, f"{name} took {took_s:.1f} s")
        row.held(stoker.run("stoker", "doctor", "--check").returncode == 0, "the doctor complains")
    return row


def _note_running(stoker: PrivateStoker, began: dict[str, float]) -> int:
    """Note when which jobs were first seen running; return how many have been."""
    for name in stoker.ok("squeue", "-h", "-t", "R", "-o", "%j").split():
        began.setdefault(name, time.monotonic())
    return len(began)


def machine() -> list[Row]:
    """Run all."""
    return [reboot(), forks_refused(), clock_set(DAY_S), clock_set(-DAY_S)]


if __name__ == "__main__":
    _reboot_inside()
