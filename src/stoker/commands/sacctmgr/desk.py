"""The desk at which a request is served: what was said so far, and what was answered.

Changes are made when they are agreed to. A question takes one letter of what stands on standard
input, as Slurm's does: ``y``, or ``n`` or a line break for no; a terminal gives each a line. The
end of the input means no, where Slurm would ask on for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any, Final

from stoker.commands.options import Parsed
from stoker.commands.standardinput import StandardInput
from stoker.core.accounts import Association, Book, BookChange
from stoker.worker.call import Answer, Call, Request, Say
from stoker.worker.controller import Controller

NO_PRIVILEGE: Final = (
    "sacctmgr: error: Your user doesn't have privilege to perform this action\n"
    " Error with request: Access/permission denied\n"
)

Talk = Generator[Request, Any, None]
Asking = Generator[Request, Any, bool]
_PATIENCE: Final = " (You have 30 seconds to decide)\n"
_ANYTHING_ELSE_MAX: Final = 1000


class Desk:
    """One call of sacctmgr, and what it has come to."""

    def __init__(self, call: Call, asked: Parsed, controller: Controller) -> None:
        """Serve *call*, whose options are *asked*."""
        self.call = call
        self.asked = asked
        self.controller = controller
        self.code = 0
        self._out: list[str] = []
        self._err: list[str] = []
        self._input = StandardInput()

    @property
    def book(self) -> Book:
        """Return the account book as it stands now."""
        return self.controller.book()

    @property
    def cluster(self) -> str:
        """Return the cluster's name."""
        return self.controller.cluster_name

    @property
    def actor(self) -> str:
        """Return who asks."""
        return self.call.owner.user_name

    @property
    def is_at_terminal(self) -> bool:
        """Whether standard input is a terminal, as far as is known."""
        return self._input.is_at_terminal

    @property
    def level(self) -> str:
        """Return what whoever asks may do: Administrator, Operator or None."""
        if self.controller.rights.is_administrator(self.call.owner):
            return "Administrator"
        user = self.book.users.get(self.actor)
        return user.admin_level if user is not None else "None"

    @property
    def may_operate(self) -> bool:
        """Whether whoever asks may change accounts and users."""
        return self.level in ("Administrator", "Operator")

    @property
    def may_administer(self) -> bool:
        """Whether whoever asks may change qualities of service and what holds for all."""
        return self.level == "Administrator"

    def coordinates(self, account: str) -> bool:
        """Whether whoever asks may change what is in an account: it, or one above, is theirs."""
        return self.book.is_coordinator(self.actor, account)

    def may_change(self, associations: Collection[Association]) -> bool:
        """Whether whoever asks may change these; what there is none of, operators only."""
        return self.may_operate or (
            bool(associations) and all(self.coordinates(each.account) for each in associations)
        )

    def say(self, text: str) -> None:
        """Print to standard output."""
        self._out.append(text)

    def complain(self, text: str, code: int = 1) -> None:
        """Print to standard error, and fail."""
        self._err.append(text)
        self.code = code or self.code

    def note(self, text: str) -> None:
        """Print to standard error without failing."""
        self._err.append(text)

    def fail(self, text: str = "") -> None:
        """Fail with a text on standard output."""
        self.say(text)
        self.code = 1

    def answer(self) -> Answer:
        """Return what has not been said yet, and the exit status."""
        said = Answer("".join(self._out), "".join(self._err), self.code)
        self._out, self._err = [], []
        return said

    # Questions.

    def line(self) -> Generator[Request, Any, str | None]:
        """Return the next line of standard input without its end; None if there is none."""
        while not self._input.has_line:
            yield from self._read()
        return self._input.take_line()

    def ask(self, question: str) -> Asking:
        """Return whether a question is answered with yes."""
        if self.asked.has("immediate"):
            return True
        self.say(f"{question}{_PATIENCE}")
        for _ in range(_ANYTHING_ELSE_MAX):
            self.say("(N/y): ")
            letter = yield from self._letter()
            self.say("\n")
            if letter in ("", "n", "N", "\n"):
                return False
            if letter in ("y", "Y"):
                return True
            self.say("Y or N please\n")
        return False

    def commit(self, before: Book, change: BookChange) -> Talk:
        """Make a change of the book that was *before* if it is agreed to."""
        if not (yield from self.ask("Would you like to commit changes?")):
            self.say(" Changes Discarded\n")
            # The ids are used up, as Slurm's database does it.
            change = BookChange(
                next_association_id=change.next_association_id, next_qos_id=change.next_qos_id
            )
        elif self.book is not before:
            self.complain("sacctmgr: error: the accounts have changed meanwhile; try again\n")
            return
        if change != BookChange():
            self.controller.change_book(change)

    def _letter(self) -> Generator[Request, Any, str]:
        """Return the next letter of standard input; a terminal gives a line to each question."""
        if not self._input.text:
            yield from self._read()
        letter, rest = self._input.text[:1], self._input.text[1:]
        self._input.text = "" if self.is_at_terminal else rest
        return letter

    def _read(self) -> Generator[Request, Any, None]:
        """Show what was said, and read on."""
        said = self.answer()
        yield Say(str(said.out), said.err)
        yield from self._input.read()
