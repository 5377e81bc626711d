"""slurmrestd as a process: jobs go in and come out over HTTP, whatever is killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import LIMIT_S, PrivateStoker, until

SUBMIT = "/slurm/v0.0.38/job/submit"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Gateway:
    """A slurmrestd for a Stoker, at a socket and at a port."""

    def __init__(self, stoker: PrivateStoker, *options: str) -> None:
        self.path = stoker.home / "rest.sock"
        places = (f"unix:{self.path}", "127.0.0.1:0")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stoker.gateway", *options, *places],
            env=stoker.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        said = [self.process.stderr.readline() for _ in range(2)]
        assert "listening at 127.0.0.1:" in said[1], said
        self.port = int(said[1].split("127.0.0.1:")[1].split(";")[0])

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        *,
        over_tcp: bool = False,
    ) -> tuple[int, Any]:
        """Return status and document."""
        connection: http.client.HTTPConnection = UnixConnection(self.path)
        if over_tcp:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        content = None if body is None else json.dumps(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, content, {**kind, **(headers or {})})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        is_json = response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(text) if is_json else text

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=LIMIT_S)
        assert self.process.returncode == 0
        assert not self.path.exists(), "its socket is left behind"


@pytest.fixture
def stoker() -> Iterator[PrivateStoker]:
    with PrivateStoker() as private:
        yield private


@pytest.fixture
def gateway(stoker: PrivateStoker) -> Iterator[Gateway]:
    gate = Gateway(stoker)
    yield gate
    if gate.process.poll() is None:
        gate.close()


def job(stoker: PrivateStoker, script: str = "#!/bin/sh\necho hello\n", **more: object) -> Any:
    properties = {
        "environment": {"PATH": os.environ["PATH"]},
        "current_working_directory": str(stoker.directory),
        "standard_output": "out",
        **more,
    }
    return {"script": script, "job": properties}


def test_the_first_request_starts_the_daemon_and_a_job_runs_to_its_record(
    stoker: PrivateStoker, gateway: Gateway
) -> None:
    status, answer = gateway.ask("POST", SUBMIT, job(stoker, name="by http"))
    assert (status, answer["errors"]) == (200, [])
    job_id = answer["job_id"]
    assert stoker.wait_for(job_id) == "COMPLETED"
    assert (stoker.directory / "out").read_text() == "hello\n"
    status, answer = gateway.ask("GET", f"/slurmdb/v0.0.38/job/{job_id}")
    assert (status, answer["jobs"][0]["name"]) == (200, "by http")
    assert answer["jobs"][0]["state"]["current"] == "COMPLETED"


def test_a_job_is_changed_and_cancelled(stoker: PrivateStoker, gateway: Gateway) -> None:
    _, answer = gateway.ask("POST", SUBMIT, job(stoker, hold=True))
    path = f"/slurm/v0.0.38/job/{answer['job_id']}"
    assert gateway.ask("POST", path, {"comment": "new"})[0] == 200
    [shown] = gateway.ask("GET", path)[1]["jobs"]
    assert (shown["comment"], shown["job_state"]) == ("new", "PENDING")
    assert gateway.ask("DELETE", path)[0] == 200
    assert stoker.state(answer["job_id"]) == "CANCELLED"


def test_the_same_key_is_the_same_job(stoker: PrivateStoker, gateway: Gateway) -> None:
    headers = {"Idempotency-Key": "one-and-only"}
    ids = {
        gateway.ask("POST", SUBMIT, job(stoker, hold=True), headers)[1]["job_id"] for _ in range(3)
    }
    assert len(ids) == 1
    assert len(gateway.ask("GET", "/slurm/v0.0.38/jobs")[1]["jobs"]) == 1


def test_a_daemon_that_was_killed_is_started_again_for_the_next_request(
    stoker: PrivateStoker, gateway: Gateway
) -> None:
    job_id = gateway.ask("POST", SUBMIT, job(stoker, hold=True))[1]["job_id"]
    stoker.kill_daemon()
    status, answer = gateway.ask("GET", f"/slurm/v0.0.38/job/{job_id}")
    assert (status, answer["jobs"][0]["job_id"]) == (200, job_id)


def test_a_token_opens_the_port_and_nothing_else_does(
    stoker: PrivateStoker, gateway: Gateway
) -> None:
    ping = "/slurm/v0.0.38/ping"
    assert gateway.ask("GET", ping, over_tcp=True)[0] == 401
    token = stoker.ok("scontrol", "token", "lifespan=60").partition("=")[2].strip()
    name = stoker.ok("squeue", "-h", "-o", "%u") or _own_name()
    good = {"X-SLURM-USER-NAME": name, "X-SLURM-USER-TOKEN": token}
    assert gateway.ask("GET", ping, headers=good, over_tcp=True)[0] == 200
    bad = good | {"X-SLURM-USER-TOKEN": token[:-4] + "AAAA"}
    assert gateway.ask("GET", ping, headers=bad, over_tcp=True)[0] == 500
    assert (
        gateway.ask("GET", ping, headers=good | {"X-SLURM-USER-NAME": "bob"}, over_tcp=True)[0]
        == 500
    )


def _own_name() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def test_a_gateway_that_was_killed_leaves_its_place_to_the_next(stoker: PrivateStoker) -> None:
    first = Gateway(stoker)
    first.process.send_signal(signal.SIGKILL)
    first.process.communicate(timeout=LIMIT_S)
    assert first.path.exists()
    second = Gateway(stoker)
    assert second.ask("GET", "/slurm/v0.0.38/ping")[0] == 200
    second.close()


def test_a_second_gateway_at_the_same_place_is_refused(
    stoker: PrivateStoker, gateway: Gateway
) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "stoker.gateway", f"unix:{gateway.path}"],
        env=stoker.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert second.returncode == 1
    assert "another slurmrestd serves there" in second.stderr


def test_slow_callers_do_not_keep_others_waiting(stoker: PrivateStoker, gateway: Gateway) -> None:
    slow = [UnixConnection(gateway.path) for _ in range(50)]
    for each in slow:
        each.connect()
        each.sock.sendall(b"POST /slurm/v0.0.38/ping HTTP/1.1\r\nContent-Le")
    assert gateway.ask("GET", "/slurm/v0.0.38/ping")[0] == 200
    for each in slow:
        each.close()


def test_it_serves_so_many_at_a_time_and_tells_the_rest_to_come_again(
    stoker: PrivateStoker,
) -> None:
    gate = Gateway(stoker, "--max-connections=1")
    try:
        holding = UnixConnection(gate.path)
        holding.request("GET", "/slurm/v0.0.38/ping")
        assert holding.getresponse().read()
        refused = UnixConnection(gate.path)
        refused.connect()
        assert refused.sock.recv(4096).startswith(b"HTTP/1.1 503 SERVICE UNAVAILABLE\r\n")
        refused.close()
        holding.close()
        until(lambda: _is_served(gate.path), lambda: "the place was not given back")
    finally:
        gate.close()


def _is_served(path: Path) -> bool:
    """Whether a connection is kept open for a request instead of being sent away at once."""
    fresh = UnixConnection(path)
    try:
        fresh.request("GET", "/slurm/v0.0.38/ping")
        return fresh.getresponse().status == 200
    except OSError:
        return False
    finally:
        fresh.close()
