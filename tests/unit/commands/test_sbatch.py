"""sbatch against what a real one said to the same command lines and scripts, and on its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from stoker.commands.sbatch import sbatch
from support.controller import FakeController, Heard, call_of, converse
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
