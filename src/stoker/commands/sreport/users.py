"""The report on users: who used most.

Source: sreport(1), "user"; the rest as recorded.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from stoker.commands.sreport.conditions import OF_USERS, Conditions
from stoker.commands.sreport.fields import OF_USERS as FIELDS
from stoker.commands.sreport.scene import Lines, Report, Scene, used_lines
from stoker.commands.sreport.usage import Tally

_TOP: Final = 10


def top_count(said: Conditions) -> int:
    """Return how many users are shown."""
    text = _count_text(said)
    return int(text[:9]) if _is_number(text) else _TOP


def complaint(said: Conditions) -> str:
    """Return what is said of a count that cannot be read."""
    text = _count_text(said)
    is_wrong = bool(text) and not _is_number(text)
    return f"sreport: error: Invalid value for TopCount ({text})\n" if is_wrong else ""


def _count_text(said: Conditions) -> str:
    return (said.names("topcount") or [""])[-1]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _top(scene: Scene) -> Lines:
    """Return who used most CPU time first; each of a user's accounts by itself, or all together."""
    said = scene.said
    is_grouped = "group" in said.flags
    tallies: dict[tuple[str, str], Tally] = {}
    accounts: dict[tuple[str, str], set[str]] = {}
    for piece in scene.pieces:
        if said.lets("accounts", piece.account):
            key = (piece.login, "" if is_grouped else piece.account)
            tallies.setdefault(key, Counter()).update(piece.tally)
            accounts.setdefault(key, set()).add(piece.account)
    by_name = scene.style.is_sorted_by_name
    keys = sorted(tallies, key=lambda key: (0 if by_name else -tallies[key]["cpu"], key))
    rows = [
        row
        for key in keys[: top_count(said)]
        for row in scene.rows(tallies[key], Login=key[0], Account=", ".join(sorted(accounts[key])))
    ]
    return used_lines(scene, rows, list(tallies.values()))


TOP: Final = Report(
    "Top {count} Users",
    OF_USERS,
    FIELDS,
    "Cluster,Login,Proper,Accounts,Used,Energy",
    "Cluster,Login,Proper,Accounts,TresName,Used",
    _top,
)
