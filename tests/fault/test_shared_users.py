"""Two users of one Stoker, with real processes: each runs as who they are, whatever dies."""

from __future__ import annotations

from pathlib import Path

from support.shared_stoker import SharedStoker
from support.world import ALICE, BOB, STAFF, in_a_world

WHO = 'id -u; id -g; id -G; whoami; echo "$HOME"; touch made; echo done'


@in_a_world
def test_jobs_run_as_their_users_with_their_groups_and_make_files_that_are_theirs() -> None:
    with SharedStoker() as stoker:
        alices, bobs = stoker.sbatch("alice", WHO), stoker.sbatch("bob", WHO)
        for name, job_id, user_id, groups in (
            ("alice", alices, ALICE, f"{ALICE} {STAFF}"),
            ("bob", bobs, BOB, f"{BOB}"),
        ):
            assert stoker.wait_for(job_id, "COMPLETED", "FAILED") == ["COMPLETED", "0:0"]
            home = Path("/home") / name
            output = home / f"slurm-{job_id}.out"
            told = [str(user_id), str(user_id), groups, name, str(home), "done"]
            assert output.read_text().splitlines() == told
            assert {path.stat().st_uid for path in (output, home / "made")} == {user_id}
