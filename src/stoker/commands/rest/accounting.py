"""What the accounting knows, over HTTP: jobs that were, and the account book.

Jobs are what ``sacct --json`` prints, which in Slurm is made by the same plugin.

Source: openapi dbv0.0.38; the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from stoker.commands.accounting import Run, order_of, requests_of, runs_of
from stoker.commands.documents import Value
from stoker.commands.rest.bookjson import (
    account_document,
    association_document,
    cluster_document,
    qos_document,
    tres_documents,
    user_document,
)
from stoker.commands.rest.replies import (
    Refusal,
    Reply,
    accounting_reply,
    found_by,
    record_error,
)
from stoker.commands.rest.requests import Request
from stoker.commands.sacct import LONG, sacct
from stoker.commands.sacct_json import document_pieces
from stoker.commands.sacct_long import many_documents
from stoker.commands.sacct_style import Style
from stoker.core.accounts import Association
from stoker.worker.history import HistoryQuery, Record

_ALWAYS: Final = "1970-01-01"
_FILTERS: Final[Mapping[str, str]] = {
    "start_time": "--starttime",
    "end_time": "--endtime",
    "account": "--accounts",
    "cluster": "--clusters",
    "constraints": "--constraints",
    "group": "--group",
    "job_name": "--name",
    "partition": "--partition",
    "qos": "--qos",
    "reason": "--reason",
    "state": "--state",
    "step": "--jobs",
    "node": "--nodelist",
    "wckey": "--wckeys",
}
"""Options of sacct by the query's fields."""

_UNHEEDED: Final = frozenset(
    {"submit_time", "association", "cpus_max", "cpus_min", "skip_steps", "exit_code", "format"}
    | {"disable_wait_for_result", "nodes_max", "nodes_min", "reservation"}
)
"""Fields that openapi names and that choose nothing here."""


def jobs(request: Request) -> Reply:
    """List the jobs that were, as the query chooses them."""
    unknown = request.query.keys() - _FILTERS.keys() - _UNHEEDED
    if unknown:
        problem: Value = {
            "description": "Unknown Query field",
            "error_number": 9000,
            "error": "Query empty or not RFC7320 compliant",
        }
        return accounting_reply({}, [problem], 500)
    words = [f"{_FILTERS[name]}={text}" for name, text in _chosen(request.query)]
    if not words:
        return Reply(200, _every_job(request))
    if "start_time" not in request.query:
        words.append(f"--starttime={_ALWAYS}")
    return _jobs(request, words)


def job(request: Request, word: str) -> Reply:
    """Show what became of one job."""
    is_id = word.isascii() and word.isdecimal()
    return _jobs(request, [f"--jobs={word if is_id else 0}"])


def _chosen(query: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, text) for name, text in query.items() if name in _FILTERS and text)


def _every_job(request: Request) -> str | Iterator[str]:
    """Return all that is on record: sacct has no word for it, since held jobs have no time."""
    controller = request.controller
    now, request_of = controller.now(), requests_of(controller)
    style = Style(cluster=controller.cluster_name, now=now, time=str)

    def runs(record: Record) -> list[Run]:
        return list(runs_of(record, request_of(record.job), now, controller.reason))

    query = HistoryQuery()
    if controller.lookout.are_recorded(query, LONG):
        return many_documents("json", controller.lookout, query, runs, style)
    found = [run for record in controller.history(query) for run in runs(record)]
    found.sort(key=order_of)
    return "".join(document_pieces("json", [found], style, is_empty=not found))


def _jobs(request: Request, words: Sequence[str]) -> Reply:
    call = msgspec.structs.replace(
        request.call, program="sacct", argv=("--json", "--allusers", *words), environment={}
    )
    answer = sacct(call, request.controller)
    if answer.code:
        text = answer.err.strip().split("\n", 1)[0]
        problem = found_by("slurmdb_jobs_get", text, 9000)
        return accounting_reply({"jobs": []}, [problem], 500)
    return Reply(200, answer.out)


# The account book.


def tres(_: Request) -> Reply:
    """List the kinds of trackable resources."""
    return accounting_reply({"TRES": tres_documents()})


def qos(request: Request, name: str | None = None) -> Reply:
    """List the qualities of service, or show one; an unknown one is an empty list."""
    known = request.controller.book().qos.values()
    chosen = [each for each in known if name in (None, each.name)]
    return accounting_reply({"QOS": [qos_document(each) for each in chosen]})


def associations(request: Request) -> Reply:
    """List the associations that the query chooses."""
    book, query = request.controller.book(), request.query

    def is_chosen(each: Association) -> bool:
        facts = {"account": each.account, "user": each.user, "partition": each.partition}
        return all(query[name] == fact for name, fact in facts.items() if name in query)

    cluster = request.controller.cluster_name
    found = [each for _, each in book.tree() if is_chosen(each)]
    return accounting_reply(
        {"associations": [association_document(each, book, cluster) for each in found]}
    )


def users(request: Request) -> Reply:
    """List the users of the account book."""
    return _users(request, sorted(request.controller.book().users))


def user(request: Request, name: str) -> Reply:
    """Show one user."""
    if name not in request.controller.book().users:
        raise _nothing("users", "slurmdb_users_get")
    return _users(request, [name])


def _users(request: Request, names: Sequence[str]) -> Reply:
    book, cluster = request.controller.book(), request.controller.cluster_name
    return accounting_reply({"users": [user_document(name, book, cluster) for name in names]})


def accounts(request: Request) -> Reply:
    """List the accounts."""
    return _accounts(request, sorted(request.controller.book().accounts))


def account(request: Request, name: str) -> Reply:
    """Show one account."""
    if name not in request.controller.book().accounts:
        raise _nothing("accounts", "slurmdb_accounts_get")
    return _accounts(request, [name])


def _accounts(request: Request, names: Sequence[str]) -> Reply:
    book, cluster = request.controller.book(), request.controller.cluster_name
    return accounting_reply({"accounts": [account_document(name, book, cluster) for name in names]})


def clusters(request: Request, name: str | None = None) -> Reply:
    """List the clusters: this one."""
    if name not in (None, request.controller.cluster_name):
        return accounting_reply({"clusters": []})
    return accounting_reply({"clusters": [cluster_document(request.controller)]})


def wckeys(request: Request) -> Reply:
    """List the workload keys that are kept: none, and only to who administers."""
    if not _administers(request):
        return _denied("slurmdb_wckeys_get", {"wckeys": []})
    return accounting_reply({"wckeys": []})


def config(request: Request) -> Reply:
    """Show the whole account book to who administers it; to others all but the keys."""
    book, name = request.controller.book(), request.controller.cluster_name
    content: dict[str, Value] = {
        "clusters": [cluster_document(request.controller)],
        "TRES": tres_documents(),
        "accounts": [account_document(each, book, name) for each in sorted(book.accounts)],
        "users": [user_document(each, book, name) for each in sorted(book.users)],
        "QOS": [qos_document(each) for each in book.qos.values()],
        "wckeys": [],
    }
    if not _administers(request):
        return _denied("slurmdb_wckeys_get", content)
    every: list[Value] = [association_document(each, book, name) for _, each in book.tree()]
    return accounting_reply({**content, "associations": every})


def diag(request: Request) -> Reply:
    """Show the accounting's statistics, which nobody keeps here, to who administers it."""
    if not _administers(request):
        return _denied("slurmdb_get_stats", {})
    return accounting_reply({"statistics": {"time_start": 0, "rollups": [], "RPCs": []}})


def _administers(request: Request) -> bool:
    return request.controller.rights.is_administrator(request.call.owner)


def _denied(source: str, content: Mapping[str, Value]) -> Reply:
    error = record_error("ESLURM_ACCESS_DENIED")
    problem = {"error_number": error["errno"], "error": error["error"], "source": source}
    return accounting_reply(content, [problem], 500)


def _nothing(what: str, source: str) -> Refusal:
    problem = found_by(source, "Nothing found", 9003)
    return Refusal(accounting_reply({what: []}, [problem], 500))
