"""What a request sets: the words of add and of modify's ``set``, read into one structure.

Source: sacctmgr(1); wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from stoker.commands.sacctmgr.desk import Desk
from stoker.commands.sacctmgr.limits import (
    ASSOCIATION_WORDS,
    QOS_WORDS,
    Problem,
    read_count,
    read_limit,
    read_minutes,
    read_shares,
)
from stoker.commands.sacctmgr.words import Keyword, Word, find
from stoker.core.accounttext import QOS_FLAGS

EntityName = Literal["Account", "User", "Cluster", "QOS"]
Signed = tuple[str, tuple[str, ...]]
"""A sign ("" to set, + or -) and the names that it is said of."""

_LEVELS: Final = ("None", "Operator", "Administrator", "SuperUser")
_MODES: Final = ("off", "cancel", "gang", "requeue", "suspend", "cluster", "within")
_WHERE_HINT: Final = " Use keyword 'where' to modify condition\n"


class Wishes(msgspec.Struct):
    """What is to be set; None and empty stand for "not said"."""

    names: list[str] = []
    accounts: list[str] = []
    partitions: list[str] = []
    clusters: list[str] = []
    limits: dict[str, object] = {}
    shares: int | None = None
    parent: str | None = None
    qos: list[Signed] = []
    default_qos: str | None = None
    priorities: list[int | None] = []
    description: str | None = None
    organization: str | None = None
    admin_level: str | None = None
    default_account: str | None = None
    default_wckey: str | None = None
    flags: list[Signed] = []
    preempt: list[Signed] = []
    fields: dict[str, object] = {}
    """Fields of a quality of service that are set as they are."""
    forgets_usage: bool = False
    """Whether what was used is to count no more."""
    count: int = 0
    """How many words set something."""

    @property
    def changes_association(self) -> bool:
        """Whether something of an association is set."""
        return bool(
            self.limits
            or self.qos
            or self.priorities
            or self.shares is not None
            or self.parent is not None
            or self.default_qos is not None
        )


Reader = Callable[[Wishes, Word, Desk], None]


def read_wishes(
    entity: EntityName, words: Sequence[Word], desk: Desk, *, names_too: bool
) -> Wishes:
    """Return what the words set; what they cannot is complained of.

    *names_too*: bare words, and those that say for whom, are read as well, as add wants it.
    """
    wishes = Wishes()
    limits = QOS_WORDS if entity == "QOS" else ASSOCIATION_WORDS
    settings = (*(_NAMING[entity] if names_too else ()), *_SETTING[entity])
    for word in words:
        if word.is_bare:
            _read_bare(wishes, word, desk, names_too=names_too)
            continue
        try:
            if (setting := find(word, settings)) is not None:
                setting.meaning(wishes, word, desk)
            elif (limit := find(word, limits)) is not None:
                wishes.limits[limit.meaning.field] = _with_earlier(
                    wishes.limits.get(limit.meaning.field), read_limit(limit, word)
                )
            else:
                _complain(entity, desk, "", word)
                continue
            wishes.count += 1
        except Problem as problem:
            _complain(entity, desk, str(problem), word)
    return wishes


def _read_bare(wishes: Wishes, word: Word, desk: Desk, *, names_too: bool) -> None:
    if names_too:
        wishes.names += word.names()
    else:
        desk.complain(f" Bad format on {word.typed}: End your option with an '=' sign\n")


def _with_earlier(earlier: object, value: object) -> object:
    """Join amounts of several words: GrpCPUs and GrpNodes set one limit."""
    if isinstance(earlier, Mapping) and isinstance(value, Mapping):
        return {**earlier, **value}
    return value


def _complain(entity: EntityName, desk: Desk, problem: str, word: Word) -> None:
    """Say what is wrong with a word; a number that a quality cannot have is let go, as in Slurm."""
    if entity == "QOS":
        if not problem:
            desk.fail(f" Unknown option: {word.typed}\n{_WHERE_HINT}")
        elif problem.startswith("sacctmgr: error: Invalid value"):
            desk.note(problem)
        else:
            desk.complain(problem)
        return
    desk.complain(f"{problem} Unknown option: {word.typed}\n{_WHERE_HINT}")


# Reading single words.


def _names(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.names += word.names()
    wishes.count -= 1


def _accounts(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.accounts += word.names()
    wishes.count -= 1


def _partitions(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.partitions += word.names()
    wishes.count -= 1


def _clusters(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.clusters += word.names()
    wishes.count -= 1


def _nothing(_: Wishes, __: Word, ___: Desk) -> None:
    """Let go what means nothing on one machine."""


def _description(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.description = word.text


def _organization(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.organization = word.text


def _default_account(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.default_account = word.text


def _default_wckey(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.default_wckey = word.text


def _admin_level(wishes: Wishes, word: Word, _: Desk) -> None:
    level = next((each for each in _LEVELS if each.lower().startswith(word.text)), None)
    if level is None or not word.text:
        raise Problem(f"sacctmgr: error: Unknown admin level: {word.value}\n")
    wishes.admin_level = "Administrator" if level == "SuperUser" else level


def _shares(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.shares = read_shares(word)


def _parent(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.parent = word.text


def _raw_usage(wishes: Wishes, word: Word, _: Desk) -> None:
    if read_count("RawUsage", word) != 0:
        raise Problem("sacctmgr: error: RawUsage can only be set to 0\n")
    wishes.forgets_usage = True


def _priority(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.priorities.append(read_count("Priority", word))


def _qos(wishes: Wishes, word: Word, desk: Desk) -> None:
    wishes.qos.append((word.sign, _known_qos(word, desk)))


def _default_qos(wishes: Wishes, word: Word, desk: Desk) -> None:
    names = () if word.value == "-1" else _known_qos(word, desk)
    wishes.default_qos = names[0] if names else ""


def _known_qos(word: Word, desk: Desk) -> tuple[str, ...]:
    names = tuple(word.names())
    for name in names:
        if name not in desk.book.qos:
            valid = sorted(desk.book.qos.values(), key=lambda each: each.id)
            listed = ",".join(each.name for each in valid)
            raise Problem(
                f"sacctmgr: error: You gave a bad qos '{name}'. Valid QOS's are {listed}\n"
            )
    return names


def _preempt(wishes: Wishes, word: Word, desk: Desk) -> None:
    wishes.preempt.append((word.sign, _known_qos(word, desk)))


def _flags(wishes: Wishes, word: Word, desk: Desk) -> None:
    found = []
    for name in word.names():
        if name == "-1":
            continue
        flag = next((each for each in QOS_FLAGS if each.lower().startswith(name)), None)
        if flag is None:
            desk.fail(
                f" Unknown QOS flag used in:\n  '{word.value}'\n"
                f" Valid QOS flags are\n  '{','.join(QOS_FLAGS)}'\n"
            )
            return
        found.append(flag)
    wishes.flags.append((word.sign, tuple(found)))


def _preempt_mode(wishes: Wishes, word: Word, _: Desk) -> None:
    if word.text not in _MODES:
        raise Problem(f" Bad Preempt Mode given: {word.typed}\n")
    if word.text == "suspend":
        raise Problem("PreemptType and PreemptMode values incompatible\n")
    wishes.fields["preempt_mode"] = word.text


def _qos_priority(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.fields["priority"] = read_count("Priority", word) or 0


def _grace(wishes: Wishes, word: Word, _: Desk) -> None:
    wishes.fields["grace_s"] = read_count("GraceTime", word) or 0


def _exempt(wishes: Wishes, word: Word, _: Desk) -> None:
    minutes = read_minutes("PreemptExemptTime", word)
    wishes.fields["preempt_exempt_s"] = None if minutes is None else 60 * minutes


def _fraction(field: str, name: str) -> Reader:
    def read(wishes: Wishes, word: Word, _: Desk) -> None:
        try:
            value = float(word.value)
        except ValueError:
            value = float("nan")
        if word.value == "-1":
            wishes.fields[field] = 1.0 if field == "usage_factor" else None
        elif 0 <= value < float("inf"):
            wishes.fields[field] = value
        else:
            raise Problem(f"sacctmgr: error: Invalid value for {name} ({word.value})\n")

    return read


_OF_ASSOCIATION: Final[tuple[Keyword[Reader], ...]] = (
    Keyword("DefaultQOS", 8, _default_qos),
    Keyword("FairShare", 1, _shares),
    Keyword("Shares", 1, _shares),
    Keyword("Priority", 5, _priority),
    Keyword("QosLevel", 1, _qos),
)
_NAMING: Final[Mapping[EntityName, tuple[Keyword[Reader], ...]]] = {
    "Account": (
        Keyword("Accounts", 1, _names),
        Keyword("Acct", 4, _names),
        Keyword("Names", 1, _names),
        Keyword("Clusters", 1, _clusters),
    ),
    "User": (
        Keyword("Accounts", 2, _accounts),
        Keyword("Acct", 4, _accounts),
        Keyword("Clusters", 1, _clusters),
        Keyword("Names", 1, _names),
        Keyword("Users", 1, _names),
        Keyword("Partitions", 3, _partitions),
        Keyword("WCKeys", 1, _nothing),
    ),
    "Cluster": (Keyword("Names", 1, _names), Keyword("Clusters", 2, _names)),
    "QOS": (Keyword("Names", 1, _names),),
}
_SETTING: Final[Mapping[EntityName, tuple[Keyword[Reader], ...]]] = {
    "Account": (
        Keyword("Description", 1, _description),
        Keyword("Organization", 1, _organization),
        Keyword("Parent", 2, _parent),
        Keyword("RawUsage", 7, _raw_usage),
        *_OF_ASSOCIATION,
    ),
    "User": (
        Keyword("AdminLevel", 2, _admin_level),
        Keyword("DefaultAccount", 8, _default_account),
        Keyword("DefaultWCKey", 8, _default_wckey),
        Keyword("RawUsage", 7, _raw_usage),
        *_OF_ASSOCIATION,
    ),
    "Cluster": (
        Keyword("Classification", 3, _nothing),
        Keyword("Federation", 3, _nothing),
        Keyword("Features", 3, _nothing),
        Keyword("FedState", 4, _nothing),
        *_OF_ASSOCIATION,
    ),
    "QOS": (
        Keyword("Description", 1, _description),
        Keyword("Flags", 2, _flags),
        Keyword("GraceTime", 3, _grace),
        Keyword("LimitFactor", 6, _fraction("limit_factor", "LimitFactor")),
        Keyword("PreemptExemptTime", 8, _exempt),
        Keyword("PreemptMode", 8, _preempt_mode),
        Keyword("Preempt", 7, _preempt),
        Keyword("Priority", 3, _qos_priority),
        Keyword("UsageFactor", 6, _fraction("usage_factor", "UsageFactor")),
        Keyword("UsageThreshold", 6, _fraction("usage_threshold", "UsageThreshold")),
    ),
}


def signed(names: Sequence[str], changes: Sequence[Signed]) -> tuple[str, ...]:
    """Return names with what is set, added and taken."""
    found = list(names)
    for sign, said in changes:
        if not sign:
            found = list(said)
        elif sign == "+":
            found += [name for name in said if name not in found]
        else:
            found = [name for name in found if name not in said]
    return tuple(dict.fromkeys(found))
