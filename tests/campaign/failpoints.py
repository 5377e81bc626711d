"""Every failpoint alone, and pairs of them at random."""

from __future__ import annotations

import random
import time

from campaign.driver import StokerDriver
from campaign.tally import Row
from campaign.witness import Asked, judge, let_all_end, script
from stoker.shepherd.failpoints import FAILPOINTS
from stoker.worker.failpoints import NAMES
from support.daemon import PrivateStoker

JOBS = 3
DRAIN_S = 30.0
POINTS = (*NAMES, *FAILPOINTS)


def try_points(points: str) -> Row:
    """Let the first daemon and shepherd die at *points* while a few jobs are submitted and run."""
    with PrivateStoker(total_cpus=2, total_memory="2000M") as stoker:
        stoker.environment |= {"STOKER_TEST_MODE": "1", "STOKER_FAILPOINTS": points}
        # A shepherd that dies before it has said anything lets no daemon start: the next one does.
        stoker.run("stoker", "up")
        del stoker.environment["STOKER_FAILPOINTS"]
        driver, witness, asked = StokerDriver(stoker), stoker.directory / "witness", {}
        for number in range(JOBS):
            code = 7 * (number % 2)
            body = script(witness, code, 0.0)
            done = driver.run("sbatch", "--parsable", "--requeue", f"--wrap={body}")
            if done.returncode == 0:
                asked[int(done.stdout.split(";")[0])] = Asked(code)
        if any("." not in each.partition("=")[0] for each in points.split(",")):
            # This daemon would arm each shepherd that it starts anew; the next one will not.
            driver.run("squeue")
            driver.kill("daemon")
        let_all_end(driver, DRAIN_S)
        return judge(driver, asked, witness, points)


def alone(rng: random.Random, seconds: float) -> Row:
    """Try each once, as far as the time goes."""
    total, tried = Row(""), 0
    points = list(POINTS)
    rng.shuffle(points)
    give_up_at = time.monotonic() + seconds
    for point in points:
        if time.monotonic() > give_up_at:
            break
        tried += 1
        total.add(try_points(f"{point}=kill@{rng.choice((1, 1, 2))}"))
    total.fault = f"killed at {tried} of {len(POINTS)} failpoints, each alone"
    return total


def pairs(rng: random.Random, seconds: float) -> Row:
    """Try pairs for so long: one dies, or is slow, or fails where the other dies."""
    total = Row("killed or failing at pairs of failpoints")
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        one, other = rng.sample(POINTS, 2)
        what = rng.choice(("kill", "sleep:300", "kill"))
        total.add(try_points(f"{one}=kill@{rng.randint(1, 3)},{other}={what}@{rng.randint(1, 3)}"))
    return total
