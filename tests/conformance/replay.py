"""Replays one group of cases: a program that reads the group and writes what each case did.

It runs inside the world that `conformance.sandbox` makes. Groups come in, and results go out, as
lines of JSON.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from conformance.cases import Case, Group, Step, steps_of
from conformance.cluster import COMMAND_LIMIT_S, TOKEN_PLACES, Cluster
from conformance.deeds import deeds_before, deeds_before_set_up
from conformance.furnishings import earlier_jobs, furnishings
from conformance.ids import learnt, translated, translated_argv

_SUBMIT = "sbatch"
_POST = "POST "
_GIVEN = re.compile(r"(?:Submitted batch job|Granted job allocation|STEP|StepId=) ?(\d+)")
_KILLED = re.compile(r"still running after (\d+) s")


class Replay:
    """One group on one cluster."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.steps = steps_of(group.setup)
        self.cluster = Cluster(group.file, self._first_id(), self._token_places())
        self.furnishings = dict(furnishings(group, has_second_user=self.cluster.has_second_user))
        self.setup_ids: dict[int, int] = {}
        self.kept_files: set[str] = set()

    def _token_places(self) -> list[str]:
        """Return where the cases ask with tokens."""
        lines = [case.line for case in self.group.cases]
        places = {place: place.removeprefix("unix:") for place in TOKEN_PLACES}
        return [place for place, name in places.items() if any(name in line for line in lines)]

    def _first_id(self) -> int:
        """Return the id that the recording's first job of this group had, as far as we can tell."""
        if ids := [step.job_id for step in self.steps if step.job_id]:
            return max(1, ids[0] - len(earlier_jobs(self.group)))
        for case in self.group.cases:
            if match := _GIVEN.search(case.raw["stdout"] + case.raw["stderr"]):
                return int(match[1])
        return 1

    def results(self) -> Iterator[dict[str, Any]]:
        """Do the set-up, then case after case; what each did."""
        try:
            self.cluster.start()
            self._set_up()
            for case in self.group.cases:
                self._furnish(case)
                for step in deeds_before(case.id):
                    self._do(step)
                yield self._guarded(case)
        finally:
            self.cluster.close()

    def _furnish(self, case: Case) -> None:
        """Enter into the account book what was there before a case."""
        for words in self.furnishings.pop(case.id, ()):
            self.cluster.run(["sacctmgr", "-i", *words], user="root")

    def _set_up(self) -> None:
        if self.steps and self.group.cases:
            self._furnish(self.group.cases[0])
        for command in earlier_jobs(self.group):
            self.cluster.run(command)
        for step in deeds_before_set_up(self.group.cases):
            self._do(step)
        late: list[int] = []
        latest_id = 0
        for step, following in itertools.zip_longest(self.steps, self.steps[1:]):
            if step.file:
                self._write(step.file, step.command)
            elif _is_waited_for(step, following):
                self._do(step)
                self.cluster.wait_for_job(self.setup_ids[step.job_id], "RUNNING")
            elif _starts_late(step, following):
                self._do(
                    Step(f"{_SUBMIT} -H{step.command[len(_SUBMIT) :]}", step.user, step.job_id)
                )
                late.append(self.setup_ids[step.job_id])
            else:
                self._do(step)
                if late and _skips_ids(step, latest_id):
                    # They had their ids before this job came, and their records after its own.
                    self._release(late)
            latest_id = max(latest_id, step.job_id)
        self._release(late)
        if self.steps and not any(map(_follows_at_once, self.group.cases)):
            limits = any(" -t 1 " in text for text in self.group.setup)
            self.cluster.settle(limits=limits)
        self.kept_files = {path.name for path in self.cluster.directory.iterdir()}

    def _release(self, late: list[int]) -> None:
        """Let go of arrays whose tasks were to start late."""
        for job_id in late:
            self.cluster.run(["scontrol", "release", str(job_id)])
        late.clear()

    def _do(self, step: Step) -> None:
        if self.setup_ids and _meets_others(step):
            # What was to end had ended by then; here everything comes at once.
            self.cluster.settle()
        command = translated(step.command, self.setup_ids)
        if step.command.startswith(_POST):
            command = self._post(step.command)
        ran = self.cluster.run(command, user=step.user)
        if step.job_id:
            found = re.search(r"job (\d+)|\"job_id\": (\d+)", ran["stdout"] + ran["stderr"])
            ours = int(found[1] or found[2]) if found else self.cluster.next_id() - 1
            self.setup_ids[step.job_id] = ours

    def _post(self, step: str) -> list[str]:
        """Return the command that posts what a step like ``POST /job/submit {...}`` says."""
        path, body = step.removeprefix(_POST).split(" ", 1)
        socket = str(self.cluster.socket)
        head = ["-H", "Content-Type: application/json", "-d", body]
        return [
            "curl",
            "-s",
            "--unix-socket",
            socket,
            *head,
            f"http://localhost/slurm/v0.0.38{path}",
        ]

    def _guarded(self, case: Case) -> dict[str, Any]:
        try:
            return self._play(case)
        except Exception:  # noqa: BLE001 - a broken case must not end the group
            return {"id": case.id, "error": traceback.format_exc(limit=3)}

    def _play(self, case: Case) -> dict[str, Any]:
        raw = case.raw
        self._write_inputs(raw)
        self.cluster.forget_mail()
        user = raw.get("user", "alice")
        self._make_directories(raw.get("files") or ())
        first = self.cluster.next_id()
        ids = dict(self.setup_ids)
        ran = self.cluster.run(
            self._command(raw["cmd"], ids),
            user=user,
            stdin=raw.get("stdin"),
            env=raw.get("env"),
            limit_s=_patience(raw),
        )
        given = range(first, self.cluster.next_id())
        _learn(ids, raw["stdout"] + raw["stderr"], ran["stdout"] + ran["stderr"], given)
        then = [self._follow(each, user, ids, given) for each in raw.get("then") or []]
        files = self._files(raw.get("files") or {}, ids, given)
        if self.cluster.speaks_http:
            # Later cases ask for the jobs of earlier ones.
            self.setup_ids = ids
        elif not self.steps:
            self.cluster.clear(set())
        self._remove_new_files()
        return {
            "id": case.id,
            **ran,
            "then": then,
            "files": files,
            "ids": {str(theirs): ours for theirs, ours in ids.items()},
            "given": [given.start, given.stop],
            "has_second_user": self.cluster.has_second_user,
            "directory": str(self.cluster.directory),
            "home": str(self.cluster.home),
        }

    def _command(self, command: str | list[str], ids: Mapping[int, int]) -> str | list[str]:
        if isinstance(command, str):
            return translated(command, ids)
        return translated_argv(command, ids)

    def _follow(
        self, each: Mapping[str, Any], user: str, ids: dict[int, int], given: range
    ) -> dict[str, Any]:
        if "wait" in each:
            latest = max(given, default=0)
            return {"waited": not latest or self.cluster.wait_for_job(latest, each["wait"])}
        command = each["cmd"]
        self._guess(command, ids, given)
        ran = self.cluster.run(self._command(command, ids), user=user)
        _learn(ids, each["stdout"], ran["stdout"], given)
        return dict(ran)

    def _guess(self, command: str | list[str], ids: dict[int, int], given: range) -> None:
        """Take an id that is nowhere printed for that of the one job there can be."""
        text = command if isinstance(command, str) else " ".join(command)
        named = re.findall(r"(?:-j|job|jobid=) ?(\d+)", text)
        for word in named:
            if int(word) not in ids and len(given):
                ids[int(word)] = given[-1]

    def _files(
        self, expected: Mapping[str, str], ids: dict[int, int], given: range
    ) -> dict[str, str]:
        if not expected:
            return {}
        jobs = list(given) or list(self.setup_ids.values())[-1:]
        for job_id in jobs:
            self.cluster.wait_for_job(job_id, "done")
        found = {}
        for name, text in expected.items():
            ours = name.replace("JOBID", str(jobs[-1] if jobs else 0))
            path = self._find(_with_our_ids(ours, ids)) or self._find(ours)
            if path is None and len(given) == 1:
                # Nothing printed the id; it stands in the name alone.
                named = [word for word in re.findall(r"\d{2,}", ours) if int(word)]
                ids |= {int(word): given[0] for word in named[:1] if int(word) not in ids}
                path = self._find(_with_our_ids(ours, ids))
            if path is not None:
                found[name] = path.read_text(errors="replace")
                _learn(ids, text, found[name], given)
        return found

    def _find(self, name: str) -> Path | None:
        path = self.cluster.directory / name
        return path if path.is_file() else None

    def _write_inputs(self, raw: Mapping[str, Any]) -> None:
        if (script := raw.get("script")) is not None:
            self._write("job.sh", script)
        for name, text in (raw.get("input_files") or {}).items():
            self._write(name, text)
            # So had the recording them: one without a first line was executed all the same.
            (self.cluster.directory / name).chmod(0o755)

    def _make_directories(self, files: Iterable[str]) -> None:
        """Make the directories of files that a case leaves: earlier cases had made them."""
        for name in files:
            self._make_directory(self.cluster.directory / Path(name).parent)

    def _make_directory(self, directory: Path) -> None:
        """Make a directory of the user's, unless it is there."""
        if not directory.is_dir():
            directory.mkdir(parents=True)
            if self.cluster.has_second_user:
                shutil.chown(directory, "alice", "alice")

    def _write(self, name: str, text: str) -> None:
        path = self.cluster.directory / name
        self._make_directory(path.parent)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
        if self.cluster.has_second_user:
            shutil.chown(path, "alice", "alice")

    def _remove_new_files(self) -> None:
        for path in self.cluster.directory.iterdir():
            if path.name in self.kept_files:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _starts_late(step: Step, following: Step | None) -> bool:
    """Whether an array's tasks started after the next job came: they would have taken its id.

    Slurm looks at arrays only in its next cycle, seconds later; Stoker starts them at once.
    """
    return following is not None and _is_array(step) and following.job_id == step.job_id + 1


def _meets_others(step: Step) -> bool:
    """Whether it matters what else runs: a node is taken down, or a job wants a part of several."""
    return re.search(r"\bnodename=\S+ state=down\b| -N ?2 -n", step.command) is not None


def _skips_ids(step: Step, latest_id: int) -> bool:
    """Whether the tasks of arrays before a step's job had taken ids by then."""
    return step.job_id > latest_id + 1


def _is_waited_for(step: Step, following: Step | None) -> bool:
    """Whether an array's tasks started before the next job came: they have taken ids."""
    return following is not None and _is_array(step) and following.job_id > step.job_id + 1


def _is_array(step: Step) -> bool:
    """Whether a step submits an array that may start."""
    is_array = re.match(rf"{_SUBMIT} .*(-a|--array)\b", step.command) is not None
    is_held = re.search(r" (-H|--hold)\b", step.command) is not None
    return is_array and not is_held and step.job_id > 0


def _follows_at_once(case: Case) -> bool:
    """Whether a case came right after its set-up: what it depends on was not to have begun yet."""
    return re.search(rf"\b{_SUBMIT}\b.* (-d|--dependency)\b", case.line) is not None


def _learn(ids: dict[int, int], theirs: str, ours: str, given: range) -> None:
    """Take in the ids that two texts teach, but of each of our jobs only what was learnt first."""
    known = set(ids.values())
    for one, other in learnt(theirs, ours, given).items():
        if other not in known:
            known.add(other)
            ids[one] = other


def _with_our_ids(name: str, ids: Mapping[int, int]) -> str:
    def ours(match: re.Match[str]) -> str:
        width = len(match[0]) if match[0].startswith("0") else 0
        return str(ids.get(int(match[0]), match[0])).zfill(width)

    return re.sub(r"\d+", ours, name)


def _limit(expected: object) -> float:
    match = _KILLED.match(str(expected))
    return float(match[1]) if match else COMMAND_LIMIT_S


def _patience(case: Mapping[str, Any]) -> float:
    """Return how long a case may take: longer if it sleeps, or waits for a limit to strike."""
    text = json.dumps([case["cmd"], case.get("script", "")])
    sleeps_s = sum(map(float, re.findall(r"\bsleep (\d+)\b", text)))
    limits_s = 60.0 * len(re.findall(r"-t\W*1\b", text))
    return _limit(case["rc"]) + min(sleeps_s, 120.0) + limits_s


def main() -> None:
    """Replay the group on standard input."""
    data = json.loads(sys.stdin.read())
    cases = tuple(
        Case(data["file"], raw["id"], raw["topic"], tuple(data["setup"]), raw)
        for raw in data["cases"]
    )
    group = Group(data["file"], tuple(data["setup"]), cases)
    for result in Replay(group).results():
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
