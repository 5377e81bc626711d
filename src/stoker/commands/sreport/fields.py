"""The columns of the reports: by which words they are named, and how wide they are.

Source: sreport(1), "FORMAT OPTIONS FOR EACH REPORT"; names and widths as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from stoker.commands.columns import Column, leading_number
from stoker.commands.sreport.conditions import Word
from stoker.commands.sreport.style import Style

Row: TypeAlias = Mapping[str, str]


class Field(NamedTuple):
    """A column; without a ``width`` it holds amounts, and is as wide as the largest."""

    name: str
    words: Sequence[Word]
    width: int = 0


def _field(name: str, least: int, width: int = 0, words: Sequence[Word] = ()) -> Field:
    return Field(name, (Word(name, least), *words), width)


ACCOUNT: Final = Field("Account", (Word("Accounts", 2),), 15)
_CLUSTER: Final = _field("Cluster", 2, 9)
_LOGIN: Final = _field("Login", 1, 9)
_PROPER: Final = Field("Proper Name", (Word("Proper", 2),), 15)
_TRES_NAME: Final = Field("TRES Name", (Word("TresName", 5),), 14)
_TRES_COUNT: Final = Field(
    "TRES Count", (Word("TresCount", 5), Word("cpucount", 2), Word("count", 2)), 10
)
_USED: Final = _field("Used", 1)
_ENERGY: Final = _field("Energy", 1)

OF_CLUSTER: Final = (
    ACCOUNT,
    _field("Allocated", 2),
    _CLUSTER,
    _field("Down", 1),
    _field("Idle", 1),
    _LOGIN,
    Field("Over Comm", (Word("overcommitted", 1),)),
    _field("Planned", 2, words=(Word("reserved", 3),)),
    Field("PLND Down", (Word("PlannedDown", 2), Word("PLNDDown", 2))),
    _PROPER,
    _field("Reported", 3),
    _TRES_COUNT,
    _TRES_NAME,
    _USED,
    _field("WCKey", 2, 15),
    _ENERGY,
)
OF_JOBS: Final = (
    Field("Account", (Word("Account", 1), Word("Acct", 4)), 9),
    _CLUSTER,
    _field("Duration", 1, 12),
    Field("Job Count", (Word("JobCount", 2),), 9),
    Field("Node Count", (Word("NodeCount", 2),), 9),
    _TRES_COUNT,
    _field("User", 1, 9),
    _field("Wckey", 1, 9),
)
OF_USERS: Final = (
    ACCOUNT._replace(words=(Word("Accounts", 1),)),
    _CLUSTER._replace(words=(Word("Cluster", 1),)),
    _ENERGY,
    _LOGIN,
    _PROPER._replace(words=(Word("Proper", 1),)),
    _TRES_NAME,
    _USED,
)
OF_RESERVATIONS: Final = (
    _CLUSTER,
    _field("Name", 2, 9),
    _field("Start", 1, 19),
    _field("End", 1, 19),
    _TRES_COUNT,
    _TRES_NAME,
    _field("Allocated", 1, 24),
    _field("Idle", 1, 24),
)


def for_tree(fields: Sequence[Field]) -> list[Field]:
    """Return the fields with room for accounts that are indented."""
    return [each._replace(width=-20) if each is ACCOUNT else each for each in fields]


def choose(
    names: Sequence[str], fields: Sequence[Field], style: Style, largest: Mapping[str, int]
) -> tuple[list[Column[Row]], str]:
    """Return the columns that *names* ask for, and what is said of names that mean nothing.

    *largest* is by column the largest amount there will be, in seconds.
    """
    columns: list[Column[Row]] = []
    error = ""
    for text in names:
        name, _, size = text.partition("%")
        field = next((each for each in fields if any(w.matches(name) for w in each.words)), None)
        if field is None:
            error += f" Unknown field '{name}'\n"
            continue
        width = leading_number(size) or field.width or style.width(largest.get(field.name, 0))
        columns.append(Column(field.name, width, _reader(field.name)))
    return columns, error


def _reader(name: str) -> Callable[[Row], str]:
    return lambda row: row.get(name, "")
