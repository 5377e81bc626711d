"""Whether a replayed case matches its recording; if not, where."""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from conformance.cases import Case, steps_of
from conformance.furnishings import is_furnished
from conformance.normalise import RECORDED, Side, canonical, same, writes_at_once

ACCEPTED = Path(__file__).with_name("differences.toml")


class Verdict(msgspec.Struct, frozen=True):
    """A case's outcome: ``parts`` are the names of what differs, none if it matches."""

    case: Case
    parts: tuple[str, ...]
    result: Mapping[str, Any]
    reason: str = ""
    """Why a difference is accepted."""

    @property
    def kind(self) -> str:
        """Return ``match``, ``accepted`` or ``differ``."""
        if not self.parts:
            return "match"
        return "accepted" if self.reason else "differ"


def accepted_reasons(path: Path = ACCEPTED) -> dict[str, str]:
    """Return the accepted differences: by case id, the reason."""
    found = tomllib.loads(path.read_text())
    return {case_id: found["reasons"][key] for case_id, key in found["accepted"].items()}


@functools.cache
def accepted_statuses(path: Path = ACCEPTED) -> frozenset[str]:
    """Return the ids of the cases of which a reason covers an exit status, too."""
    return frozenset(tomllib.loads(path.read_text())["exit-status"]["cases"])


def judge(case: Case, result: Mapping[str, Any], reasons: Mapping[str, str]) -> Verdict:
    """Compare a case with what its replay did."""
    parts = tuple(name for name, *_ in _differences(case, result))
    reason = reasons.get(case.id, "")
    if any(part.endswith("rc") for part in parts) and case.id not in accepted_statuses():
        reason = ""
    is_alone = not result.get("has_second_user", True)
    if not reason and parts and is_alone and (case.needs_others or is_furnished(case)):
        reason = (
            "The replay does not run as root: what others did is done by the one user there is."
        )
    return Verdict(case, parts, result, reason)


def explain(verdict: Verdict) -> str:
    """Return the differences of a case for people, in common form."""
    lines = [f"case {verdict.case.id}: {verdict.case.line}"]
    if verdict.case.setup:
        lines += [f"  set-up: {step}" for step in verdict.case.setup]
    if "error" in verdict.result:
        return "\n".join([*lines, str(verdict.result["error"])])
    side = side_of(verdict.result)
    for name, command, theirs, ours in _differences(verdict.case, verdict.result):
        lines.append(f"--- {name} of: {command}")
        lines += difflib.unified_diff(
            canonical(str(theirs), RECORDED, command),
            canonical(str(ours), side, command),
            "recorded",
            "stoker",
            lineterm="",
        )
    return "\n".join(lines)


def side_of(result: Mapping[str, Any]) -> Side:
    """Return how our texts of a result are brought into the recorded form."""
    ids = {ours: int(theirs) for theirs, ours in result.get("ids", {}).items()}
    words = [(f"{result.get('home')}/bin:", ""), (f"{result.get('home')}/bin/", "/usr/bin/")]
    directory = result.get("directory", "")
    if not directory.startswith("/home/alice"):
        parent = directory.rpartition("/")[0]
        words = [
            (directory, f"/home/alice/{directory.rpartition('/')[2]}"),
            (parent, "/home/alice"),
        ]
    return Side(ids, words)


_Difference = tuple[str, str, Any, Any]


def _differences(case: Case, result: Mapping[str, Any]) -> Iterator[_Difference]:
    if "error" in result:
        yield "replay", case.line, "", result["error"]
        return
    side = side_of(result)
    form = (case.raw.get("env") or {}).get("SLURM_TIME_FORMAT")
    if form is not None:
        # With it points in time are told by the hour alone, as spans of time are.
        theirs, ours = _timeless(case.raw, form), _timeless(result, form)
        yield from _of_command("", case.line, theirs, ours, side)
        return
    yield from _of_command(
        "", case.line, case.raw, result, side, has_several_writers=_has_several_writers(case)
    )
    for number, (theirs, ours) in enumerate(
        zip(case.raw.get("then") or (), result["then"], strict=True), 1
    ):
        if "wait" in theirs:
            if not ours["waited"]:
                yield f"then {number}", f"wait for {theirs['wait']}", "", "it did not come to be"
            continue
        command = theirs["cmd"] if isinstance(theirs["cmd"], str) else " ".join(theirs["cmd"])
        prefix = f"then {number} "
        yield from _of_command(
            prefix, command, theirs, ours, side, has_several_writers=_has_several_writers(case)
        )
    for name, text in _own_files(case):
        ours = result["files"].get(name)
        if ours is None:
            yield f"file {name}", case.line, text, "(it is not there)"
        elif not same(text, ours, side, case.line, has_several_writers=_has_several_writers(case)):
            yield f"file {name}", case.line, text, ours


def _timeless(outcome: Mapping[str, Any], form: str) -> Mapping[str, Any]:
    minutes = r"(?<![:\d-])\d\d:\d\d(?![:\d])"
    clock = re.compile(minutes if form == "%H:%M" else r"\b\d\d:\d\d:\d\d\b")
    told = {name: clock.sub("CLOCK", outcome[name]) for name in ("stdout", "stderr")}
    return {**outcome, **told}


def _own_files(case: Case) -> Iterator[tuple[str, str]]:
    """Yield name and text of the files that a case's own jobs left, not those of jobs before."""
    own = {int(job_id) for job_id in re.findall(r"\bjob (\d+)", case.raw["stdout"])}
    own |= {step.job_id for step in steps_of(case.setup)}
    for name, text in (case.raw.get("files") or {}).items():
        named = re.fullmatch(r"slurm-(\d+)\.out", name)
        if not own or named is None or int(named[1]) in own:
            yield name, text


def _has_several_writers(case: Case) -> bool:
    """Whether what a case runs are steps of several tasks, or several at once."""
    texts = [case.raw.get("script") or "", *(case.raw.get("input_files") or {}).values()]
    env = case.raw.get("env") or {}
    asked = "".join(f" -n {env[name]}" for name in ("SLURM_NTASKS", "SLURM_NPROCS") if name in env)
    said = (f"{case.line}{asked}\n{text}" for text in ("", *texts))
    return any(map(writes_at_once, (*said, *case.setup)))


def _of_command(
    prefix: str,
    command: str,
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
    side: Side,
    *,
    has_several_writers: bool = False,
) -> Iterator[_Difference]:
    shows_output = has_several_writers and re.search(r"\b(?:cat|srun)\b", command) is not None
    if theirs["rc"] != ours["rc"]:
        yield f"{prefix}rc", command, theirs["rc"], ours["rc"]
    for stream in ("stdout", "stderr"):
        told = theirs[stream], ours[stream]
        if not same(*told, side, command, has_several_writers=shows_output):
            yield prefix + stream, command, theirs[stream], ours[stream]
