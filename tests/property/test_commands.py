"""Whatever is typed, a command answers: it never breaks, and never prints a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docs.options import TABLES
from stoker.commands.options import Option
from stoker.commands.scontrol.parameters import PARAMETERS
from stoker.commands.table import COMMANDS
from stoker.core.errors import StokerError
from stoker.worker.call import (
    Attach,
    Call,
    Interrupted,
    ProgramEnd,
    ReadFile,
    Request,
    RunProgram,
    UntilEnded,
    UntilStarted,
)
from support.controller import ALICE, ROOT, call_of, converse
from support.recorded_queue import RecordedQueue, at, queue_of_scontrol, queue_of_steps

NOTATIONS: Final = (
    *("", "0", "1", "-1", "4", "5", "8", "99", "41", "41.0", "41.batch", "8_1", "8_[1-5%2]", "37_"),
    *(
        "9" * 30,
        "1:30",
        "1-2:3",
        "UNLIMITED",
        "now+1hour",
        "tomorrow",
        "2026-11-24T10:00",
        "teatime",
    ),
    *("node1", "node[1-2]", "node[2-1]", "node[", "ALL", "debug", "debug,long", "nosuch", "alice"),
    *(
        "PD",
        "running",
        "all",
        "S,-i",
        "P,t,-p",
        "%.18i %j",
        "%",
        "%99999999j",
        "%.",
        "jobid:9,name",
    ),
    *("JobID,State%30,Elapsed%-4", "JobID%", "1G", "1.5G", "16?", "gpu:2", "gres:gpu:x:3", "gpu:"),
    *(
        "afterok:5",
        "afterok:",
        "singleton?after:4+2",
        "USR1@60",
        "B:TERM",
        "0-9:3%2",
        "1,3-",
        "yes",
    ),
    *("%j-%A_%a.out", "cpu=4,mem=2G", "job", "jobs", "step", "node", "partition", "config", "\\n"),
    *("hostnames", "reservation", "licenses", "user", "account", "qos", "name=x", "where", "set"),
    *("cluster", "job.sh", "-", "--", "true", "x" * 300, "\udcff", "é", "NaN", "inf", "1e9", "٣"),
)
KEYWORDS: Final = (
    *("show", "update", "hold", "release", "requeue", "requeuehold", "suspend", "resume", "top"),
    *("ping", "version", "errnumstr", "completing", "pidinfo", "listpids", "notify", "wait_job"),
    *("write", "create", "delete", "reconfigure", "setdebug", "token", "abort", "cluster"),
    *("add", "list", "modify", "dump", "load", "archive", "batch_script", "job=5", "jobid=8_5"),
    *(
        "nodename=node1",
        "state=drain",
        "reason=x",
        "partitionname=long",
        "maxtime=9",
        "utilization",
    ),
)
PLAYED: Final = sorted(COMMANDS.keys() - {"sdiag", "sshare"})
"""All but those that take no arguments to speak of, and whose figures the recorded queue lacks."""
REPLIES_MAX: Final = 20
"""Requests that are answered; then the caller is killed."""


class Killed(Exception):
    """The caller is gone for good."""


VALUES: Final = st.one_of(
    st.sampled_from(NOTATIONS),
    st.text(st.characters(exclude_characters="\0"), max_size=12),
)


def words_of(table: Sequence[Option]) -> st.SearchStrategy[list[str]]:
    """Return command lines of a table's options, whole or mangled, among other words."""
    longs = [name for option in table for name in (option.long, *option.aliases) if name]
    shorts = [option.short for option in table if option.short]
    long = st.builds("--{}".format, st.sampled_from(longs))
    parameters = [name.replace("|", "") for name in PARAMETERS]
    word = st.one_of(
        VALUES,
        long,
        st.builds("{}={}".format, long, VALUES),
        st.builds("-{}{}".format, st.sampled_from(shorts or ["h"]), VALUES),
        st.builds(lambda name, length: name[:length], long, st.integers(3, 9)),
        st.sampled_from(KEYWORDS),
        st.builds("{}={}".format, st.sampled_from(parameters), VALUES),
    )
    return st.lists(word, max_size=6)


def answer_of(call: Call, queue: RecordedQueue, text: bytes) -> int:
    """Play a call to its end, with a caller that grants what it is asked; return the status."""
    asked = 0

    def reply(request: Request) -> Any:
        nonlocal asked
        asked += 1
        if asked > REPLIES_MAX:
            raise Killed
        match request:
            case UntilStarted():
                return queue.start(queue.jobs[request.job_id])
            case UntilEnded():
                return [queue.jobs[job_id] for job_id in request.job_ids]
            case Attach():
                return 7
            case RunProgram():
                return ProgramEnd(3)
            case ReadFile():
                return text
        return Interrupted(15)

    try:
        return converse(COMMANDS[call.program](call, queue), files=Files(text), replies=reply).code
    except (StokerError, Interrupted, Killed):
        return 1  # The service tells the first in a sentence, and ends the caller by the second.


class Files(dict[str, bytes]):
    """A caller's files: all have one content, and if that is nothing none can be read."""

    def __init__(self, text: bytes) -> None:
        super().__init__(there=text)
        self._text = text

    def __contains__(self, path: object) -> bool:
        return bool(self._text)

    def __missing__(self, path: str) -> bytes:
        return self._text


@pytest.mark.parametrize("program", PLAYED)
def test_no_command_line_breaks_a_command(program: str) -> None:
    table = TABLES[program]

    @settings(max_examples=150, deadline=None)
    @given(
        argv=words_of(table),
        owner=st.sampled_from([ALICE, ROOT]),
        has_steps=st.booleans(),
        text=st.one_of(
            st.just(b"#!/bin/sh\n#SBATCH -n2 --mem=1G\ntrue\n"),
            VALUES.map(lambda value: f"#!/bin/sh\n#SBATCH {value}\n".encode(errors="replace")),
            st.binary(max_size=40),
        ),
    )
    def check(argv: list[str], owner: Any, has_steps: bool, text: bytes) -> None:
        queue = queue_of_steps(at("06:53:16")) if has_steps else queue_of_scontrol(at("04:54:58"))
        code = answer_of(call_of(program, *argv, owner=owner), queue, text)
        assert isinstance(code, int)

    check()


VARIABLES: Final = (
    *("SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_SORT", "SQUEUE_STATES", "SQUEUE_USERS"),
    *("SINFO_FORMAT", "SINFO_SORT", "SINFO_PARTITION", "SACCT_FORMAT", "SLURM_TIME_FORMAT", "TZ"),
    *("SLURM_BITSTR_LEN", "SCANCEL_STATE", "SCANCEL_USER", "SBATCH_TIMELIMIT", "SBATCH_ARRAY_INX"),
    *("SLURM_NTASKS", "SLURM_JOB_ID", "SALLOC_TIMELIMIT", "SLURM_DISTRIBUTION", "SLURM_CLUSTERS"),
)


@pytest.mark.parametrize("program", PLAYED)
def test_no_environment_breaks_a_command(program: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.dictionaries(st.sampled_from(VARIABLES), VALUES, max_size=4))
    def check(environment: dict[str, str]) -> None:
        queue = queue_of_scontrol(at("04:54:58"))
        call = call_of(program, environment=environment)
        assert isinstance(answer_of(call, queue, b"#!/bin/sh\ntrue\n"), int)

    check()
