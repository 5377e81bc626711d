"""The reports on jobs: how much time went to jobs of which size.

A size is how many CPUs a job held, or how much of the one thing that is counted.

Source: sreport(1), "job"; headings and sums as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from stoker.commands.columns import Column, leading_number
from stoker.commands.sreport.conditions import OF_JOBS
from stoker.commands.sreport.fields import OF_JOBS as FIELDS
from stoker.commands.sreport.fields import Row
from stoker.commands.sreport.scene import Lines, Report, Scene
from stoker.commands.sreport.style import PERCENT, Style
from stoker.commands.sreport.usage import Piece
from stoker.core.accounts import ROOT

_SIZES: Final = ("50", "250", "500", "1000")
_WIDTH: Final = 13
_WIDTH_WITH_PERCENT: Final = 20
_OF_CLUSTER: Final = "% of cluster"


class Group(NamedTuple):
    """A range of sizes, both ends in it; ``most`` None is no end."""

    heading: str
    least: int
    most: int | None
    width: int = 0

    def holds(self, size: int) -> bool:
        """Whether a size is in the range."""
        return self.least <= size and (self.most is None or size <= self.most)


def groups_of(words: Sequence[str], sizes: Sequence[int], kind: str) -> list[Group]:
    """Return the ranges that ``grouping=`` asks for: up to each number, and all above the last.

    With ``individual`` each of the *sizes* that there are is a range of its own.
    """
    if words and "individual".startswith(words[0].lower()):
        return [Group(f"{size} {kind}", size, size) for size in sorted(set(sizes))]
    groups: list[Group] = []
    least, width = 0, 0
    for word in words or _SIZES:
        number, _, size = word.partition("%")
        most, width = _number(number), leading_number(size)
        groups.append(Group(f"{least}-{most - 1} {kind}", least, most - 1, width))
        least = most
    if least:
        groups.append(Group(f">= {least} {kind}", least, None, width))
    return groups


def size_columns(scene: Scene) -> list[Column[Row]]:
    """Return the columns of the ranges, and the share of the cluster."""
    columns = [
        Column(group.heading, group.width or _width(scene.style), _reader(group.heading))
        for group in _groups(scene)
    ]
    return [*columns, Column(_OF_CLUSTER, 12, _reader(_OF_CLUSTER))]


def _reader(name: str) -> Callable[[Row], str]:
    return lambda row: row.get(name, "")


def _width(style: Style) -> int:
    return _WIDTH_WITH_PERCENT if style.unit.has_percent else _WIDTH


def _groups(scene: Scene) -> list[Group]:
    name = scene.style.counted[0]
    kind = "CPUs" if scene.style.kind == "CPU" else "TRES"
    sizes = [piece.held.get(name, 0) for piece in scene.pieces]
    return groups_of(scene.said.names("grouping"), sizes, kind)


def _by_account(scene: Scene) -> Lines:
    return _sizes(scene, _account_of(scene))


def _by_account_and_wckey(scene: Scene) -> Lines:
    account_of = _account_of(scene)
    is_flat = "flat" in scene.said.flags

    def both(piece: Piece) -> str | None:
        account, wckey = account_of(piece), piece.wckey
        if account is None or not (wckey or is_flat):
            return None
        return f"{account}:{wckey}" if wckey else account

    return _sizes(scene, both)


def _by_wckey(scene: Scene) -> Lines:
    return _sizes(scene, lambda piece: piece.wckey or None, "Wckey")


def _account_of(scene: Scene) -> Callable[[Piece], str | None]:
    """Return what says under which account a piece is shown: one that was named, or the root."""
    said = scene.said
    if "flat" in said.flags:
        return lambda piece: piece.account if said.lets("accounts", piece.account) else None
    named = said.names("accounts") or [ROOT]
    return lambda piece: scene.tree.top_of(piece.account, named)


def _sizes(scene: Scene, key: Callable[[Piece], str | None], column: str = "Account") -> Lines:
    found: dict[str, list[Piece]] = {}
    for piece in scene.pieces:
        name = key(piece)
        if name is not None:
            found.setdefault(name, []).append(piece)
    return Lines(list(_size_rows(scene, found, column)))


def _size_rows(scene: Scene, found: Mapping[str, Sequence[Piece]], column: str) -> Iterator[Row]:
    counted = scene.style.counted[0]
    is_count = "count" in scene.said.flags

    def weight(pieces: Sequence[Piece]) -> int:
        return sum(piece.runs if is_count else piece.tally[counted] for piece in pieces)

    cluster = sum(map(weight, found.values()))
    for name, pieces in sorted(found.items()):
        own = weight(pieces)
        row = {
            "Cluster": scene.cluster,
            column: name,
            _OF_CLUSTER: scene.style.amount(own, cluster, PERCENT),
        }
        for group in _groups(scene):
            part = weight([each for each in pieces if group.holds(each.held.get(counted, 0))])
            row[group.heading] = str(part) if is_count else scene.style.amount(part, own)
        yield row


def _number(text: str) -> int:
    return int(text[:9]) if text.isascii() and text.isdecimal() else 0


SIZES_BY_ACCOUNT: Final = Report(
    "Job Sizes", OF_JOBS, FIELDS, "Cluster,Account", "Cluster,Account", _by_account
)
SIZES_BY_WCKEY: Final = Report(
    "Job Sizes by Wckey",
    OF_JOBS,
    FIELDS,
    "Cluster,Wckey",
    "Cluster,Wckey",
    _by_wckey,
    is_for_operators=True,
)
SIZES_BY_ACCOUNT_AND_WCKEY: Final = Report(
    "Job Sizes",
    OF_JOBS,
    FIELDS,
    "Cluster,Account%-20",
    "Cluster,Account%-20",
    _by_account_and_wckey,
    is_for_operators=True,
)
