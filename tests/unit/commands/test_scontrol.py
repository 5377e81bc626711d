"""scontrol against the recorded answers of a real Slurm, and what it asks of the controller."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from stoker.commands.scontrol import scontrol
from stoker.core.enums import Hold, JobState
from stoker.core.errors import NotAllowed
from stoker.core.models import FOREVER, Owner
from stoker.core.units import JobRef, TaskSet, parse_dependency
from stoker.worker.call import WriteFile
from support.controller import BOB, ROOT, Heard, call_of, converse
from support.recorded_queue import (
    THREE_NODE_MACHINE,
    RecordedQueue,
    at,
    job,
    queue_of_arrays,
    queue_of_scontrol,
    queue_of_steps,
    three_nodes,
)
from support.recordings import cases, parameters

DIFFERENT = {
    "scontrol-show-config": "the configuration is our own",
    "misc-sc-config": "the configuration is our own",
    "misc-sc-config-debug": "the configuration is our own",
    "scontrol-help": "the help text is our own",
    "misc-sc-help": "the help text is our own",
    "misc-hostlist-none": "the help text is our own",
    "scontrol-admin-undown": "tested below: the node must be down first",
    "scontrol-admin-user": "tested below: the controller refuses",
    "scontrol-admin-part-create": "partitions are settings here",
    "scontrol-admin-part-delete": "partitions are settings here",
    "scontrol-res-create": "what follows it needs a real controller",
    "scontrol-res-delete": "it needs the reservation of a case before",
    "scontrol-jobs-all-o": "lists the jobs of other cases, too",
    "misc-sc-token-lifespan-bad": "a token is signed with a key of its own",
    "misc-sc-licenses": "there are no licences",
    "misc-sc-license-one": "there are no licences",
    "misc-sc-license-o": "there are no licences",
    "misc-sc-license-none": "there are no licences",
    "misc-sc-licenses-used": "there are no licences",
    "misc-sc-details": "there are no licences",
    "misc-sc-future": "there are no licences",
    "misc-sc-assoc-users": "there are no associations",
    "misc-sc-assoc-assoc": "there are no associations",
}
TESTED_BELOW = ("scontrol: job control", "scontrol: update job")


def is_plain(case: dict[str, Any]) -> bool:
    is_command = isinstance(case["cmd"], list) and case["cmd"][0] == "scontrol"
    return is_command and case["topic"] not in TESTED_BELOW and case["id"] not in DIFFERENT


def heard_of(queue: RecordedQueue, *argv: str, **more: Any) -> Heard:
    files, replies = more.pop("files", None), more.pop("replies", lambda _: None)
    call = call_of("scontrol", *argv, **more)
    return converse(scontrol(call, queue), files=files, replies=replies)


def without_artefacts(text: str) -> str:
    """Take out ports, sessions, process ids, and when Slurm last looked at a job."""
    for pattern in (r"Sid=localhost:\d+", r"Port=\d+", r"Pid=vm:\d+", r"LastSchedEval=\S+"):
        text = re.sub(pattern, "", text)
    return re.sub("(Sid=localhost|Pid=vm):0", "", text).replace("Port=0", "")


@pytest.mark.parametrize(
    "case",
    parameters(filter(is_plain, [*cases("scontrol"), *cases("misc"), *cases("misc2")])),
)
def test_answers_as_recorded(case: dict[str, Any]) -> None:
    if any(line.startswith("sbatch -J run") for line in case["setup"]):
        queue = queue_of_scontrol(at("04:54:58"))
    else:
        queue = three_nodes(is_idle=not case["setup"])
    heard = heard_of(
        queue,
        *case["cmd"][1:],
        environment=case.get("env"),
        owner=ROOT if case.get("user") == "root" else call_of("scontrol").owner,
        files={"-": (case.get("stdin") or "").encode()},
    )
    assert without_artefacts(heard.out) == without_artefacts(case["stdout"])
    assert (heard.err, heard.code) == (case["stderr"], case["rc"])


@pytest.mark.parametrize(
    "case", parameters(case for case in cases("more") if case["id"].startswith("more-arr-scontrol"))
)
def test_arrays_are_shown_as_recorded(case: dict[str, Any]) -> None:
    heard = heard_of(queue_of_arrays(at("05:01:21")), *case["cmd"][1:])
    recorded = case["stdout"].replace(
        "AccrueTime=2026-11-24T05:01:20\n   StartTime=Unknown",
        "AccrueTime=2026-11-24T05:01:17\n   StartTime=Unknown",
    )
    assert without_artefacts(heard.out) == without_artefacts(recorded)


@pytest.mark.parametrize(
    "case",
    parameters(
        case
        for case in cases("srun2")
        if case["id"].startswith("srun2-l-show-step") and "all" not in case["id"]
    ),
)
def test_steps_are_shown_as_recorded(case: dict[str, Any]) -> None:
    heard = heard_of(queue_of_steps(at("06:53:16")), *case["cmd"][1:])
    # A step's own time limit is not kept.
    recorded = case["stdout"].replace("TimeLimit=00:05:00", "TimeLimit=UNLIMITED")
    assert without_artefacts(heard.out) == without_artefacts(recorded)
    assert (heard.err, heard.code) == (case["stderr"], case["rc"])


# What happens to jobs.


@pytest.fixture
def queue() -> RecordedQueue:
    """One job of each kind: waiting, held, running, ended, an array with an ended task."""
    began = {"submit": "05:00:00", "start": "05:00:05"}
    end = {"end_at": at("05:00:09"), "state": JobState.COMPLETED}
    return RecordedQueue(
        at("05:01:00"),
        [
            job(1, "waits", submit="05:00:00", time_limit_s=1200.0, reason="Priority"),
            job(2, "held", submit="05:00:00", hold=Hold.USER, reason="JobHeldUser"),
            job(3, "runs", submit="05:00:00", start="05:00:05", time_limit_s=1200.0),
            job(4, "ended", submit="05:00:00", start="05:00:05", **end),
            job(10, "arr", submit="05:00:00", array_job_id=10, array=TaskSet.parse("4,7-10")),
            job(11, "arr", **began, array_job_id=10, array_task_id=1, **end),
            job(12, "arr", **began, array_job_id=10, array_task_id=2),
        ],
    )


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["hold", "1"], ("hold", "1", "alice", False)),
        (["uhold", "1"], ("hold", "1", "alice", True)),
        (["holdu", "1"], ("hold", "1", "alice", True)),
        (["release", "2"], ("release", "2", "alice")),
        (["release", "jobname=held"], ("release", "2", "alice")),
        (["requeue", "3"], ("requeue", "3", "alice", False)),
        (["requeue", "4"], ("requeue", "4", "alice", False)),
        (["requeue", "10_2"], ("requeue", "10_2", "alice", False)),
        (["requeuehold", "state=SpecialExit", "3"], ("requeue", "3", "alice", True, "special")),
        (["suspend", "3"], ("suspend", "3", "alice")),
        (["resume", "3"], ("resume", "3", "alice")),
        (["top", "1"], ("update", "1", "alice", {"priority": 1})),
    ],
)
def test_a_word_asks_the_controller(
    queue: RecordedQueue, words: list[str], called: tuple[Any, ...]
) -> None:
    heard = heard_of(queue, *words)
    assert (heard.out, heard.err, heard.code) == ("", "", 0)
    assert queue.calls == [called]


@pytest.mark.parametrize(
    ("job_id", "told"),
    [
        ("3", "Job is no longer pending execution for job 3\n"),
        ("4", "Job is no longer pending execution for job 4\n"),
        ("2", "Job is in held state, pending scheduler release for job 2\n"),
        ("3,1", "Job is no longer pending execution for job 3,1\n"),
        ("1,99", "Invalid job id specified for job 1,99\n"),
        ("abc", "Invalid job id specified for job abc\n"),
    ],
)
def test_only_what_waits_is_put_first(queue: RecordedQueue, job_id: str, told: str) -> None:
    heard = heard_of(queue, "top", job_id)
    assert (heard.err, heard.code, queue.calls) == (told, 1, [])


def test_of_an_array_what_waits_is_put_first(queue: RecordedQueue) -> None:
    heard = heard_of(queue, "top", "10_[2,4],1")
    assert (heard.err, heard.code) == ("", 0)
    assert [call[:2] for call in queue.calls] == [("update", "10_4"), ("update", "1")]


def test_a_terminal_is_obeyed_line_by_line(queue: RecordedQueue) -> None:
    lines = {"-\n1": b"hold 1\n", "-\n2": b"nonsense\n", "-\n3": b""}
    heard = heard_of(queue, files=lines)
    assert heard.out == "scontrol: scontrol: scontrol: \n"
    assert (heard.err, heard.code) == ("invalid keyword: nonsense\n", 1)
    assert queue.called("hold") == [("1", "alice", False)]


def test_what_is_no_terminal_is_shown_as_it_is_obeyed(queue: RecordedQueue) -> None:
    heard = heard_of(queue, files={"-": b"version\n\nping"})
    assert heard.out.startswith("scontrol: version\nslurm-wlm ")
    assert "\nscontrol: \nscontrol: ping\nSlurmctld" in heard.out
    assert heard.out.endswith("UP\nscontrol: \n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("update", "ReservationName=r1", "Duration=5"), "slurm_update error"),
        (("delete", "ReservationName=r1"), "delete_reservation ReservationName=r1"),
    ],
)
def test_a_reservation_that_there_is_not_is_invalid(
    queue: RecordedQueue, words: tuple[str, ...], told: str
) -> None:
    heard = heard_of(queue, *words)
    assert heard.err.endswith(f"{told}: Requested reservation is invalid\n")
    assert heard.code == 1


def test_lists_of_ids_are_dealt_with_one_by_one(queue: RecordedQueue) -> None:
    heard = heard_of(queue, "hold", "1,99", "10_[7-8]", "abc")
    assert [call[1] for call in queue.calls] == ["1", "10_[7-8]"]
    assert heard.err == (
        "Invalid job id specified for job 99\n"
        "slurm_suspend error: Invalid job id specified\n"
        "Invalid job id specified for job abc\n"
        "slurm_suspend error: Invalid job id specified\n"
    )
    assert heard.code == 1


def test_what_has_ended_cannot_be_held(queue: RecordedQueue) -> None:
    heard = heard_of(queue, "hold", "4")
    assert heard.err == (
        "Job has already finished for job 4\nslurm_suspend error: Job has already finished\n"
    )
    assert (heard.code, queue.calls) == (1, [])


def test_of_a_single_task_the_message_names_the_task(queue: RecordedQueue) -> None:
    heard = heard_of(queue, "hold", "10_1,10_99")
    assert heard.err == "10_1: Job has already finished\n10_99: Invalid job id specified\n"
    assert (heard.code, queue.calls) == (1, [])


def test_of_an_array_the_ended_tasks_are_told_apart(queue: RecordedQueue) -> None:
    heard = heard_of(queue, "update", "JobId=10", "ArrayTaskThrottle=4")
    assert heard.err == "10_1: Job has already finished\n10_2,4,7-10: No error\n"
    assert heard.code == 1
    changes = {"array_limit": 4}
    assert queue.called("update") == [("10_[4,7-10]", "alice", changes), ("10_2", "alice", changes)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["requeue", "state=SpecialExit", "1_1"], ""),
        (["requeuehold", "state=odd"], "Invalid job id specified for job state=odd\n"),
        (["requeue", "1"], "1_1-2: No error\n1_3-10: Job is pending execution\n"),
        (["requeue", "1_[1,77]"], "1_1: No error\n1_77: Invalid job id specified\n"),
        (["requeue", "1_77"], "1_77: Invalid job id specified\n"),
        (
            ["requeue", "1_[2,11-40000]"],
            "1_2: No error\n1_11-40000: Invalid job id specified\n",
        ),
        (["requeuehold", "1_[1-4]"], "1_1-2: No error\n1_3-4: Job is pending execution\n"),
        (["requeue", "1_[1-2]"], ""),
    ],
)
def test_the_tasks_of_an_array_fare_each_by_itself(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queue_of_arrays(at("05:02:00"))

    def refuse_what_waits(
        ref: JobRef, by: Owner, *, hold: bool = False, special: bool = False
    ) -> None:
        if ref.tasks is not None and 3 in ref.tasks:
            raise NotAllowed("it has not started", "ESLURM_JOB_PENDING")

    monkeypatch.setattr(queue, "requeue", refuse_what_waits)
    heard = heard_of(queue, *words)
    assert (heard.err, heard.code) == (told, int(bool(told)))


@pytest.mark.parametrize(
    ("words", "method", "code", "err"),
    [
        (
            ["release", "2"],
            "release",
            "ESLURM_USER_ID_MISSING",
            "Invalid user id for job 2\nslurm_suspend error: Invalid user id\n",
        ),
        (
            ["requeue", "3"],
            "requeue",
            "ESLURM_ACCESS_DENIED",
            "Access/permission denied for job 3\n",
        ),
        (["suspend", "1"], "suspend", "ESLURM_JOB_PENDING", "Job is pending execution for job 1\n"),
        (["resume", "3"], "resume", "ESLURM_JOB_NOT_SUSPENDED", "Job is not suspended for job 3\n"),
        (
            ["update", "jobid=10_[7-10]", "name=x"],
            "update",
            "ESLURM_USER_ID_MISSING",
            "10_7-10: Invalid user id\n",
        ),
    ],
)
def test_refusals_have_slurms_wording(
    queue: RecordedQueue, words: list[str], method: str, code: str, err: str
) -> None:
    queue.refusals[method] = NotAllowed("no", code)
    heard = heard_of(queue, *words, owner=BOB)
    assert (heard.err, heard.code) == (err, 1)
    assert heard_of(queue, "-Q", *words, owner=BOB).err == ""


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (["JobName=new"], {"name": "new"}),
        (["name=new"], {"name": "new"}),
        (["TimeLimit=+10"], {"time_limit_s": 1800.0}),
        (["TimeLimit=-10"], {"time_limit_s": 600.0}),
        (["timelimit=UNLIMITED"], {"time_limit_s": None}),
        (["Partition=short"], {"partition": "short"}),
        (["Nice=100"], {"nice": 100}),
        (["Priority=5"], {"priority": 5}),
        (["Dependency="], {"dependency": None}),
        (["Dependency=afterok:2"], {"dependency": parse_dependency("afterok:2")}),
        (["StartTime=now+1hour"], {"begin_at": at("06:01:00")}),
        (["EligibleTime=2040-01-01"], {"begin_at": 2_208_988_800.0}),
        (["Comment=hey you"], {"comment": "hey you"}),
        (["MinMemoryNode=500"], {"mem_per_node_mib": 500, "mem_per_cpu_mib": None}),
        (["MinMemoryCPU=1024"], {"mem_per_cpu_mib": 1024, "mem_per_node_mib": None}),
        (["NumCPUs=2"], {"cpus_per_task": 2}),
        (["NumNodes=1-2"], {"min_nodes": 1, "max_nodes": 2}),
        (["CPUsPerTask=2"], {"cpus_per_task": 2}),
        (["ReqNodeList=node2"], {"node_list": "node2"}),
        (["ExcNodeList=node2"], {"exclude": "node2"}),
        (["Requeue=0"], {"requeue": False}),
        (["StdOut=/tmp/zzz-%j"], {"stdout": "/tmp/zzz-%j"}),
        (["MailType=END"], {"mail_type": "END"}),
        (["OverSubscribe=yes"], {"oversubscribe": True}),
        (["WCKey=x"], {"wckey": "x"}),
        (["WorkDir=/tmp"], {"work_dir": "/tmp"}),
        (["ArrayTaskThrottle=2"], {"array_limit": 2}),
        (["Name=a", "TimeLimit=9", "Nice=3"], {"name": "a", "time_limit_s": 540.0, "nice": 3}),
    ],
)
def test_a_waiting_job_is_changed(
    queue: RecordedQueue, words: list[str], changes: dict[str, object]
) -> None:
    heard = heard_of(queue, "update", "JobId=1", *words)
    assert (heard.err, heard.code) == ("", 0)
    assert queue.calls == [("update", "1", "alice", changes)]


@pytest.mark.parametrize(
    ("word", "changes"),
    [
        ("Nice", {"nice": 100}),
        ("Nice=odd", {"nice": 0}),
        ("Requeue=2", {"requeue": True}),
        ("Requeue=no", {"requeue": False}),
        ("ReqProcs=3", {"ntasks": 3}),
        ("MailType=end,begin", {"mail_type": "BEGIN,END"}),
    ],
)
def test_values_are_read_as_slurm_reads_them(
    queue: RecordedQueue, word: str, changes: dict[str, object]
) -> None:
    assert heard_of(queue, "update", "JobId=1", word).code == 0
    assert queue.calls == [("update", "1", "alice", changes)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hold", "jobid=1"], ""),
        (["release", "Job=2"], ""),
        (["requeue", "3,x"], "Invalid job id specified for job 3,x\n"),
        (["suspend", "3,x"], "Invalid job id specified for job 3,x\n"),
        (["suspend", "99"], "Unexpected message received for job 99\n"),
    ],
)
def test_ids_are_a_list_as_a_whole_and_may_be_introduced(
    queue: RecordedQueue, words: list[str], told: str
) -> None:
    heard = heard_of(queue, *words)
    assert (heard.err, heard.code, len(queue.calls)) == (told, int(bool(told)), int(not told))


def test_priority_zero_is_a_hold(queue: RecordedQueue) -> None:
    assert heard_of(queue, "update", "JobId=1", "Priority=0").code == 0
    assert queue.calls == [("hold", "1", "alice", False)]


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (["JobId=1", "TimeLimit=abc"], "scontrol: error: Invalid TimeLimit value\n"),
        (["JobId=1", "Dependency=bogus:1"], "Job dependency problem for job 1\n"),
        (["JobId=1", "Features=zzz"], "Invalid feature specification for job 1\n"),
        (["JobId=1", "Licenses=x"], "Invalid license specification for job 1\n"),
        (["JobId=1", "ReqNodeList=zzz"], "Invalid node name specified for job 1\n"),
        (
            ["JobId=1", "Frob=1"],
            "Update of this parameter is not supported: Frob=1\nRequest aborted\n",
        ),
        (["JobId=1", "hold"], "Invalid input: hold\nRequest aborted\n"),
        (["JobId=1", "CPUsPerTask=x"], "scontrol: error: Invalid CPUsPerTask value: x\n"),
        (["JobId=1", "MinMemoryNode=2G"], "scontrol: error: Invalid MinMemoryNode value: 2G\n"),
        (["JobId=1", "MinMemoryNode=-5"], "scontrol: error: Invalid MinMemoryNode value: -5\n"),
        (
            ["JobId=1", "Nice=9999999999"],
            "scontrol: error: Nice value out of range (+/- 2147483645). Value ignored\n",
        ),
        (["JobId=1", "MinTmpDiskNode=x"], "scontrol: error: Invalid MinTmpDiskNode value: x\n"),
        (["JobId=1", "Requeue=maybe"], "scontrol: error: Invalid Requeue value: maybe\n"),
        (
            ["JobId=1", "NumCPUs=x"],
            (
                'scontrol: error: Invalid numeric value "x" for NumCPUs.\n'
                "scontrol: error: Invalid NumCPUs value: x\n"
            ),
        ),
        (["JobId=1", "NumTasks=0"], "Task count specification invalid for job 1\n"),
        (
            ["JobId=1", "StartTime=soon"],
            "Invalid time specification (pos=0): soon\nNo changes specified\n",
        ),
        (["JobId=1", "EndTime=now+1hour"], "Job is not running for job 1\n"),
        (["JobId=1", "MailType=ODD"], "Invalid MailType: ODD\n"),
        (
            ["JobId=1", "Gres=quantum:1"],
            "Invalid generic resource (gres) specification for job 1\n",
        ),
        (["JobId=1", "Prefer=x"], "Invalid preferred feature specification for job 1\n"),
        (["JobId=1", "ThreadSpec=1"], "Access/permission denied for job 1\n"),
        (
            ["JobId=1", "BurstBuffer=x"],
            "Requested operation not supported on this system for job 1\n",
        ),
        (["JobId=1", "UserID=bob"], "No changes specified\n"),
        (["JobId=1"], "No changes specified\n"),
        (["JobId=99", "name=x"], "Invalid job id specified for job 99\n"),
        (["JobId=abc", "name=x"], "Invalid job id specified for job abc\n"),
        (["JobId=4", "name=x"], "Job has already finished for job 4\n"),
        (
            ["JobId=2", "Priority=5"],
            "Job is in held state, pending scheduler release for job 2\n",
        ),
        (["JobId=3", "Partition=short"], "Job is no longer pending execution for job 3\n"),
        (["JobId=3", "MinMemoryNode=5"], "Job is no longer pending execution for job 3\n"),
        (["JobId=3", "MinMemoryNode=x"], "scontrol: error: Invalid MinMemoryNode value: x\n"),
        (["JobId=3", "Features=zzz"], "Job is no longer pending execution for job 3\n"),
        (["JobId=3", "WCKey=k"], "Job is no longer pending execution for job 3\n"),
        (
            ["JobId=3", "NumNodes=2"],
            "Requested operation not supported on this system for job 3\n",
        ),
        (
            ["JobId=3", "Priority=5"],
            "Changes to job priority are not persistent, change nice instead for job 3\n",
        ),
    ],
)
def test_a_wrong_change_changes_nothing(queue: RecordedQueue, words: list[str], err: str) -> None:
    heard = heard_of(queue, "update", *words)
    assert (heard.err, heard.code, queue.calls) == (err, 1, [])


def test_jobs_can_be_named(queue: RecordedQueue) -> None:
    assert heard_of(queue, "update", "JobName=waits", "Nice=5").code == 0
    assert queue.called("update") == [("1", "alice", {"nice": 5})]
    assert heard_of(queue, "update", "JobName=nobody", "Nice=5").code == 0


# What happens to the machine.


def test_a_node_is_drained_and_brought_back() -> None:
    cluster = three_nodes(is_idle=False)
    cluster.administrators = {"alice"}
    heard = heard_of(cluster, "update", "nodename=node[1-2]", "state=drain", "reason=a disk")
    assert heard.code == 0
    heard_of(cluster, "update", "NodeName=node3", "State=RESUME")
    assert cluster.called("update_node") == [
        ("node1", "alice", "DRAIN", "a disk"),
        ("node2", "alice", "DRAIN", "a disk"),
        ("node3", "alice", "RESUME", ""),
    ]


def test_the_controller_says_who_may_drain() -> None:
    cluster = three_nodes(is_idle=True)
    for words in (
        ("nodename=node3", "state=drain", "reason=x"),
        ("nodename=nosuch", "state=resume"),
        ("partitionname=long", "state=down"),
        ("partitionname=nosuch", "state=down"),
    ):
        heard = heard_of(cluster, "update", *words)
        assert (heard.err, heard.code) == ("slurm_update error: Invalid user id\n", 1)
    assert cluster.calls == []


@pytest.mark.parametrize(
    ("word", "changes"),
    [
        ("state=down", {"state": "DOWN"}),
        ("maxtime=1:00:00", {"max_time_s": 3600.0}),
        ("MaxTime=UNLIMITED", {"max_time_s": None}),
        ("DefMemPerCPU=2G", {"default_mem_per_cpu_mib": 2048}),
    ],
)
def test_a_partition_is_changed(word: str, changes: dict[str, object]) -> None:
    cluster = three_nodes(is_idle=True)
    cluster.administrators = {"alice"}
    assert heard_of(cluster, "update", "partitionname=long", word).code == 0
    assert cluster.called("update_partition") == [("long", "alice", changes)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["create"], "too few arguments for create keyword"),
        (["create", "odd"], "scontrol: error: Invalid creation entity: odd"),
        (["create", "partition=x"], "Error creating the partition: Invalid user id"),
        (["create", "node=x"], "Error creating the node(s): Invalid user id"),
        (["delete"], "too few arguments for delete keyword"),
        (
            ["delete", "odd"],
            "scontrol: error: Proper format is 'delete <ENTITY>=<ID>' or 'delete <ENTITY> <ID>'",
        ),
        (["delete", "jobid=1"], "Invalid deletion entity: jobid=1"),
        (["delete", "partition=x"], "delete_partition partition=x: Invalid user id"),
        (["delete", "node", "x"], "delete_node node: Invalid user id"),
        (["errnumstr", "5x"], "numeric arguments required for keyword:errnumstr"),
        (["write"], "too few arguments for keyword:write"),
        (["write", "odd"], "invalid write argument:odd"),
        (["write", "batch_script", "1", "a", "b"], "too many arguments for keyword:write"),
        (["setdebug", "loud"], "invalid debug level: loud"),
        (["setdebug", "5"], "slurm_set_debug_level error: Permission denied"),
        (["setdebugflags", "x"], "invalid debug flag: x\nUsage: setdebugflags [+|-]NAME"),
        (["setdebugflags", "+gres"], "slurm_set_debug_flags error: Permission denied"),
        (["setdebugflags", "-GRES,"], "slurm_set_debug_flags error: Permission denied"),
        (
            ["setdebugflags", "-gres,x"],
            "scontrol: error: Invalid DebugFlag: x\ninvalid debug flag: -gres,x",
        ),
        (["setdebugflags", "+gres", "-cgroup"], "too many arguments for keyword:setdebugflags"),
        (["setdebug", "-1"], "slurm_set_debug_level error: Permission denied"),
        (["setdebug", "10"], "invalid debug level: 10"),
        (["setdebug", "5", "node1"], "too many arguments for keyword:setdebug"),
        (["schedloglevel", "5"], "invalid schedlog level: 5"),
        (["schedloglevel", "1"], "slurm_set_schedlog_level error: Permission denied"),
        (["fsdampeningfactor", "5"], "slurm_set_fs_dampeningfactor error: Permission denied"),
        (["fsdampeningfactor", "5", "6"], "too many arguments for keyword:fsdampeningfactor"),
        (["reboot"], "Missing node list. Specify ALL|<NodeList>"),
        (["reboot", "ASAP", "reason=new kernel"], "Missing node list. Specify ALL|<NodeList>"),
        (["reboot", "nextstate=up", "ALL"], "Invalid state: up\nValid states: DOWN, RESUME"),
        (["reboot", "nextstate=", "ALL"], "missing state"),
        (["reboot", "node1", "node2"], "too many arguments for keyword:reboot"),
        (
            ["reboot_nodes", "ASAP", "nextstate=down", "node1"],
            (
                "scontrol: error: RebootProgram isn't defined\n"
                "scontrol_reboot_nodes error: Unspecified error"
            ),
        ),
        (["cancel_reboot"], "missing argument for keyword:cancel_reboot"),
        (["cancel_reboot", "node1"], "slurm_update error: Invalid user id"),
        (["cancel_reboot", "node1", "node2"], "too many arguments for keyword:cancel_reboot"),
        (["token", "lifespan"], "Invalid option: `lifespan`"),
        (["token", "lifespan=5", "user=bob"], "Invalid option: `user=bob`"),
        (["ping", "all"], "too many arguments for keyword:ping"),
        (["errnumstr", "1", "2"], "one arguments required for keyword:errnumstr"),
        (["pidinfo", "1", "2"], "too many arguments for keyword:pidinfo"),
        (["wait_job", "99999"], "scontrol: Problem running job 99999"),
        (["show", "step", "1"], "Job step 1. not found"),
        (["update", "partition=debug"], "scontrol: error: No changes specified"),
        (
            ["update", "partition=debug", "maxtime=x"],
            "scontrol: error: Invalid input maxtime=x\nslurm_update error: No error",
        ),
    ],
)
def test_a_small_word_that_makes_no_sense_is_told_in_slurms_words(
    queue: RecordedQueue, words: list[str], told: str
) -> None:
    heard = heard_of(queue, *words)
    assert (heard.err + heard.out, heard.code) == (f"{told}\n", 1)


# Small words.


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (["setdebug", "-1"], "", 0),
        (["SETDEBUGFLAGS", "-gres"], "", 0),
        (["schedloglevel", "1"], "slurm_set_schedlog_level error: {disabled}\n", 1),
        (["fsdampeningfactor", "5"], "", 0),
        (["fsdampeningfactor", "70000"], "", 0),
        (["fsdampeningfactor", "0"], "invalid dampening factor: 0\n", 0),
        (["fsdampeningfactor", "65536"], "invalid dampening factor: 65536\n", 0),
        (["fsdampeningfactor", "5x"], "invalid dampening factor: 5x\n", 0),
        (["cancel_reboot", "ALL"], "slurm_update error: Invalid node state specified\n", 1),
        (["cancel_reboot", "node[1-2]"], "slurm_update error: Invalid node state specified\n", 1),
        (["cancel_reboot", "node9"], "slurm_update error: Invalid node name specified\n", 1),
        (["cancel_reboot", "node["], "slurm_update error: Invalid node name specified\n", 1),
    ],
)
def test_what_root_sets_of_the_daemon_is_accepted_where_it_makes_sense(
    words: list[str], told: str, code: int
) -> None:
    cluster = three_nodes(is_idle=True)
    cluster.administrators = {"root"}
    heard = heard_of(cluster, *words, owner=ROOT)
    disabled = "Requested operation is presently disabled"
    assert (heard.out, heard.err, heard.code) == ("", told.format(disabled=disabled), code)


def test_the_names_of_this_host_are_those_of_its_nodes() -> None:
    queue = three_nodes(is_idle=True)
    assert heard_of(queue, "show", "aliases").out == "node1 node2 node3\n"
    assert heard_of(queue, "show", "aliases", "node1").out == ""


def test_config_is_listed_as_clients_read_it() -> None:
    heard = heard_of(three_nodes(is_idle=True), "show", "config")
    lines = heard.out.splitlines()
    assert lines[0] == "Configuration data as of 2026-11-24T04:54:35"
    assert "MaxArraySize            = 1001" in lines
    assert lines[-2:] == ["", "Slurmctld(primary) at vm is UP"]


def test_a_file_of_names_is_read_on_the_callers_side() -> None:
    files = {"/home/alice/hosts": b"node1\nnode2\n"}
    heard = heard_of(
        three_nodes(is_idle=True), "show", "hostlist", "/home/alice/hosts", files=files
    )
    assert (heard.out, heard.code) == ("node[1-2]\n", 0)
    missing = heard_of(three_nodes(is_idle=True), "show", "hostlist", "/nowhere")
    assert missing.code == 1
    assert "/nowhere" in missing.err


def test_words_come_from_standard_input_when_none_are_given() -> None:
    heard = heard_of(three_nodes(is_idle=True), files={"-": b"ping\nfrob\n\nquit\nping\n"})
    assert heard.out == (
        "scontrol: ping\nSlurmctld(primary) at vm is UP\nscontrol: frob\nscontrol: \n"
        "scontrol: quit\n"
    )
    assert (heard.err, heard.code) == ("invalid keyword: frob\n", 1)


def test_a_script_is_written_by_the_caller_or_to_standard_output(queue: RecordedQueue) -> None:
    text = heard_of(queue, "write", "batch_script", "1", "-").out
    assert text.startswith("#!/bin/sh\n")
    written = heard_of(queue, "write", "batch_script", "1", "copy.sh")
    assert written.out == "batch script for job 1 written to copy.sh\n"
    assert written.requests == [WriteFile("copy.sh", text.encode(), 0o700)]
    denied = heard_of(
        queue, "write", "batch_script", "1", replies=[PermissionError(13, "Permission denied")]
    )
    assert denied.err == ("scontrol: error: failed to open file `slurm-1.sh`: Permission denied\n")


def test_a_name_means_ones_own_jobs_unless_it_is_said_whose(queue: RecordedQueue) -> None:
    def updated(*words: str, owner: Owner) -> int:
        before = len(queue.called("update"))
        assert heard_of(queue, "update", "JobName=waits", "Nice=5", *words, owner=owner).code == 0
        return len(queue.called("update")) - before

    alice = call_of("scontrol").owner
    assert [updated(owner=each) for each in (alice, BOB, ROOT)] == [1, 0, 1]
    assert [updated(f"UserId={each}", owner=ROOT) for each in ("alice", "2001", "bob")] == [1, 1, 0]


def test_the_script_of_another_is_not_written_for_everybody(queue: RecordedQueue) -> None:
    heard = heard_of(queue, "write", "batch_script", "1", "-", owner=BOB)
    assert (heard.out, heard.err) == ("", "job script retrieval failed: Invalid user id\n")


def test_licences_are_shown_with_what_is_left() -> None:
    machine = msgspec.structs.replace(THREE_NODE_MACHINE, licenses={"ansys": 2, "matlab": 4})
    queue = RecordedQueue(at("04:54:58"), machine=machine)
    assert heard_of(queue, "-o", "show", "licenses").out == (
        "LicenseName=ansys Total=2 Used=0 Free=2 Reserved=0 Remote=no\n"
        "LicenseName=matlab Total=4 Used=0 Free=4 Reserved=0 Remote=no\n"
    )
    assert heard_of(queue, "show", "license", "ansys").out == (
        "LicenseName=ansys\n    Total=2 Used=0 Free=2 Reserved=0 Remote=no\n"
    )
    assert heard_of(queue, "show", "license", "nosuch").out == ""


def test_options_may_stand_anywhere(queue: RecordedQueue) -> None:
    first = heard_of(queue, "-o", "show", "job", "1").out
    assert heard_of(queue, "show", "job", "-o", "1").out == first
    assert first.count("\n") == 1


def test_no_job_is_said_so() -> None:
    assert heard_of(RecordedQueue(0.0), "show", "job").out == "No jobs in the system\n"


def test_an_unlimited_partition_is_said_so() -> None:
    cluster = three_nodes(is_idle=True)
    assert cluster.partitions()[0].max_time_s in (None, FOREVER)
    assert "MaxTime=UNLIMITED" in heard_of(cluster, "show", "part", "debug", "-o").out
