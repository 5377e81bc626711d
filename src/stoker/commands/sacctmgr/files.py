"""sacctmgr dump and load: the account book as a file that can be kept and edited.

The caller's side reads and writes the file. What it names and is not there is added, and what it
says otherwise is changed; nothing is deleted.

Source: sacctmgr(1), "FLAT FILE DUMP AND LOAD"; the lines as recorded.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from stoker.commands.sacctmgr.applying import with_wishes
from stoker.commands.sacctmgr.desk import NO_PRIVILEGE, Desk, Talk
from stoker.commands.sacctmgr.draft import Draft
from stoker.commands.sacctmgr.limits import ASSOCIATION_SETTINGS
from stoker.commands.sacctmgr.records import shares
from stoker.commands.sacctmgr.wishes import EntityName, read_wishes
from stoker.commands.sacctmgr.words import Word, read_word
from stoker.core.accounts import ROOT, Account, Association, Book, User
from stoker.core.accounttext import added_account, added_association, added_user
from stoker.core.units import format_tres
from stoker.worker.call import ReadFile, RunProgram

_HEAD: Final = """\
# To edit this file start with a cluster line for the new cluster
# Cluster - 'cluster_name':MaxTRESPerJob=node=50
# Followed by Accounts you want in this fashion (root is created by default)...
# Parent - 'root'
# Account - 'cs':MaxTRESPerJob=node=5:MaxJobs=4:MaxTRESMinsPerJob=cpu=20:FairShare=399:\
MaxWallDurationPerJob=40:Description='Computer Science':Organization='LC'
# Any of the options after a ':' can be left out and they can be in any order.
# If you want to add any sub accounts just list the Parent THAT HAS ALREADY
# BEEN CREATED before the account line in this fashion...
# Parent - 'cs'
# Account - 'test':MaxTRESPerJob=node=1:MaxJobs=1:MaxTRESMinsPerJob=cpu=1:FairShare=1:\
MaxWallDurationPerJob=1:Description='Test Account':Organization='Test'
# To add users to a account add a line like this after a Parent - 'line'
# User - 'lipari':MaxTRESPerJob=node=2:MaxJobs=3:MaxTRESMinsPerJob=cpu=4:FairShare=1:\
MaxWallDurationPerJob=1
"""
_LONG_NAMES: Final = {
    "MaxTRES": "MaxTRESPerJob",
    "MaxTRESMins": "MaxTRESMinsPerJob",
    "MaxWall": "MaxWallDurationPerJob",
}
"""What some limits are called in a file."""
_WRITE: Final = 'for part in "$@"; do printf %s "$part"; done >"$0"'
_PART: Final = 32_768
"""Characters in one argument of the shell that writes the file."""

_LINE: Final = re.compile(r"(Cluster|Parent|Account|User) - ('[^']*'|[^:]*)(?::(.*))?")
_OPTION: Final = re.compile(r"""((?:'[^']*'|"[^"]*"|[^:'"])+)(?::|$)""")


def dump(words: Sequence[Word], desk: Desk) -> Talk:
    """Write the book of a cluster to a file, by default the cluster's name and .cfg."""
    name, path = "", ""
    for word in words:
        if word.is_bare or word.is_short_for("cluster", 1):
            name = word.text
        elif word.is_short_for("file", 1):
            path = word.value
        else:
            desk.complain(f" Unknown option: {word.typed}\n")
    if not name:
        desk.complain(" We need a cluster to dump.\n")
        return
    if name != desk.cluster.lower():
        desk.complain(f" Cluster {name} doesn't exist.\n")
        return
    if not path:
        path = f"{desk.cluster}.cfg"
        desk.say(f" No filename given, using ./{path}.\n")
    lines = list(_lines(desk.book, desk.cluster))
    text = _HEAD + "".join(f"{line}\n" for line in lines)
    desk.note("".join(f"sacctmgr: {line}\n" for line in lines))
    path = posixpath.join(desk.call.work_dir, path)
    parts = [text[start : start + _PART] for start in range(0, len(text), _PART)]
    program = ("sh", "-c", _WRITE, path, *parts)
    end = yield RunProgram(program, desk.call.work_dir or "/", ())
    if end.code or end.errno or end.signal:
        desk.complain(f"sacctmgr: error: cannot write {path}\n")


def _lines(book: Book, cluster: str) -> Iterator[str]:
    root = book.association(ROOT)
    if root is not None:
        yield f"Cluster - '{cluster}':{':'.join(_options(root))}"
    yield from _children_lines(book, ROOT)


def _children_lines(book: Book, account: str) -> Iterator[str]:
    """Yield users and accounts below an account, then what is below each of these accounts."""
    below = sorted(book.children(account), key=lambda each: (not each.user, *each.key))
    if not below:
        return
    yield f"Parent - '{account}'"
    for each in below:
        yield _user_line(book, each) if each.user else _account_line(book, each)
    for each in below:
        if not each.user:
            yield from _children_lines(book, each.account)


def _account_line(book: Book, own: Association) -> str:
    account = book.accounts.get(own.account, Account(own.account))
    options = [
        f"Description={_quoted(account.description)}",
        f"Organization={_quoted(account.organization)}",
    ]
    if account.coordinators:
        options.append(f"Coordinator='{','.join(account.coordinators)}'")
    return f"Account - '{own.account}':{':'.join([*options, *_options(own)])}"


def _user_line(book: Book, own: Association) -> str:
    user = book.users.get(own.user, User(own.user))
    options = []
    if own.partition:
        options.append(f"Partition='{own.partition}'")
    if default := book.default_account(own.user):
        options.append(f"DefaultAccount='{default}'")
    if user.admin_level != "None":
        options.append(f"AdminLevel='{user.admin_level}'")
    return f"User - '{own.user}':{':'.join([*options, *_options(own)])}"


def _quoted(text: str) -> str:
    """Return a text in quotes; a line has no way to write both kinds of them, or a line break."""
    text = " ".join(text.splitlines())
    return f"'{text}'" if "'" not in text else '"' + text.replace('"', "'") + '"'


def _options(own: Association) -> Iterator[str]:
    yield f"Fairshare={shares(own.shares)}"
    for name, field in ASSOCIATION_SETTINGS:
        value = getattr(own.limits, field)
        if value not in (None, {}):
            text = value if isinstance(value, int) else format_tres(value)
            yield f"{_LONG_NAMES.get(name, name)}={text}"
    if own.priority is not None:
        yield f"Priority={own.priority}"
    if own.default_qos:
        yield f"DefaultQOS='{own.default_qos}'"
    if names := (*own.qos, *own.delta_qos):
        yield f"QOS='{','.join(names)}'"


# Loading.


def load(words: Sequence[Word], desk: Desk) -> Talk:
    """Add what a file names, and change what it says otherwise."""
    path = next((word.value for word in words if _names_file(word)), "")
    if not path:
        desk.complain(" No filename given, specify one with file=''\n")
        return
    if not desk.may_administer:
        desk.complain(NO_PRIVILEGE)
        return
    try:
        content: bytes = yield ReadFile(posixpath.join(desk.call.work_dir, path))
    except OSError as error:
        desk.complain(f' Unable to read "{path}": {error.strerror}\n')
        return
    loading = _Loading(desk)
    for line in content.decode("utf-8", "replace").splitlines():
        if line.strip() and not line.startswith("#"):
            loading.take(line)
        if desk.code:
            return
    desk.say(f"For cluster {desk.cluster}\n")
    if loading.draft.is_empty:
        desk.say(" Nothing new added.\n")
        return
    desk.say(loading.report())
    yield from desk.commit(loading.draft.before, loading.draft.change())


def _names_file(word: Word) -> bool:
    if word.is_bare:
        return not word.is_short_for("clean", 3)
    return word.is_short_for("file", 1)


class _Loading:
    """A file being read, line by line."""

    def __init__(self, desk: Desk) -> None:
        self.draft = Draft(desk)
        self._desk = desk
        self._parent = ROOT
        self._new: list[str] = []
        self._changed: list[str] = []

    def take(self, line: str) -> None:
        """Do what a line says."""
        match = _LINE.fullmatch(line.strip())
        if match is None:
            self._desk.complain(f"sacctmgr: error: Misformatted line: {line}\n")
            return
        kind, name, options = match[1], match[2].strip("'\"").lower(), match[3] or ""
        words = [word for text in _OPTION.findall(options) for word in _option_words(text)]
        if kind == "Parent":
            self._parent = name
        elif kind == "Cluster":
            self._plant("Cluster", Association(id=0, account=ROOT), words)
        elif kind == "Account":
            self._take_account(name, words)
        else:
            self._take_user(name, words)

    def report(self) -> str:
        """Return what would be done."""
        texts = []
        for title, lines in (("New", self._new), ("Changed", self._changed)):
            if lines:
                texts.append(f" {title}\n" + "".join(f"  {line}\n" for line in lines))
        return "".join(texts)

    def _take_account(self, name: str, options: Sequence[Word]) -> None:
        leading = [word for word in options if word.key and word.is_short_for("coordinators", 2)]
        words = [word for word in options if word not in leading]
        wishes = read_wishes("Account", words, self._desk, names_too=False)
        known = self.draft.book.accounts.get(name, Account(name, name, name))
        account = Account(
            name,
            wishes.description or known.description,
            wishes.organization or known.organization,
            tuple(dict.fromkeys((*known.coordinators, *chain(*map(Word.names, leading))))),
        )
        if account != self.draft.book.accounts.get(name):
            if name not in self.draft.book.accounts:
                self.draft.note(added_account(self.draft.at, self.draft.actor, account))
            self.draft.put(account)
        self._plant("Account", Association(id=0, account=name, parent=self._parent), words)

    def _take_user(self, name: str, words: Sequence[Word]) -> None:
        wishes = read_wishes("User", words, self._desk, names_too=True)
        known = self.draft.book.users.get(name, User(name))
        user = User(name, wishes.admin_level or known.admin_level, known.default_wckey)
        if user != self.draft.book.users.get(name):
            if name not in self.draft.book.users:
                self.draft.note(added_user(self.draft.at, self.draft.actor, user))
            self.draft.put(user)
        default = wishes.default_account or self.draft.book.default_account(name) or self._parent
        plain = Association(
            id=0,
            account=self._parent,
            user=name,
            partition=next(iter(wishes.partitions), ""),
            is_default=self._parent == default,
        )
        self._plant("User", plain, words)

    def _plant(self, kind: EntityName, plain: Association, words: Sequence[Word]) -> None:
        """Put in an association, or change the one that is there."""
        wishes = read_wishes(kind, words, self._desk, names_too=kind == "User")
        draft = self.draft
        if draft.book.association(self._parent) is None:
            self._desk.complain(
                f"sacctmgr: error: Parent account '{self._parent}' doesn't exist on cluster "
                f"{self._desk.cluster}\n"
            )
            return
        label = f"U = {plain.user} A = {plain.account}" if plain.user else f"A = {plain.account}"
        known = draft.book.association(*plain.key)
        if known is None:
            new = draft.place(with_wishes(plain, wishes))
            draft.note(added_association(draft.at, draft.actor, new, draft.book))
            self._new.append(label)
        elif (changed := with_wishes(known, wishes)) != known:
            draft.put(changed)
            self._changed.append(label)


def _option_words(text: str) -> Iterator[Word]:
    """Yield what an option of a line says; a list of qualities may carry signs inside."""
    word = read_word(text)
    if word.key != "qos" or word.value[:1] not in ("+", "-"):
        yield word
        return
    for name in word.names():
        sign = name[0] if name[0] in "+-" else word.value[0]
        yield word._replace(sign=sign, value=name.lstrip("+-"))
