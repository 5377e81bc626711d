"""sbatch against what a real one said to the same command lines and scripts, and on its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from errno import EFBIG
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands import joboptions, variables
from stoker.commands.sbatch import sbatch
from stoker.commands.submission import read_draft
from stoker.core.enums import JobState
from stoker.core.errors import InvalidSpec
from stoker.core.models import Node
from stoker.core.units import format_elapsed, format_memory
from stoker.worker.call import Interrupted, ReadFile, Say, UntilEnded
from stoker.worker.requests import Submission
from support.commandlines import random_words
from support.controller import MACHINE, ROOT, FakeController, Heard, call_of, converse
from support.recordings import cases, parameters

UNLIKE = {
    "sbatch-help": "the help is our own",
    "sbatch-usage": "the help is our own",
    "sbatch-verbose": "it names Slurm's plugins",
    "sbatch-e-tmp-too-much": "nodes have no figure for their disk",
    "plain-tmp": "nodes have no figure for their disk",
    "sbatch-d-hetjob": "heterogeneous jobs are refused",
}
TOPICS = {
    "sbatch: success",
    "sbatch: directives",
    "sbatch: precedence",
    "sbatch: errors",
    "sbatch: begin",
    "sbatch: options",
    "notation: time",
    "sbatch: output files",
    "sbatch: export",
    "sbatch: impossible requests, not held",
}


def is_replayed(case: Mapping[str, Any]) -> bool:
    """Whether the outcome of a case is known when sbatch returns, without the job having run."""
    words = words_of(case)
    return (
        case["topic"] in TOPICS
        and case["id"] not in UNLIKE
        and words[0] == "sbatch"
        and not {"-W", "--wait", "sbatch;", "umask"} & set(words)
    )


def words_of(case: Mapping[str, Any]) -> list[str]:
    command = case["cmd"]
    return shlex.split(command) if isinstance(command, str) else command


def replay(case: Mapping[str, Any], controller: FakeController) -> Heard:
    call = call_of(*words_of(case), environment=case.get("env"), work_dir="/home/alice/sbatch")
    files = {name: text.encode() for name, text in case.get("input_files", {}).items()}
    files = {**files, **{f"/home/alice/sbatch/{name}": text for name, text in files.items()}}
    if "script" in case:
        files["job.sh"] = case["script"].encode("utf-8", "surrogateescape")
    elif case["id"] == "sbatch-e-empty":
        files["job.sh"] = b""
    files["-"] = case.get("stdin", "").encode()
    return converse(sbatch(call, controller), files=files)


RECORDED = parameters(filter(is_replayed, (*cases("sbatch"), *cases("plain"))))


@pytest.mark.parametrize("case", RECORDED)
def test_says_what_slurm_said(case: dict[str, Any]) -> None:
    controller = FakeController()
    ids = re.findall(r"\d+", case["stdout"] + case["stderr"][: 20 * ("Job" in case["stderr"])])
    controller.next_id = int(ids[0]) if ids else 1
    heard = replay(case, controller)
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
    assert stamp.sub("", heard.err) == stamp.sub("", case["stderr"])
    assert (heard.out, heard.code) == (case["stdout"], case["rc"])


FIELDS = re.compile(
    r"name=(?P<name>.*)\|time=(?P<time>.*)\|partition=(?P<partition>.*)\|cpus=(?P<cpus>\d+)"
    r"\|per task=\d+\|mem=(?P<mem>\w+)\|nodes=\d+\|comment=(?P<comment>.*)"
    r"\|command=(?P<command>.*)\n"
)


def shown_fields(case: Mapping[str, Any]) -> re.Match[str] | None:
    return FIELDS.fullmatch(case["then"][0].get("stdout", "")) if case.get("then") else None


@pytest.mark.parametrize(
    "case", parameters(each for each in cases("sbatch") if is_replayed(each) and shown_fields(each))
)
def test_asks_for_what_slurm_was_asked_for(case: dict[str, Any]) -> None:
    controller = FakeController()
    replay(case, controller)
    expected = shown_fields(case)
    assert expected is not None
    (job,) = controller.jobs.values()
    shape = controller.shape(job)
    memory = shape.memory_per_node_mib or shape.memory_per_cpu_mib or 0
    assert {
        "name": job.name,
        "time": format_elapsed(job.time_limit_s),
        "partition": job.partition,
        "cpus": str(job.spec.cpus),
        "mem": format_memory(memory),
        "comment": job.spec.comment or "(null)",
        "command": job.spec.command,
    } == expected.groupdict()


@pytest.mark.parametrize(
    "case",
    parameters(
        each
        for each in cases("sbatch")
        if each["topic"] == "sbatch: begin" and each["rc"] == 0 and is_replayed(each)
    ),
)
def test_reads_times_as_slurm_did(case: dict[str, Any]) -> None:
    now = datetime.fromisoformat(case["then"][0]["stdout"].strip() + "+00:00").timestamp()
    controller = FakeController(now=now)
    call = call_of(*case["cmd"], now=now)
    converse(sbatch(call, controller), files={"job.sh": b"#!/bin/sh\n"})
    expected = re.findall(r"EligibleTime=(\S+)", case["then"][1]["stdout"])[0]
    at = datetime.fromtimestamp(controller.submissions[0].begin_at, UTC)
    # A time that has passed shows as Unknown, since the job is held.
    assert expected in (f"{at:%Y-%m-%dT%H:%M:%S}", "Unknown" if at.timestamp() < now else "")


OUTPUTS = {
    "sbatch-o-D": ("/tmp", "/tmp/slurm-%j.out", ""),
    "sbatch-o-chdir-rel": (
        "/home/alice/sbatch/sub",
        "/home/alice/sbatch/sub/slurm-%j.out",
        "",
    ),
    "sbatch-o-error": (
        "/home/alice/sbatch",
        "/home/alice/sbatch/slurm-%j.out",
        "/home/alice/sbatch/err.%j",
    ),
    "sbatch-out-none": ("/home/alice/sbatch", "/dev/null", ""),
    "sbatch-out-null": ("/home/alice/sbatch", "/dev/null", ""),
    "sbatch-out-subdir": ("/home/alice/sbatch", "/home/alice/sbatch/sub/o-%j", ""),
    "sbatch-out-array-o": ("/home/alice/sbatch", "/home/alice/sbatch/o-%A-%a-%4a-%j", ""),
}


@pytest.mark.parametrize("case", parameters(c for c in cases("sbatch") if c["id"] in OUTPUTS))
def test_file_names_are_made_absolute(case: dict[str, Any]) -> None:
    controller = FakeController()
    replay(case, controller)
    spec = controller.submissions[0].spec
    assert (spec.work_dir, spec.stdout, spec.stderr) == OUTPUTS[case["id"]]


def is_waited_for(case: Mapping[str, Any]) -> bool:
    return case["id"].startswith("sbatch-export-")


@pytest.mark.parametrize("case", parameters(filter(is_waited_for, cases("sbatch"))))
def test_passes_on_what_slurm_passed_on(case: dict[str, Any]) -> None:
    controller = FakeController()
    environment = {
        "HOME": "/home/alice",
        "USER": "alice",
        "SHELL": "/bin/bash",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "SLURM_CONF": "kept",
        **case["env"],
    }
    call = call_of(*case["cmd"], environment=environment)
    converse(
        sbatch(call, controller),
        files={"job.sh": case["script"].encode()},
        replies=[[controller.add(1, state=JobState.COMPLETED)]],
    )
    found = dict(entry.split("=", 1) for entry in controller.submissions[0].environment)
    seen = "".join(
        f"{line}\n"
        for line in (
            " ".join(
                f"{name}={found.get(name, '')}" for name in ("A", "B", "HOME", "USER", "SHELL")
            ),
            f"PATH={found['PATH']}",
            *sorted(
                f"{name}={value}"
                for name, value in found.items()
                if name.startswith(("SLURM_EXPORT", "SLURM_GET", "SBATCH"))
            ),
        )
    )
    assert seen == next(iter(case["files"].values()))
    assert found["SLURM_CONF"] == "kept"


SCRIPT = b"#!/bin/sh\ntrue\n"


def submitted(*argv: str, script: bytes = SCRIPT, **surroundings: Any) -> Submission:
    controller = FakeController()
    heard = converse(
        sbatch(call_of("sbatch", *argv, **surroundings), controller),
        files={"job.sh": script, "-": script},
    )
    assert heard.err == ""
    return controller.submissions[0]


def test_the_key_of_the_call_makes_a_retry_the_same_submission() -> None:
    assert submitted("job.sh", key="k1").key == "k1"


def test_a_wait_prints_the_id_first_and_ends_with_the_jobs_code() -> None:
    controller = FakeController()
    job = controller.add(9, state=JobState.FAILED, exit_code=3)
    heard = converse(
        sbatch(call_of("sbatch", "-W", "job.sh"), controller),
        files={"job.sh": SCRIPT},
        replies=[[job]],
    )
    assert [type(request) for request in heard.requests] == [ReadFile, Say, UntilEnded]
    assert (heard.out, heard.code) == ("Submitted batch job 10\n", 3)


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([{"exit_code": 1}, {"exit_code": 3}, {"state": JobState.COMPLETED}], 3),
        ([{"exit_signal": 9}], 1),
        ([{"state": JobState.CANCELLED}], 1),
        ([{"state": JobState.COMPLETED}], 0),
        ([{"exit_code": 255}], 255),
    ],
)
def test_an_array_ends_with_its_highest_code(ends: list[dict[str, Any]], code: int) -> None:
    controller = FakeController()
    jobs = [
        controller.add(number, **{"state": JobState.FAILED, **end})
        for number, end in enumerate(ends, 1)
    ]
    heard = converse(
        sbatch(call_of("sbatch", "-W", "-Q", "-a1-3", "job.sh"), controller),
        files={"job.sh": SCRIPT},
        replies=[jobs],
    )
    assert (heard.out, heard.code) == ("", code)


def test_interrupting_a_wait_leaves_the_job_alone() -> None:
    controller = FakeController()
    with pytest.raises(Interrupted):
        converse(
            sbatch(call_of("sbatch", "-W", "job.sh"), controller),
            files={"job.sh": SCRIPT},
            replies=[Interrupted(2)],
        )
    assert not controller.called("cancel")


def test_gpus_become_generic_resources_of_each_node() -> None:
    spec = submitted("-H", "-N2", "-n4", "job.sh").spec
    assert (spec.min_nodes, spec.max_nodes, spec.ntasks) == (2, 2, 4)
    nodes = tuple(Node(f"node{n}", n - 1, 8, 16_000, {"gpu": 4}) for n in (1, 2))
    controller = FakeController(msgspec.structs.replace(MACHINE, nodes=nodes))
    asked = {
        "--gpus=4": "gpu:4",
        "--gpus-per-node=2": "gpu:2",
        "--gpus-per-task=1": "gpu:3",
        "--gres=gpu:1": "gpu:1",
    }
    for option, expected in asked.items():
        converse(
            sbatch(call_of("sbatch", "-n3", option, "job.sh"), controller), files={"job.sh": SCRIPT}
        )
        assert controller.submissions[-1].spec.gres == expected


def test_bounds_of_an_array_are_told_to_its_tasks() -> None:
    found = dict(entry.split("=", 1) for entry in submitted("-a2-10:4%2", "job.sh").environment)
    assert {name: value for name, value in found.items() if "ARRAY" in name} == {
        "SLURM_ARRAY_TASK_COUNT": "3",
        "SLURM_ARRAY_TASK_MAX": "10",
        "SLURM_ARRAY_TASK_MIN": "2",
        "SLURM_ARRAY_TASK_STEP": "4",
    }


def test_an_export_file_is_read_by_the_caller() -> None:
    controller = FakeController()
    converse(
        sbatch(call_of("sbatch", "--export=NONE", "--export-file=vars", "job.sh"), controller),
        files={"job.sh": SCRIPT, "vars": b"A=1\0B=two\nlines\0broken\0"},
    )
    found = dict(entry.split("=", 1) for entry in controller.submissions[0].environment)
    assert (found["A"], found["B"]) == ("1", "two\nlines")
    assert "broken" not in found


@pytest.mark.parametrize(
    ("option", "begin"),
    [("--export=NONE", "/s/bin:/usr/"), ("--export=A", "/s/bin:/usr/"), ("--export=ALL", "/usr/")],
)
def test_a_job_without_its_callers_path_finds_slurms_names(option: str, begin: str) -> None:
    controller = FakeController()
    controller.names_directory = "/s/bin"
    converse(sbatch(call_of("sbatch", option, "--wrap=true"), controller))
    found = dict(entry.split("=", 1) for entry in controller.submissions[0].environment)
    assert found["PATH"].startswith(begin)


def test_values_of_export_may_be_quoted() -> None:
    environment = submitted("--export=A='x,y',ALL", "job.sh").environment
    assert "A=x,y" in environment


def test_only_named_limits_are_passed_on() -> None:
    limits = {"nofile": (512, 1024), "core": (0, 0)}
    assert submitted("job.sh", rlimits=limits).spec.rlimits == limits
    assert submitted("--propagate=CORE", "job.sh", rlimits=limits).spec.rlimits == {"core": (0, 0)}
    assert submitted("--propagate=NONE", "job.sh", rlimits=limits).spec.rlimits == {}


def test_a_percent_sign_in_the_directory_stands_for_itself() -> None:
    assert submitted("job.sh", work_dir="/data/50%j").spec.stdout == "/data/50%%j/slurm-%j.out"


def test_a_removed_directory_is_told() -> None:
    heard = converse(
        sbatch(call_of("sbatch", "job.sh", work_dir=""), FakeController()),
        files={"job.sh": SCRIPT},
    )
    assert heard.err == "sbatch: error: getcwd failed: No such file or directory\n"
    assert heard.code == 255


def test_a_script_that_is_too_large_is_refused() -> None:
    call = call_of("sbatch", "job.sh")
    conversation = sbatch(call, FakeController())
    assert isinstance(conversation, Generator)
    conversation.send(None)
    with pytest.raises(StopIteration) as stop:
        conversation.throw(OSError(EFBIG, "File too large", "job.sh"))
    assert "Pathname of a file, directory or other parameter too long" in stop.value.value.err


def test_a_draft_is_read_as_sbatch_reads_its_options() -> None:
    call = call_of("sbatch", "-n2", "--mem=1G", "--", "echo", "a b", "$HOME")
    submission = read_draft(call, b"")
    assert submission.spec.argv == ("echo", "a b", "$HOME")
    assert (submission.spec.name, submission.spec.ntasks) == ("echo", 2)
    assert submission.spec.mem_per_node_mib == 1024
    script = b"#!/bin/sh\n#SBATCH -J named\n"
    submission = read_draft(call_of("sbatch", "--", "arg"), script)
    assert (submission.script, submission.spec.argv) == (script, ("arg",))
    assert submission.spec.name == "named"


@pytest.mark.parametrize(
    ("argv", "script", "sentence"),
    [
        (["--time=soon", "true"], b"", "Invalid --time specification"),
        (["--frob", "true"], b"", "unrecognized option '--frob'"),
        (["--help"], b"", "it asks for help only"),
        ([], b"", "give a command"),
        ([], b"echo\n", "does not look like a batch script"),
    ],
)
def test_a_wrong_draft_is_refused_with_one_sentence(
    argv: list[str], script: bytes, sentence: str
) -> None:
    with pytest.raises(InvalidSpec, match=sentence):
        read_draft(call_of("sbatch", *argv), script)


@pytest.mark.parametrize(
    ("argv", "script"),
    [
        (["--uid=alice", "true"], b""),
        (["--gid=staff", "true"], b""),
        ([], b"#!/bin/sh\n#SBATCH --uid=alice\n"),
    ],
)
def test_roots_draft_of_a_job_that_is_another_users_is_not_taken_for_roots(
    argv: list[str], script: bytes
) -> None:
    with pytest.raises(InvalidSpec, match=r"^cannot use --.id here: call sbatch$"):
        read_draft(call_of("sbatch", *argv, owner=ROOT), script)


@given(st.lists(random_words(joboptions.SBATCH), max_size=6), st.binary(max_size=120))
def test_no_command_line_and_no_script_raises(argv: list[str], body: bytes) -> None:
    ended = [FakeController().add(1, state=JobState.COMPLETED)]
    for script in (body, b"#!/bin/sh\n#SBATCH " + body):
        controller = FakeController()
        heard = converse(
            sbatch(call_of("sbatch", *argv), controller),
            files={"-": script, "job.sh": script},
            replies=lambda _: ended,
        )
        assert 0 <= heard.code <= 255
        assert (heard.code == 0) or heard.err or controller.submissions


@given(st.sampled_from(sorted(variables.SBATCH)), st.text(max_size=12))
def test_no_variable_raises(name: str, value: str) -> None:
    controller = FakeController()
    heard = converse(
        sbatch(call_of("sbatch", "job.sh", environment={name: value}), controller),
        files={"job.sh": SCRIPT},
        replies=lambda _: [controller.add(1, state=JobState.COMPLETED)],
    )
    assert 0 <= heard.code <= 255
