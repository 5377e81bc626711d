"""The reports on the cluster: how busy it was, and by whom.

Source: sreport(1), "cluster"; the rest as recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from stoker.commands.sreport.accounts import Place
from stoker.commands.sreport.conditions import OF_ACCOUNTS, OF_CLUSTER, OF_RESERVATIONS, OF_WCKEYS
from stoker.commands.sreport.fields import OF_CLUSTER as CLUSTER_FIELDS
from stoker.commands.sreport.fields import OF_RESERVATIONS as RESERVATION_FIELDS
from stoker.commands.sreport.fields import Row
from stoker.commands.sreport.scene import Lines, Report, Scene, used_lines
from stoker.commands.sreport.usage import Piece, Tally, total


def _utilization(scene: Scene) -> Lines:
    """Return a line for each counted thing: given out, idle, planned; none if nothing ran."""
    used = total(piece.tally for piece in scene.pieces)
    rows: list[Row] = []
    largest: dict[str, int] = {}
    for name in scene.style.counted:
        if used and scene.machine.get(name):
            seconds = _shares(scene, name, used[name])
            largest = {key: max(value, largest.get(key, 0)) for key, value in seconds.items()}
            rows.append(_utilization_row(scene, name, seconds))
    return Lines(rows, largest)


def _shares(scene: Scene, name: str, allocated: int) -> Mapping[str, int]:
    reported = scene.reported(name)
    left = max(0, reported - allocated)
    planned = min(left, scene.waited_s if name in ("cpu", "billing") else 0)
    return {
        "Allocated": allocated,
        "Down": 0,
        "PLND Down": 0,
        "Idle": left - planned,
        "Planned": planned,
        "Over Comm": max(0, allocated - reported),
        "Reported": max(reported, allocated),
    }


def _utilization_row(scene: Scene, name: str, seconds: Mapping[str, int]) -> Row:
    count = scene.machine[name]
    reported = seconds["Reported"]
    cells = {key: scene.style.amount(value, reported) for key, value in seconds.items()}
    cells["Reported"] = scene.style.amount(reported, count * scene.span.length_s)
    return {"Cluster": scene.cluster, "TRES Name": name, "TRES Count": str(count), **cells}


def _by_account(scene: Scene) -> Lines:
    """Return the tree: an account with all below it, then its users; named users alone."""
    names_users = bool(scene.said.names("users"))
    places = [
        place
        for place in scene.tree.places(scene.pieces)
        if (place.login or not names_users) and _is_in(scene, place.account)
    ]
    indents = _indents(scene, places)
    rows = [
        row
        for place, indent in zip(places, indents, strict=True)
        for row in scene.rows(place.tally, Account=indent + place.account, Login=place.login)
    ]
    return used_lines(scene, rows, [place.tally for place in places])


def _is_in(scene: Scene, account: str) -> bool:
    """Whether the account, or one above it, was named; all are if none was."""
    names = scene.said.names("accounts")
    return not names or scene.tree.top_of(account, names) is not None


def _indents(scene: Scene, places: list[Place]) -> list[str]:
    """Return how far each is indented: by its place under the first account that is shown."""
    if "tree" not in scene.said.flags:
        return [""] * len(places)
    least = min((place.depth for place in places), default=0)
    return [" " * (place.depth - least) for place in places]


def _by_user(scene: Scene) -> Lines:
    return _by_pair(
        scene,
        lambda piece: piece.account,
        "Account",
        lambda piece: _is_in(scene, piece.account),
    )


def _by_user_and_wckey(scene: Scene) -> Lines:
    return _by_pair(scene, lambda piece: piece.wckey, "WCKey", lambda piece: bool(piece.wckey))


def _by_pair(
    scene: Scene, key: Callable[[Piece], str], column: str, lets: Callable[[Piece], bool]
) -> Lines:
    """Return users with their accounts or keys, who used most first."""
    tallies: dict[tuple[str, str], Tally] = {}
    for piece in scene.pieces:
        if lets(piece):
            tallies.setdefault((piece.login, key(piece)), Counter()).update(piece.tally)
    pairs = sorted(tallies, key=lambda pair: (-tallies[pair]["cpu"], pair))
    rows = [
        row
        for login, name in pairs
        for row in scene.rows(tallies[login, name], Login=login, **{column: name})
    ]
    return used_lines(scene, rows, list(tallies.values()))


def _by_wckey(scene: Scene) -> Lines:
    """Return each key with all its users, then one by one."""
    tallies: dict[str, dict[str, Tally]] = {}
    for piece in scene.pieces:
        if piece.wckey:
            users = tallies.setdefault(piece.wckey, {})
            users.setdefault(piece.login, Counter()).update(piece.tally)
    rows: list[Row] = []
    for wckey, users in sorted(tallies.items()):
        rows += scene.rows(total(users.values()), WCKey=wckey)
        for login, tally in sorted(users.items()):
            rows += scene.rows(tally, WCKey=wckey, Login=login)
    return used_lines(scene, rows, [total(users.values()) for users in tallies.values()])


def _nothing(_: Scene) -> Lines:
    return Lines()


UTILIZATION: Final = Report(
    "Cluster Utilization",
    OF_CLUSTER,
    CLUSTER_FIELDS,
    "Cluster,Allocated,Down,PLNDDown,Idle,Planned,Reported",
    "Cluster,TresName,Allocated,Down,PLNDDown,Idle,Planned,Reported",
    _utilization,
    has_length=False,
)
ACCOUNTS_BY_USER: Final = Report(
    "Cluster/Account/User Utilization",
    OF_ACCOUNTS,
    CLUSTER_FIELDS,
    "Cluster,Accounts,Login,Proper,Used,Energy",
    "Cluster,Accounts,Login,Proper,TresName,Used",
    _by_account,
)
USERS_BY_ACCOUNT: Final = Report(
    "Cluster/User/Account Utilization",
    OF_ACCOUNTS,
    CLUSTER_FIELDS,
    "Cluster,Login,Proper,Accounts,Used,Energy",
    "Cluster,Login,Proper,Accounts,TresName,Used",
    _by_user,
)
USERS_BY_WCKEY: Final = Report(
    "Cluster/User/WCKey Utilization",
    OF_WCKEYS,
    CLUSTER_FIELDS,
    "Cluster,Login,Proper,WCKey,Used",
    "Cluster,Login,Proper,WCKey,TresName,Used",
    _by_user_and_wckey,
    is_for_operators=True,
    failure="slurmdb_report_cluster_user_by_wckey: Problem with get query.\n",
)
WCKEYS_BY_USER: Final = Report(
    "Cluster/WCKey/User Utilization",
    OF_WCKEYS,
    CLUSTER_FIELDS,
    "Cluster,WCKey,Login,Proper,Used",
    "Cluster,WCKey,Login,Proper,TresName,Used",
    _by_wckey,
    is_for_operators=True,
    failure="slurmdb_report_cluster_wckey_by_user: Problem with get query.\n",
)
RESERVATIONS: Final = Report(
    "Reservation Utilization",
    OF_RESERVATIONS,
    RESERVATION_FIELDS,
    "Cluster,Name,Start,End,TresName,Allocated,Idle",
    "Cluster,Name,Start,End,TresName,Allocated,Idle",
    _nothing,
    has_length=False,
    kind="TRES",
)
