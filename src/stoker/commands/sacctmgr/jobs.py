"""sacctmgr modify job: the comment of a job that has not ended.

Source: sacctmgr(1), "SPECIFICATIONS FOR JOB"; wording as recorded.
"""

from __future__ import annotations

from typing import Final

from stoker.commands.sacctmgr.desk import NO_PRIVILEGE, Desk, Talk
from stoker.commands.sacctmgr.words import Keyword, Request, find
from stoker.core.errors import UserError
from stoker.core.units import NotationError, parse_job_ref

_NOTHING: Final = (
    "sacctmgr: accounting_storage/slurmdbd: acct_storage_p_modify_job: Request didn't affect "
    "anything or your user doesn't have privilege to perform this action\n"
)
_CONDITIONS: Final = (
    Keyword("Cluster", 1, ""),
    Keyword("EndTime", 1, ""),
    Keyword("JobID", 1, "ids"),
    Keyword("StartTime", 1, ""),
    Keyword("User", 1, ""),
    Keyword("WCKey", 2, ""),
)
_SETTINGS: Final = (
    Keyword("AdminComment", 1, "admin_comment"),
    Keyword("Comment", 1, "comment"),
    Keyword("DerivedExitCode", 12, ""),
    Keyword("DerivedES", 9, ""),
    Keyword("NewWCKey", 1, "wckey"),
)


def modify_jobs(request: Request, desk: Desk) -> Talk:
    """Change what is said of jobs."""
    ids = _ids(request, desk)
    changes = _changes(request, desk)
    if desk.code:
        return
    if not request.settings:
        desk.complain(" You didn't give me anything to set\n")
        return
    if not desk.may_operate and "admin_comment" in changes:
        desk.complain(NO_PRIVILEGE)
        return
    found = [each for each in ids if changes and _is_active(each, desk)]
    if not found:
        desk.fail(" Nothing modified\n")
        desk.note(_NOTHING)
        return
    desk.say(" Modified jobs...\n" + "".join(f"  {each}\n" for each in found))
    if not (yield from desk.ask("Would you like to commit changes?")):
        desk.say(" Changes Discarded\n")
        return
    for each in found:
        try:
            desk.controller.update(parse_job_ref(each), desk.call.owner, changes)
        except UserError as error:
            desk.complain(f" Error with request: {error}\n")


def _ids(request: Request, desk: Desk) -> list[str]:
    ids: list[str] = []
    for word in request.conditions:
        found = find(word, _CONDITIONS)
        if word.is_bare or (found is not None and found.meaning):
            ids += word.names()
        elif found is None:
            desk.complain(f" Unknown condition: {word.typed}\n Use keyword 'set' to modify value\n")
    return ids


def _changes(request: Request, desk: Desk) -> dict[str, object]:
    changes: dict[str, object] = {}
    for word in request.settings:
        found = find(word, _SETTINGS) if not word.is_bare else None
        if found is None:
            desk.complain(
                f" Unknown option: {word.typed}\n Use keyword 'where' to modify condition\n"
            )
        elif found.meaning:
            changes[found.meaning] = word.value
    return changes


def _is_active(text: str, desk: Desk) -> bool:
    try:
        return any(not job.state.has_ended for job in desk.controller.find(parse_job_ref(text)))
    except (UserError, NotationError):
        return False
