"""A whole Stoker whose records are on a PostgreSQL server: commands, kills, a server that goes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import PrivateStoker, until, wait_gone
from support.postgres import DeafProxy, PostgresServer, postgres_server, programs
from support.shared_stoker import SharedStoker
from support.world import in_a_world


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of our own, which may be stopped."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.new_url()


@pytest.fixture
def stoker(url: str) -> Iterator[PrivateStoker]:
    with PrivateStoker(database_url=url) as stoker:
        yield stoker


def runs(stoker: PrivateStoker) -> list[str]:
    """Return what the jobs have written into their common file, a line for each run."""
    path = stoker.directory / "runs"
    return sorted(path.read_text().split()) if path.exists() else []


# What is asked of it.


def test_jobs_arrays_and_their_accounting(stoker):
    array = stoker.sbatch("-a", "0-20%4", script="echo $SLURM_ARRAY_TASK_ID >> runs; exit 0")
    after = stoker.sbatch("-d", f"afterok:{array}", "-J", "after", script="exit 3")
    held = stoker.sbatch("-H", script="true")
    stoker.wait_for(after)
    assert sorted(map(int, runs(stoker))) == list(range(21))
    assert stoker.accounting(after, "JobName", "State", "ExitCode") == ["after", "FAILED", "3:0"]
    lines = stoker.ok("sacct", "-X", "-n", "-P", "-o", "State", "-j", str(array)).split()
    assert lines == ["COMPLETED"] * 21
    stoker.ok("scancel", str(held))
    assert stoker.wait_for(held) == "CANCELLED"
    assert not (stoker.home / "stoker.db").exists()


def test_steps_are_told_in_order(stoker):
    job = stoker.sbatch(script="for n in $(seq 12); do srun -J s$n true; done")
    stoker.wait_for(job)
    found = stoker.ok("sacct", "-n", "-P", "-o", "JobID", "-j", str(job)).split()
    wanted = [f"{job}", f"{job}.batch", *(f"{job}.{number}" for number in range(12))]
    assert found == wanted


def test_the_account_book_is_the_same_after_a_restart(stoker):
    stoker.ok("sacctmgr", "-i", "add", "account", "phys", "bio", "Zoo", "fairshare=7")
    stoker.ok("sacctmgr", "-i", "add", "user", "alice", "account=phys")
    stoker.ok("sacctmgr", "-i", "modify", "account", "bio", "set", "description=cells")
    stoker.ok("sacctmgr", "-i", "add", "qos", "high", "priority=4294967295")
    before = [
        stoker.ok("sacctmgr", "-n", "-P", "show", what)
        for what in ("account", "assoc", "qos", "transactions")
    ]
    stoker.kill_daemon()
    assert before == [
        stoker.ok("sacctmgr", "-n", "-P", "show", what)
        for what in ("account", "assoc", "qos", "transactions")
    ]


def test_triggers_and_crontabs_outlive_the_daemon(stoker):
    stoker.ok("scrontab", "-", stdin="#SCRON -J nightly\n0 0 1 1 * true\n")
    job = stoker.sbatch(script="sleep 600")
    stoker.wait_running(job)
    touch = f"/bin/touch {stoker.directory / 'told'}"
    program = stoker.directory / "tell"
    program.write_text(f"#!/bin/sh\n{touch}\n")
    program.chmod(0o755)
    stoker.ok("strigger", "--set", f"--jobid={job}", "--fini", f"--program={program}")
    stoker.kill_daemon()
    assert "nightly" in stoker.ok("scrontab", "-l")
    assert "nightly" in stoker.ok("squeue", "-h", "-o", "%j")
    stoker.ok("scancel", str(job))
    until((stoker.directory / "told").exists, lambda: stoker.ok("strigger", "--get"))


def test_the_past_leaves_into_an_archive(url):
    with PrivateStoker(database_url=url, history_days=1e-6) as stoker:
        job = stoker.sbatch(script="true")
        stoker.wait_for(job)
        # Looked for when the daemon starts, and each hour.
        stoker.kill_daemon()
        stoker.ok("squeue")
        until(lambda: list((stoker.home / "archive").glob("*.jsonl.gz")), lambda: stoker.log[-500:])
        until(lambda: not stoker.accounting(job), lambda: "the job is on record")


def test_the_doctor_is_content_and_backups_are_the_servers(stoker):
    stoker.wait_for(stoker.sbatch(script="true"))
    assert "WRONG" not in stoker.ok("stoker", "doctor")
    refused = stoker.run("stoker", "backup")
    assert refused.returncode == 1
    assert "it is on a server; back it up there, with pg_dump" in refused.stderr
    stoker.ok("stoker", "down")
    refused = stoker.run("stoker", "restore", "some.db")
    assert "the setting database_url says that the records are elsewhere" in refused.stderr


def test_a_dump_restores_the_records_and_no_id_is_given_again(server, stoker, url):
    kept = stoker.sbatch(script="exit 5")
    stoker.wait_for(kept)
    held = stoker.sbatch("-H", script="true")
    dump = server.directory / f"dump-{held}"
    server.call("pg_dump", "-Fc", "-f", dump, "-d", url)
    lost = stoker.sbatch(script="true")
    stoker.wait_for(lost)
    stoker.ok("stoker", "down")
    server.call("pg_restore", "--clean", "-d", url, dump)
    assert stoker.accounting(kept) == ["FAILED", "5:0"]
    assert stoker.state(held) == "PENDING"
    assert stoker.accounting(lost) == []
    assert stoker.sbatch(script="true") > lost


# Deaths.


def test_a_daemon_that_is_killed_again_and_again_loses_no_job_and_runs_none_twice(stoker):
    wanted = []
    for round_ in range(5):
        for number in range(4):
            mark = f"{round_}.{number}"
            wanted.append(mark)
            stoker.sbatch(script=f"echo {mark} >> runs; sleep 0.05")
        stoker.kill_daemon()
    last = stoker.sbatch("--dependency=singleton", "-J", "last", script="true")
    stoker.wait_for(last)
    until(lambda: len(runs(stoker)) >= len(wanted), lambda: str(runs(stoker)))
    until(lambda: not stoker.ok("squeue", "-h"), lambda: stoker.ok("squeue"))
    assert runs(stoker) == sorted(wanted)


def test_jobs_end_while_the_server_is_away_and_are_recorded_when_it_is_back(server, stoker):
    job = stoker.sbatch(script="touch runs; while [ ! -e go ]; do sleep 0.05; done; exit 7")
    waits = stoker.sbatch("-d", f"afternotok:{job}", script="true")
    until((stoker.directory / "runs").exists, lambda: stoker.ok("squeue"))
    stoker.wait_running(job)
    daemon = stoker.stokerd
    server.stop()
    try:
        for argv in (["sbatch", "--wrap", "true"], ["squeue"], ["sacct"], ["scancel", str(job)]):
            refused = stoker.run(*argv)
            assert refused.returncode == 1, argv
            assert "cannot reach the database postgresql://" in refused.stderr
            assert "jobs that run go on" in refused.stderr
        (stoker.directory / "go").touch()
        until(lambda: "cannot be recorded now" in stoker.log, lambda: stoker.log[-500:])
        assert "Traceback" not in stoker.log
    finally:
        server.start()
    assert stoker.wait_for(waits) == "COMPLETED"
    assert stoker.accounting(job) == ["FAILED", "7:0"]
    assert stoker.stokerd == daemon
    assert stoker.sbatch(script="true") > waits
    assert "WRONG" not in stoker.ok("stoker", "doctor")


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT])
def test_a_server_that_restarts_under_load_loses_no_job_and_doubles_none(server, stoker, how):
    accepted = []
    for round_ in range(3):
        for number in range(4):
            mark = f"{round_}.{number}"
            done = stoker.run("sbatch", "--parsable", "--wrap", f"echo {mark} >> runs; sleep 0.1")
            if done.returncode == 0:
                accepted.append(mark)
        server.restart(how)
    until(
        lambda: stoker.run("squeue", "-h").stdout == "" and len(runs(stoker)) >= len(accepted),
        lambda: stoker.run("squeue").stdout + str(runs(stoker)),
    )
    assert set(accepted) <= set(runs(stoker))
    assert len(runs(stoker)) == len(set(runs(stoker)))
    assert len(stoker.ok("sacct", "-X", "-n", "-P", "-o", "JobID").split()) == len(runs(stoker))


def test_a_daemon_does_not_start_without_its_server_and_says_so(server, stoker):
    job = stoker.sbatch(script="sleep 600")
    stoker.wait_running(job)
    stoker.kill_daemon()
    server.stop()
    try:
        refused = stoker.run("squeue")
        assert refused.returncode != 0
        assert "cannot reach the database" in refused.stderr
    finally:
        server.start()
    assert stoker.state(job) == "RUNNING"
    stoker.ok("scancel", str(job))
    assert stoker.wait_for(job) == "CANCELLED"


def test_a_daemon_can_be_stopped_while_its_server_is_away(server, stoker):
    stoker.wait_for(stoker.sbatch(script="true"))
    daemon = stoker.stokerd
    server.stop()
    try:
        assert stoker.run("sbatch", "--wrap", "true").returncode == 1
        os.kill(daemon, signal.SIGTERM)
        wait_gone(daemon)
    finally:
        server.start()
    stoker.wait_for(stoker.sbatch(script="true"))


def test_a_daemon_in_doubt_stops_and_the_next_one_learns_what_is_on_record(server):
    proxy = DeafProxy(server, b"")
    url = server.url(server.new_database(), proxy.directory)
    try:
        with PrivateStoker(database_url=url) as stoker:
            running = stoker.sbatch(script="while [ ! -e go ]; do sleep 0.05; done; exit 4")
            stoker.wait_running(running)
            daemon = stoker.stokerd
            proxy.shuts, proxy.word = True, b"COMMIT"
            refused = stoker.run("sbatch", "--wrap", "echo doubt >> runs")
            assert refused.returncode != 0
            wait_gone(daemon)
            assert "cannot tell whether the last transaction is on record" in stoker.log
            (stoker.directory / "go").touch()
            proxy.is_shut = False
            assert stoker.wait_for(running) == "FAILED"
            assert stoker.accounting(running) == ["FAILED", "4:0"]
            # It was recorded, though nobody could say so: it runs, once.
            until(lambda: runs(stoker), lambda: stoker.ok("squeue"))
            until(lambda: not stoker.ok("squeue", "-h"), lambda: stoker.ok("squeue"))
            assert runs(stoker) == ["doubt"]
            assert "WRONG" not in stoker.ok("stoker", "doctor")
    finally:
        proxy.close()


# Two of them.


def test_another_homes_daemon_is_refused_before_and_after_the_first_has_gone(stoker, url):
    job = stoker.sbatch(script="sleep 600")
    stoker.wait_running(job)
    with PrivateStoker(database_url=url) as other:
        refused = other.run("squeue")
        assert refused.returncode != 0
        assert "uses it; name another database" in refused.stderr
        stoker.kill_daemon()
        refused = other.run("squeue")
        assert f"it holds the jobs of {stoker.home} on " in refused.stderr
    assert stoker.state(job) == "RUNNING"


@pytest.mark.skipif(programs() is None, reason="PostgreSQL's programs are not on this machine")
@in_a_world
def test_one_stoker_serves_all_users_from_one_database() -> None:
    with postgres_server() as server, SharedStoker(database_url=server.new_url()) as stoker:
        jobs = {user: stoker.sbatch(user, "id -un; sleep 600") for user in ("alice", "bob")}
        for user, job_id in jobs.items():
            stoker.wait_text(Path(f"/home/{user}/slurm-{job_id}.out"), f"{user}\n")
        stoker.kill_daemon()
        stoker.up()
        refused = stoker.run("bob", "scancel", str(jobs["alice"]))
        assert "Access/permission denied" in refused.stderr
        assert stoker.accounting(jobs["alice"])[0] == "RUNNING"
        for user, job_id in jobs.items():
            stoker.ok(user, "scancel", str(job_id))
        until(lambda: not stoker.ok("root", "squeue", "-h"), lambda: stoker.ok("root", "squeue"))
        states = {stoker.accounting(job_id)[0].split()[0] for job_id in jobs.values()}
        assert states == {"CANCELLED"}
        assert (stoker.home / "database_mark").stat().st_uid == 0
