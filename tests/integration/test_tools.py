"""sattach, sbcast, strigger, scrontab and mail with real processes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import PrivateStoker, until


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stoker-tools-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def mailer(folder: Path) -> Path:
    path = folder / "mailer"
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>{folder}/mail\n')
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def stoker(mailer: Path) -> Iterator[PrivateStoker]:
    sizes = {"total_cpus": 4, "total_memory": 4000, "nodes": "node[1-2]"}
    with PrivateStoker(**sizes, mail_prog=mailer) as private:
        private.ok("sinfo")
        yield private


def said(path: Path, text: str) -> None:
    until(
        lambda: path.exists() and text in path.read_text(),
        lambda: f"{path.read_text() if path.exists() else 'nothing'} has no {text}",
    )


def submitted(stoker: PrivateStoker, line: str, *options: str) -> str:
    return stoker.ok("sbatch", "--parsable", *options, "--wrap", line).strip()


def test_sattach_shows_what_a_step_has_written_and_writes_and_ends_with_its_code(
    stoker: PrivateStoker,
) -> None:
    go = stoker.directory / "go"
    step = f"echo first; while ! test -e {go}; do sleep 0.05; done; echo last; exit 4"
    job = submitted(stoker, f"srun -n1 sh -c '{step}'", "-o", "attached.out")
    said(stoker.directory / "attached.out", "first")
    sattach = subprocess.Popen(
        ["sattach", f"{job}.0"],
        cwd=stoker.directory,
        env=stoker.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sattach.stdout is not None
    assert sattach.stdout.readline() == "first\n"
    go.touch()
    out, _ = sattach.communicate(timeout=30)
    assert out.startswith("last\n")
    assert sattach.returncode == 4


def test_sbcast_copies_once_and_replaces_only_if_told(stoker: PrivateStoker) -> None:
    (stoker.directory / "payload").write_text("text\n")
    line = "sbcast payload copy; echo $?; sbcast payload copy; echo $?; sbcast -f payload copy"
    job = submitted(stoker, f"{line}; echo $?", "-N2", "-W", "-o", "cast.out").split()[0]
    out = (stoker.directory / "cast.out").read_text()
    assert [text for text in out.splitlines() if text.isdecimal()] == ["0", "17", "0"], job
    assert "REQUEST_FILE_BCAST(node1): File exists" in out
    assert (stoker.directory / "copy").read_text() == "text\n"


def test_a_trigger_runs_its_program_when_the_job_has_ended(
    stoker: PrivateStoker, mailer: Path, folder: Path
) -> None:
    job = submitted(stoker, "true", "-H")
    stoker.ok("strigger", "--set", "--fini", f"--jobid={job}", f"--program={mailer} pulled for")
    assert f" {job} fini " in stoker.ok("strigger", "--get")
    stoker.ok("scontrol", "release", job)
    said(folder / "mail", f"pulled for {job}\n")
    assert stoker.ok("strigger", "--get") == ""


def test_mail_is_sent_though_the_daemon_dies_in_between(
    stoker: PrivateStoker, folder: Path
) -> None:
    job = submitted(stoker, "exit 3", "--mail-type=FAIL", "--mail-user=a@x", "-J", "it's $(id)")
    stoker.kill_daemon()
    stoker.ok("sinfo")
    said(folder / "mail", f"-s Slurm Job_id={job} Name=it's $(id) Failed")
    assert (folder / "mail").read_text().count(f"Job_id={job} ") == 1


def test_a_crontab_from_an_editor_makes_jobs_that_wait(stoker: PrivateStoker) -> None:
    editor = stoker.directory / "editor"
    editor.write_text("#!/bin/sh\nprintf '#SCRON -J nightly\\n@daily true\\n' >\"$1\"\n")
    editor.chmod(0o755)
    stoker.ok("scrontab", "-e", env={"EDITOR": str(editor), "TMPDIR": str(stoker.directory)})
    assert stoker.ok("scrontab", "-l") == "#SCRON -J nightly\n@daily true\n"
    assert stoker.ok("squeue", "-h", "-o", "%j %T %r") == "nightly PENDING BeginTime\n"
    assert not list(stoker.directory.glob("scrontab.*"))
    stoker.ok("scrontab", "-r")
    assert stoker.ok("squeue", "-h") == ""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core cannot be shared out")
def test_an_exact_step_may_use_its_own_cores_alone() -> None:
    with PrivateStoker(total_cpus=2, total_memory=2000, nodes="node1") as private:
        line = "srun --exact -n1 -c1 python3 -c 'import os; print(len(os.sched_getaffinity(0)))'"
        private.ok("sbatch", "-W", "-n2", "-o", "cores.out", "--wrap", line)
        assert (private.directory / "cores.out").read_text() == "1\n"
