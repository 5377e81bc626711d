"""A few recorded cases of each kind, replayed: the whole suite in small, for every test run."""

from __future__ import annotations

import pytest

from conformance.__main__ import REFERENCE, replayed
from conformance.cases import load
from conformance.verdicts import accepted_reasons, explain

CASES = REFERENCE / "slurm"
WANTED = frozenset(
    f"{group}-{name}"
    for group, names in {
        "sbatch": "e-missing-file e-time-bad e-mem-bad e-partition-bad d-plain d-crlf begin-past "
        "success parsable time-90 time-1-0 o-comment e-nodes-zero e-array-bad",
        "scontrol": "none show-hostnames show-hostlist sinfo-idle sinfo-s sinfo-h sinfo-o-P-upper "
        "ctl-others upd-bob sinfo-o-D-upper sinfo-usage-bad show-hostnames-env ping-word version",
        "misc": "hostnames-00 hostnames-01 hostlist-00 sprio-option sshare-version sdiag-option "
        "sacctmgr-first-user sacctmgr-first-assoc sacctmgr-first-qos sacctmgr-e-word "
        "sacctmgr-e-show-word sacctmgr-e-add-word sacctmgr-show-tres sc-ping sacctmgr-version",
        "scancel": "none running root",
        "squeue": "long user-list",
        "srun": "hello n4-label x-1",
        "rest": "ping other-user",
        "sacct": "empty",
        "more": "dep-afterok-ok",
        "limits": "mgr-add-account",
        "plain": "c9",
        "jobenv": "plain",
    }.items()
    for name in names.split()
)


@pytest.mark.skipif(not CASES.is_dir(), reason=f"no recordings in {CASES}; set STOKER_REFERENCE")
def test_some_recorded_cases_of_each_kind_match() -> None:
    cases = [case for case in load(CASES) if case.id in WANTED]
    assert len(cases) >= 30
    verdicts = list(replayed(cases, accepted_reasons(), 3))
    differing = [explain(verdict) for verdict in verdicts if verdict.kind == "differ"]
    assert not differing, "\n\n".join(differing)
