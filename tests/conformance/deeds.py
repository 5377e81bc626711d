"""What earlier cases of the recording had done that a later one shows, and a replay has not.

One in five cases is not given, and a replay takes away the files that a case made: what is missing
is done again, just before the first case that tells of it. It is written as the steps of a set-up
are.

Source: what the cases show, and those before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from conformance.cases import Case, Step, steps_of

_REST: Final = "curl -s --unix-socket /srv/slurm/rest2/rest/slurmrestd.sock"
_POST: Final = f"{_REST} -X POST -H 'Content-Type: application/json' -d"
_TIME_AND_NAME: Final = '{"time_limit": 20, "name": "held"}'
_DEEDS: Final[Mapping[str, Sequence[str]]] = {
    # The file that misc-sacctmgr-dump had written.
    "misc-sacctmgr-dump-exists-load": ("[root] sacctmgr dump test file=dump.cfg",),
    # The node that the case before had drained was given back.
    "scontrol-admin-resume-idle": ("[root] scontrol update nodename=node3 state=resume",),
    # Counters that had just been reset, as those of limits-sdiag-r.
    "misc-sdiag-i": ("[root] sdiag -r",),
    # A second signal: the job's output tells of two.
    "rest2-life-delete": (
        f"{_REST} -X DELETE 'http://localhost/slurm/v0.0.38/job/51?signal=10'; sleep 1",
    ),
    # The time limit that the job has from then on, and its old name: a new one had gone unheard.
    "rest2-update-partition": (
        f"{_POST} '{_TIME_AND_NAME}' http://localhost/slurm/v0.0.38/job/56",
    ),
    # A job of the set-ups before, which had ended.
    "rest2-db-job": ("sbatch -W -J done --wrap 'exit 3'  # job 54",),
}
_FORMER_JOBS: Final = (
    # One that ran on all nodes, and one for each notation of a time that was tried meanwhile.
    "sbatch -N2 --exclusive --wrap 'sleep 900'",
    "for _ in $(seq 26); do sbatch -t 5 --wrap true; done; scancel -u alice",
)
_FORMER: Final[Mapping[str, Sequence[str]]] = {
    "misc-time-format-sacct": _FORMER_JOBS,
    "misc-time-format-scontrol": _FORMER_JOBS,
}
"""What was done before the set-up of a case."""

CASES: Final = frozenset(_DEEDS) | frozenset(_FORMER)
"""For which cases something is done."""


def deeds_before(case_id: str) -> Sequence[Step]:
    """Return what is to be done before a case."""
    return steps_of(_DEEDS.get(case_id, ()))


def deeds_before_set_up(cases: Sequence[Case]) -> Sequence[Step]:
    """Return what is to be done before the set-up of a group of cases."""
    former = (_FORMER[case.id] for case in cases if case.id in _FORMER)
    return steps_of(next(former, ()))
