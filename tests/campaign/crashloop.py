"""Four clients work while daemon, shepherd or both are killed at random."""

from __future__ import annotations

import random
import threading
import time
from functools import partial

from campaign.driver import Driver, StokerDriver
from campaign.tally import Row
from campaign.witness import Asked, judge, let_all_end, script
from support.daemon import PrivateStoker

CLIENTS = 4
VERBS = ("submit",) * 12 + ("cancel", "hold", "release", "requeue")
UNLIMITED = 10**9
EVERY_S = 0.6


class Clients:
    """What several users ask for, at random, each in a thread of its own."""

    def __init__(self, driver: Driver, rng: random.Random, submissions: int, pace_s: float) -> None:
        """Ask *driver* for things, each client so often, until so many ids were printed."""
        self.asked: dict[int, Asked] = {}
        self.twice: list[int] = []
        self.witness = driver.directory / "witness"
        self._driver = driver
        self._lock = threading.Lock()
        self._submissions = submissions
        self._pace_s = pace_s
        self.is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(rng.random()),))
            for _ in range(CLIENTS)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, rng: random.Random) -> None:
        while not self.is_over.wait(self._pace_s):
            verb = rng.choice(VERBS)
            if verb == "submit":
                self._submit(rng)
            elif ids := list(self.asked):
                self._change(verb, rng.choice(ids[-20:]))

    def _submit(self, rng: random.Random) -> None:
        code = rng.choice((0, 0, 7))
        body = script(self.witness, code, rng.choice((0.0, 0.0, 0.1, 0.4)))
        again = rng.choice(("--requeue", "--no-requeue"))
        done = self._driver.run(
            "sbatch", "--parsable", again, "--mem=10", "--output=/dev/null", f"--wrap={body}"
        )
        if done.returncode == 0:
            job_id = int(done.stdout.split(";")[0])
            with self._lock:
                if job_id in self.asked:
                    self.twice.append(job_id)
                self.asked[job_id] = Asked(code)
                if len(self.asked) >= self._submissions:
                    self.is_over.set()

    def _change(self, verb: str, job_id: int) -> None:
        # Noted before it is asked: the answer may be lost, and the deed done.
        self.asked[job_id].verbs.append(verb)
        words = ("scancel",) if verb == "cancel" else ("scontrol", verb)
        self._driver.run(*words, str(job_id))


def crash_loop(
    driver: Driver,
    rng: random.Random,
    seconds: float,
    fault: str,
    parts: tuple[str, ...],
    submissions: int = UNLIMITED,
    every_s: float = EVERY_S,
    pace_s: float = 0.0,
) -> Row:
    """Kill *parts* now and then for so long, or until so many ids were printed, and judge.

    Between two kills there are *every_s* seconds, on average, and between two requests of a client
    *pace_s*: who is slower than we are could never empty its queue.
    What was killed is started again by whoever asks next, or by us, as an init system would.
    """
    kills = 0
    with Clients(driver, rng, submissions, pace_s) as clients:
        give_up_at = time.monotonic() + seconds
        while time.monotonic() < give_up_at:
            if clients.is_over.wait(rng.uniform(0.05, 2 * every_s)):
                break
            kills += sum([driver.kill(part) for part in parts])
            if rng.random() < 0.8 or not driver.revives_itself:
                driver.revive()
    let_all_end(driver, driver.drain_s + len(clients.asked) / 20)
    row = judge(driver, clients.asked, clients.witness, f"{fault} ({kills} kills)")
    row.tries += len(clients.twice)
    row.doubled += len(clients.twice)
    row.notes += [f"id {job_id} was given twice" for job_id in clients.twice]
    return row


def stoker_crash_loops(
    rng: random.Random, seconds: float, submissions: int = UNLIMITED
) -> list[Row]:
    """Run the loop on private Stokers: the daemon, the shepherd, both, each a third."""
    kinds = {
        "daemon killed at random": ("daemon",),
        "shepherd killed at random": ("shepherd",),
        "daemon and shepherd killed together": ("daemon", "shepherd"),
    }
    share = partial(crash_loop, rng=rng, seconds=seconds / len(kinds))
    rows = []
    for fault, parts in kinds.items():
        with PrivateStoker(total_cpus=8, total_memory="4000M") as stoker:
            count = -(-submissions // len(kinds))
            rows.append(share(StokerDriver(stoker), fault=fault, parts=parts, submissions=count))
    return rows
