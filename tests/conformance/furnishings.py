"""What had been entered into the account book before a case, and stands in no set-up.

The cases of sacctmgr were recorded one after another on one cluster, and one in five of them is not
given; groups with a set-up found what these had entered. Here each group enters what none of its
own cases does: at the place where it was done if that is known, else before the first case that
looks at the book.

Source: the records of changes in limits-mgr-show-transaction-nP and misc-sacctmgr-show-transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from conformance.cases import Case, Group


class Entry(NamedTuple):
    """Words of sacctmgr, and the case before which they were said, if that is known."""

    words: str
    before: str = ""


_MISC: Final = (
    Entry("add account phys description=physics organization=uni"),
    Entry("add account chem,bio fairshare=3", "misc-sacctmgr-add-account-child"),
    Entry("add account quantum parent=phys fairshare=2"),
    Entry("add user alice account=phys"),
    Entry("add user alice account=chem fairshare=4", "misc-sacctmgr-add-user-bob"),
    Entry(
        "add user name=bob accounts=chem,quantum defaultaccount=quantum adminlevel=operator",
        "misc-sacctmgr-add-user-no-account",
    ),
    Entry("add user carol account=bio", "misc-sacctmgr-add-user-prompt-yes"),
    Entry("add account silent", "misc-sacctmgr-add-qos"),
    Entry("add qos high priority=100 maxwall=1:00:00 maxtresperuser=cpu=4"),
    Entry("add account byoperator", "misc-sacctmgr-modify-user-where"),
    Entry("modify user alice set defaultaccount=chem", "misc-sacctmgr-modify-user-where"),
    Entry("modify user where name=alice account=phys set maxjobs=5 grpjobs=3"),
    Entry("modify account phys set fairshare=7 maxwall=2-0 grptres=cpu=12,mem=20G"),
    Entry("modify qos high set priority=50 flags=DenyOnLimit grptres=cpu=10"),
    Entry("modify user alice set qos+=high", "misc-sacctmgr-modify-default-missing"),
    Entry(
        "modify user where name=alice account=phys set maxjobs=-1", "misc-sacctmgr-modify-cluster"
    ),
    Entry("modify cluster test set maxjobs=1000"),
)
_BOOKS: Final[Mapping[str, Sequence[Entry]]] = {
    "misc": _MISC,
    "misc2": (*_MISC, Entry("add user dave account=bio")),
    "limits": (
        Entry("add account phys description=physics organization=uni"),
        Entry("add user alice account=phys", "limits-mgr-add-user2"),
        Entry("add user bob account=phys maxjobs=1 maxsubmitjobs=3"),
        Entry("add qos high priority=100 maxwall=1:00:00 maxtresperuser=cpu=4"),
        Entry("modify user alice set qos+=high"),
    ),
}
_EARLIER_JOBS: Final[Mapping[str, Sequence[str]]] = {
    # A script of eight seconds, for sattach to look at: sreport counts it an hour long.
    "misc2": ("sbatch -W -A chem -o /dev/null --wrap 'sleep 8'",),
}
_BEFORE_ANYTHING: Final = "sacctmgr: empty cluster"
_ENTERING: Final = frozenset({"sacctmgr: add and change", _BEFORE_ANYTHING})
_CHANGES: Final = frozenset({"add", "modify"})


def furnishings(group: Group, *, has_second_user: bool) -> Mapping[str, Sequence[Sequence[str]]]:
    """Return, by the case that they come before, the words of sacctmgr for a group.

    Where there is no second user, root enters what one entered.
    """
    book = _BOOKS.get(group.file, ())
    said = {
        _words(case) for case in group.cases if has_second_user or case.raw.get("user") != "bob"
    }
    found: dict[str, list[Sequence[str]]] = {}
    for number, entry in enumerate(book):
        place = _place(entry, book[number + 1 :], group)
        if entry.words.lower() not in said and place:
            found.setdefault(place, []).append(entry.words.split())
    return found


def is_furnished(case: Case) -> bool:
    """Whether root had entered something into the account book before a case."""
    return case.file in _BOOKS


def _place(entry: Entry, later: Sequence[Entry], group: Group) -> str:
    """Return the case before which an entry is due; "" if none needs it."""
    if any(case.id == entry.before for case in group.cases):
        return entry.before
    own, after = entry.words.lower(), {each.words.lower() for each in later}
    for case in _after_the_beginning(group.cases):
        words = _words(case)
        is_again = words and own.startswith(f"{words} ")
        changes_it = words.startswith("modify ") and own.startswith("add ")
        if not _enters(case) or words in after or is_again or changes_it:
            return case.id
    return ""


def _after_the_beginning(cases: Sequence[Case]) -> Sequence[Case]:
    """Return the cases that follow the last one for which nothing is in the book."""
    early = [number for number, case in enumerate(cases) if case.topic == _BEFORE_ANYTHING]
    return cases[early[-1] + 1 :] if early else cases


def _words(case: Case) -> str:
    """Return what a case says to sacctmgr, without options."""
    program, *words = case.line.split()
    if program != "sacctmgr":
        return ""
    return " ".join(word for word in words if not word.startswith("-")).lower()


def _enters(case: Case) -> bool:
    """Whether a case changes the book, or was recorded before anything was in it."""
    words = _words(case).split()
    return case.topic in _ENTERING or (bool(words) and words[0] in _CHANGES)


def earlier_jobs(group: Group) -> Sequence[str]:
    """Return what alice had run before the set-up of a group, if it counts in its cases."""
    is_reported = any(case.topic == "sreport" for case in group.cases)
    return _EARLIER_JOBS.get(group.file, ()) if is_reported and group.setup else ()
