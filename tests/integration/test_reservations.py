"""A reservation from its making to its end, with a real daemon and real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support.daemon import PrivateStoker

_SOON_S = 3


@pytest.fixture
def stoker() -> Iterator[PrivateStoker]:
    with PrivateStoker(nodes="node[1-2]", total_cpus=4, total_memory="4000M") as stoker:
        yield stoker


def _at(stoker: PrivateStoker, text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S")) - time.timezone


def test_a_reservation_begins_and_takes_its_jobs_with_it_when_it_ends(
    stoker: PrivateStoker,
) -> None:
    said = f"StartTime=now+{_SOON_S}seconds EndTime=now+{2 * _SOON_S}seconds Nodes=node1"
    words = ("create", "reservation", "ReservationName=mine", *said.split())
    user = stoker.ok("id", "-un").strip()
    assert stoker.ok("scontrol", *words, f"Users={user}") == "Reservation created: mine\n"
    inside = stoker.sbatch("--reservation=mine", "--wrap", "sleep 60")
    outside = stoker.sbatch("-w", "node1", "--wrap", "true")
    elsewhere = stoker.sbatch("--wrap", "true")
    assert stoker.wait_for(elsewhere) == "COMPLETED"
    reasons = stoker.ok("squeue", "-h", "-S", "i", "-o", "%i %r").splitlines()
    waiting = f"{outside} ReqNodeNotAvail, May be reserved for other job"
    assert reasons in ([f"{inside} Reservation", waiting], [f"{inside} None", waiting])
    assert stoker.wait_for(inside) == "TIMEOUT"
    assert stoker.wait_for(outside) == "COMPLETED"
    [began], [ended] = (stoker.accounting(inside, name) for name in ("Start", "End"))
    assert _SOON_S - 2 <= _at(stoker, ended) - _at(stoker, began) <= _SOON_S + 3
    assert stoker.ok("scontrol", "show", "reservation") == "No reservations in the system\n"


def test_a_reservation_outlives_the_daemon(stoker: PrivateStoker) -> None:
    words = [
        "create",
        "reservation",
        "ReservationName=kept",
        "StartTime=now",
        "Duration=60",
        "Users=root",
    ]
    stoker.ok("scontrol", *words, "Nodes=ALL", "Flags=MAINT")
    shown = stoker.ok("scontrol", "show", "reservation")
    stoker.ok("stoker", "down")
    stoker.ok("stoker", "up")
    assert stoker.ok("scontrol", "show", "reservation") == shown
    assert stoker.ok("sinfo", "-h", "-o", "%t %N") == "maint node[1-2]\n"
