"""What is done before a case: it can be read, and its case is a recorded one."""

from __future__ import annotations

import pytest

from conformance import deeds
from conformance.__main__ import REFERENCE
from conformance.cases import Step, load


def test_deeds_are_steps_with_users_and_jobs() -> None:
    assert deeds.deeds_before("misc-sdiag-i") == [Step("sdiag -r", "root")]
    assert deeds.deeds_before("rest2-db-job") == [
        Step("sbatch -W -J done --wrap 'exit 3'", job_id=54)
    ]
    assert deeds.deeds_before("a case without") == []


def test_each_deed_is_done_before_a_recorded_case() -> None:
    known = {case.id for case in load(REFERENCE / "slurm")}
    if not known:
        pytest.skip("the recordings are not here (STOKER_REFERENCE)")
    assert known >= deeds.CASES
