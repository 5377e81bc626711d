"""Replays recorded cases of a real Slurm against private Stokers: ``python -m conformance``.

Groups of cases run side by side, each in a world and on a cluster of its own. What differs is
listed by case; what differs with a reason stands in ``differences.toml``, one entry a case.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from conformance import sandbox
from conformance.cases import Case, Group, grouped, load
from conformance.verdicts import Verdict, accepted_reasons, explain, judge

TESTS = Path(__file__).resolve().parents[1]
REFERENCE = Path(os.environ.get("STOKER_REFERENCE", TESTS.parents[1] / "shared" / "reference"))
GROUP_LIMIT_S = 3600.0
SPLIT_AT = 40
"""Cases without a set-up are mostly independent: they run in pieces of this size."""
KINDS = ("match", "accepted", "differ")
IN_SEQUENCE = ("limits", "misc", "misc2", "rest", "rest2")
"""Files whose cases build on the ones before."""


def main(argv: Sequence[str] | None = None) -> int:
    """Replay the cases; 0 if none differs without a reason."""
    asked = _arguments(argv)
    directory = Path(asked.cases)
    if not any(directory.glob("*.jsonl")):
        print(f"cannot replay: there are no *.jsonl files in {directory}")
        return 2
    cases = [case for case in load(directory) if _is_wanted(case, asked)]
    reasons = accepted_reasons()
    verdicts: list[Verdict] = []
    started = time.monotonic()
    for verdict in replayed(cases, reasons, asked.jobs):
        verdicts.append(verdict)
        _show_progress(verdicts, len(cases), time.monotonic() - started)
    order = {case.id: number for number, case in enumerate(cases)}
    verdicts.sort(key=lambda verdict: order[verdict.case.id])
    _report(verdicts, shows=asked.show, verbose=asked.verbose)
    if asked.save:
        _save(Path(asked.save), verdicts)
    return int(any(verdict.kind == "differ" for verdict in verdicts))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("--cases", default=str(REFERENCE / "slurm"), help="a folder of *.jsonl")
    parser.add_argument(
        "-k",
        default="",
        metavar="PATTERN",
        help="only cases whose id, file or topic contains one of these words",
    )
    parser.add_argument(
        "--show",
        action="append",
        default=[],
        metavar="ID",
        help="show the difference of a case, and replay only what is shown",
    )
    parser.add_argument("--jobs", type=int, default=4, help="groups at a time")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every difference")
    parser.add_argument("--save", default="", metavar="FILE", help="write the results as JSON")
    return parser.parse_args(argv)


def _is_wanted(case: Case, asked: argparse.Namespace) -> bool:
    if asked.show:
        return case.id in asked.show
    words = asked.k.split()
    return not words or any(
        word in text for word in words for text in (case.id, case.file, case.topic)
    )


# Replaying.


def replayed(cases: Sequence[Case], reasons: Mapping[str, str], jobs: int) -> Iterator[Verdict]:
    """Replay cases, so many groups at a time; their verdicts as they come."""
    command = sandbox.command()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures = [pool.submit(_replay, command, part) for part in _parts(grouped(cases))]
        for future in as_completed(futures):
            for case, result in future.result():
                yield judge(case, result, reasons)


def _parts(groups: Sequence[Group]) -> list[Group]:
    """Return the groups, the longest first, those of independent cases in pieces."""
    parts = []
    for group in groups:
        size = len(group.cases) if group.setup or group.file in IN_SEQUENCE else SPLIT_AT
        parts += [
            Group(group.file, group.setup, group.cases[start : start + size])
            for start in range(0, len(group.cases), size)
        ]
    return sorted(parts, key=lambda part: -len(part.cases))


def _replay(command: Sequence[str], group: Group) -> list[tuple[Case, Mapping[str, Any]]]:
    data = {
        "file": group.file,
        "setup": group.setup,
        "cases": [{**case.raw, "topic": case.topic} for case in group.cases],
    }
    try:
        done = subprocess.run(
            command,
            input=json.dumps(data),
            capture_output=True,
            text=True,
            cwd=TESTS,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            timeout=GROUP_LIMIT_S,
            check=False,
        )
        out, err = done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        out, err = _text(late.stdout), f"not done after {GROUP_LIMIT_S:.0f} s"
    found = {result["id"]: result for result in map(json.loads, out.splitlines())}
    missing = {"error": f"the replay ended early: {err.strip()[-1500:]}"}
    return [(case, found.get(case.id, missing)) for case in group.cases]


def _text(data: bytes | str | None) -> str:
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else data or ""


# Telling.


def _show_progress(verdicts: Sequence[Verdict], total: int, elapsed_s: float) -> None:
    counts = Counter(verdict.kind for verdict in verdicts)
    text = f"{len(verdicts)} of {total} cases, {counts['differ']} differ, {elapsed_s:.0f} s"
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="\n" if len(verdicts) == total else "", file=sys.stderr)
    elif len(verdicts) % 100 == 0 or len(verdicts) == total:
        print(text, file=sys.stderr)


def _report(verdicts: Sequence[Verdict], *, shows: Sequence[str], verbose: bool) -> None:
    for verdict in verdicts:
        if verdict.case.id in shows or (verbose and verdict.kind == "differ"):
            print(
                explain(verdict) if verdict.parts else f"case {verdict.case.id} matches", end="\n\n"
            )
    for verdict in verdicts:
        if verdict.kind == "differ":
            print(f"differs: {verdict.case.id} ({', '.join(verdict.parts)})")
        elif verdict.reason and not verdict.parts:
            print(f"listed as different, but matches: {verdict.case.id}")
    row = "{:<40} {:>6} {:>6} {:>9} {:>7}".format
    print("\n" + row("topic", "cases", "match", "accepted", "differ"))
    for topic in dict.fromkeys(verdict.case.topic for verdict in verdicts):
        counts = Counter(verdict.kind for verdict in verdicts if verdict.case.topic == topic)
        print(row(topic, counts.total(), *(counts[kind] for kind in KINDS)))
    counts = Counter(verdict.kind for verdict in verdicts)
    print(
        f"conformance: {counts['match']} of {counts.total()} cases match, "
        f"{counts['accepted']} accepted differences, {counts['differ']} differ"
    )


def _save(path: Path, verdicts: Sequence[Verdict]) -> None:
    rows = [
        {"id": each.case.id, "kind": each.kind, "parts": each.parts, "result": each.result}
        for each in verdicts
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
