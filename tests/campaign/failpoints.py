"""Every failpoint alone, and pairs of them at random."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from campaign.driver import StokerDriver
from campaign.tally import Row
from campaign.witness import judge, let_all_end, submit_some
from stoker.shepherd.failpoints import FAILPOINTS
from stoker.worker.failpoints import NAMES
from support.daemon import PrivateStoker, is_running, until

JOBS = 3
DRAIN_S = 30.0
REACHED_S = 10.0
POINTS = (*NAMES, *FAILPOINTS)
FIRST_TURN = {"reap": 2}
"""The first turn that means something, where it is not 1: a first look finds no child yet."""


def try_points(points: str) -> tuple[Row, bool]:
    """Let the first daemon and shepherd die at *points* while a few jobs are submitted and run.

    Returns:
        What became of the jobs, and whether daemon or shepherd died.
    """
    with PrivateStoker(total_cpus=2, total_memory="2000M") as stoker:
        stoker.environment |= {"STOKER_TEST_MODE": "1", "STOKER_FAILPOINTS": points}
        # A shepherd that dies before it has said anything lets no daemon start: the next one does.
        up = stoker.run("stoker", "up")
        del stoker.environment["STOKER_FAILPOINTS"]
        first = [stoker.stokerd, stoker.shepherd_pid]
        driver, witness = StokerDriver(stoker), stoker.directory / "witness"
        asked = submit_some(driver, witness, JOBS)
        is_met = up.returncode != 0 or "kill" not in points or _one_is_gone(first)
        if any("." not in each.partition("=")[0] for each in points.split(",")):
            # This daemon would arm each shepherd that it starts anew; the next one will not.
            driver.run("squeue")
            driver.kill("daemon")
        let_all_end(driver, DRAIN_S)
        return judge(driver, asked, witness, points), is_met


def _one_is_gone(pids: Sequence[int]) -> bool:
    try:
        until(lambda: not all(map(is_running, pids)), lambda: "both live", REACHED_S)
    except AssertionError:
        return False
    return True


def alone(rng: random.Random, seconds: float) -> Row:
    """Try each once, however long it takes, then others' turns as far as the time goes."""
    total = Row(f"killed at each of {len(POINTS)} failpoints, alone")
    points = list(POINTS)
    rng.shuffle(points)
    give_up_at = time.monotonic() + seconds
    for point in points:
        row, is_met = try_points(f"{point}=kill@{FIRST_TURN.get(point, 1)}")
        row.held(is_met, f"{point} was not reached")
        total.add(row)
    while time.monotonic() < give_up_at:
        row, _ = try_points(f"{rng.choice(points)}=kill@{rng.randint(2, 4)}")
        total.add(row)
    return total


def pairs(rng: random.Random, seconds: float) -> Row:
    """Try pairs for so long: one dies, or is slow, or fails where the other dies."""
    total = Row("killed or failing at pairs of failpoints")
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        one, other = rng.sample(POINTS, 2)
        what = rng.choice(("kill", "sleep:300", "kill"))
        points = f"{one}=kill@{rng.randint(1, 3)},{other}={what}@{rng.randint(1, 3)}"
        total.add(try_points(points)[0])
    return total
