"""scontrol show assoc_mgr: what the daemon knows of users, associations and qualities of service.

Behind each limit stands in brackets what jobs take of it now.

Source: scontrol(1), "show assoc_mgr"; the lines of users and associations as recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from stoker.commands.scontrol.words import Line, failure
from stoker.core.accounts import NORMAL, PARENT_SHARES, Association, Book, Limits, Qos, Tres
from stoker.core.models import Job
from stoker.core.units import TRES_NAMES
from stoker.scheduling.fairshare import Standing, norm_shares
from stoker.worker.call import Answer
from stoker.worker.controller import Controller

_NO_UID: Final = 4_294_967_294


class _Taken(NamedTuple):
    """What jobs take: how many run, how many there are, and what runs has."""

    running: int
    all: int
    amounts: Mapping[str, int]


class _Scene(NamedTuple):
    """What is asked for, and what there is."""

    controller: Controller
    book: Book
    users: Collection[str]
    accounts: Collection[str]
    qos: Collection[str]

    def wants(self, association: Association) -> bool:
        """Whether an association is asked for; those of accounts go with any user."""
        by_user = not association.user or not self.users or association.user in self.users
        return by_user and (not self.accounts or association.account in self.accounts)


def show_associations(line: Line, words: Sequence[str]) -> Answer:
    """Show what is asked for with ``flags=``, ``users=``, ``accounts=`` and ``qos=``."""
    said: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        known = next((each for each in _CONDITIONS if each.startswith(name.lower()) and name), None)
        if known is None or not equals:
            return failure(f"invalid entity:{word} for keyword:show ")
        said.setdefault(known, []).extend(filter(None, value.lower().split(",")))
    scene = _Scene(
        line.controller,
        line.controller.book(),
        said.get("users", ()),
        said.get("accounts", ()),
        said.get("qos", ()),
    )
    flags = said.get("flags", [])
    sections = [
        f"{title}\n\n{''.join(lines(scene))}"
        for flag, (title, lines) in _SECTIONS.items()
        if not flags or any(flag.startswith(each) for each in flags)
    ]
    return Answer(out="\n".join(["Current Association Manager state\n", *sections]))


def _users(scene: _Scene) -> Iterator[str]:
    first: dict[str, int] = {}
    for each in scene.book.associations.values():
        first[each.user] = min(first.get(each.user, each.id), each.id)
    order = sorted(scene.book.users, key=lambda name: (first.get(name, len(first)), name))
    for name in order:
        if scene.users and name not in scene.users:
            continue
        user_id = scene.controller.user_id(name)
        default = scene.book.default_account(name) if user_id is not None else ""
        level = scene.book.users[name].admin_level
        wckey = "" if name == "root" else scene.book.users[name].default_wckey or "(null)"
        yield (
            f"UserName={name}({_NO_UID if user_id is None else user_id}) "
            f"DefAccount={default or '(null)'} DefWckey={wckey} "
            f"AdminLevel={'Not Set' if level == 'None' else level}\n"
        )


def _associations(scene: _Scene) -> Iterator[str]:
    standings = scene.controller.standings()
    jobs = _by_association(scene.book, scene.controller.active_jobs())
    for _, each in scene.book.tree():
        if scene.wants(each):
            taken = _taken(jobs.get(each.id, ()))
            yield _association(scene, each, standings.get(each.id), taken)


def _association(scene: _Scene, own: Association, standing: Standing | None, taken: _Taken) -> str:
    book = scene.book
    parent = book.parent(own)
    limits = book.effective(own) if own.user else own.limits
    user_id = scene.controller.user_id(own.user) if own.user else None
    user = f"{own.user}({_NO_UID if user_id is None else user_id})" if own.user else ""
    above = f"{own.parent}({parent.id})" if own.parent and parent is not None else ""
    siblings = book.children(parent.account) if parent is not None else (own,)
    level = sum(each.shares for each in siblings if each.shares != PARENT_SHARES)
    usage = standing.usage if standing is not None else 0.0
    norm = standing.norm_usage if standing is not None and usage else 1.0
    effective = standing.effective_usage if standing is not None else 0.0
    factor = standing.fair_share if standing is not None else 0.0
    left, _ = book.numbering.get(own.id, (0, 0))
    return (
        f"ClusterName={scene.controller.cluster_name} Account={own.account} UserName={user} "
        f"Partition={own.partition} Priority={own.priority or 0} ID={own.id}\n"
        f"    SharesRaw/Norm/Level/Factor={own.shares}/{norm_shares(book, own):.2f}/{level}/"
        f"{factor:.2f}\n"
        f"    UsageRaw/Norm/Efctv={usage:.2f}/{norm:.2f}/"
        f"{1.0 if parent is None else effective:.2f}\n"
        f"    ParentAccount={above} Lft={left} DefAssoc={'Yes' if own.is_default else 'No'}\n"
        f"{_group(own.limits, taken)}"
        f"    MaxJobs={_max(limits.max_jobs, taken.running)} "
        f"MaxJobsAccrue={_plain(limits.max_jobs_accrue)} "
        f"MaxSubmitJobs={_max(limits.max_submit_jobs, taken.all)} "
        f"MaxWallPJ={_plain(limits.max_wall)}\n"
        f"{_per_job(limits)}"
        f"    MinPrioThresh={_plain(limits.min_prio_threshold)}\n"
    )


def _qualities(scene: _Scene) -> Iterator[str]:
    jobs = list(scene.controller.active_jobs())
    for qos in sorted(scene.book.qos.values(), key=lambda each: each.id):
        if not scene.qos or qos.name in scene.qos:
            mine = [job for job in jobs if (job.spec.qos or NORMAL) == qos.name]
            yield _quality(qos, mine)


def _quality(qos: Qos, mine: Sequence[Job]) -> str:
    limits = qos.limits
    accounts = "".join(_accounts_of(limits, mine)) or "      No Accounts\n"
    users = "".join(_users_of(limits, mine)) or "      No Users\n"
    lines = _group(limits, _taken(mine)).replace(")\n    GrpSubmitJobs", ") GrpSubmitJobs", 1)
    return (
        f"QOS={qos.name}({qos.id})\n"
        "    UsageRaw=0.000000\n"
        f"{lines}"
        f"    MaxWallPJ={_plain(limits.max_wall)}\n"
        f"{_per_job(limits)}"
        f"    MinPrioThresh={_plain(limits.min_prio_threshold)}\n"
        f"    MinTRESPJ={_amounts(limits.min_tres)}\n"
        "    PreemptMode=OFF\n"
        f"    Priority={qos.priority}\n"
        f"    Account Limits\n{accounts}"
        f"    User Limits\n{users}"
    )


def _accounts_of(limits: Limits, mine: Sequence[Job]) -> Iterator[str]:
    for name in sorted({job.spec.account for job in mine if job.spec.account}):
        taken = _taken([job for job in mine if job.spec.account == name])
        yield (
            f"      {name}\n"
            f"        MaxJobsPA={_used(limits.max_jobs_pa, taken.running)} "
            f"MaxJobsAccruePA={_used(limits.max_jobs_accrue_pa, 0)} "
            f"MaxSubmitJobsPA={_used(limits.max_submit_jobs_pa, taken.all)}\n"
            f"        MaxTRESPA={_used_amounts(limits.max_tres_pa, taken.amounts)}\n"
        )


def _users_of(limits: Limits, mine: Sequence[Job]) -> Iterator[str]:
    for name, user_id in sorted({(job.owner.user_name, job.owner.user_id) for job in mine}):
        taken = _taken([job for job in mine if job.owner.user_name == name])
        yield (
            f"      {name}({user_id})\n"
            f"        MaxJobsPU={_used(limits.max_jobs_pu, taken.running)} "
            f"MaxJobsAccruePU={_used(limits.max_jobs_accrue_pu, 0)} "
            f"MaxSubmitJobsPU={_used(limits.max_submit_jobs_pu, taken.all)}\n"
            f"        MaxTRESPU={_used_amounts(limits.max_tres_pu, taken.amounts)}\n"
        )


_CONDITIONS: Final = ("accounts", "flags", "qos", "users")
_SECTIONS: Final[Mapping[str, tuple[str, Callable[[_Scene], Iterator[str]]]]] = {
    "users": ("User Records", _users),
    "assoc": ("Association Records", _associations),
    "qos": ("QOS Records", _qualities),
}


# What jobs take, and limits with it.


def _by_association(book: Book, jobs: Iterable[Job]) -> dict[int, list[Job]]:
    """Return the jobs under each association, by its id."""
    found: dict[int, list[Job]] = {}
    for job in jobs:
        own = book.of_job(job.owner.user_name, job.spec.account, job.partition)
        for each in book.chain(own) if own is not None else ():
            found.setdefault(each.id, []).append(job)
    return found


def _taken(jobs: Sequence[Job]) -> _Taken:
    amounts: Counter[str] = Counter()
    running = [job.allocation for job in jobs if job.allocation is not None]
    for allocation in running:
        nodes = len(allocation.nodes)
        amounts.update(
            cpu=allocation.cpus, mem=allocation.memory_mib, node=nodes, billing=allocation.cpus
        )
    tasks = sum(len(job.array) if job.array is not None else 1 for job in jobs)
    return _Taken(len(running), tasks, amounts)


def _group(limits: Limits, taken: _Taken) -> str:
    return (
        f"    GrpJobs={_used(limits.grp_jobs, taken.running)} "
        f"GrpJobsAccrue={_used(limits.grp_jobs_accrue, 0)}\n"
        f"    GrpSubmitJobs={_used(limits.grp_submit_jobs, taken.all)} "
        f"GrpWall={_plain(limits.grp_wall) or 'N'}(0.00)\n"
        f"    GrpTRES={_used_amounts(limits.grp_tres, taken.amounts)}\n"
        f"    GrpTRESMins={_used_amounts(limits.grp_tres_mins, {})}\n"
        f"    GrpTRESRunMins={_used_amounts(limits.grp_tres_run_mins, {})}\n"
    )


def _per_job(limits: Limits) -> str:
    return (
        f"    MaxTRESPJ={_amounts(limits.max_tres)}\n"
        f"    MaxTRESPN={_amounts(limits.max_tres_per_node)}\n"
        f"    MaxTRESMinsPJ={_amounts(limits.max_tres_mins)}\n"
    )


def _used(limit: int | None, used: int) -> str:
    return f"{'N' if limit is None else limit}({used})"


def _max(limit: int | None, used: int) -> str:
    return "" if limit is None else f"{limit}({used})"


def _plain(limit: int | None) -> str:
    return "" if limit is None else str(limit)


def _amounts(limits: Tres) -> str:
    return ",".join(f"{name}={amount}" for name, amount in limits.items())


def _used_amounts(limits: Tres, used: Mapping[str, int]) -> str:
    names = dict.fromkeys((*TRES_NAMES, *limits))
    return ",".join(f"{name}={_used(limits.get(name), used.get(name, 0))}" for name in names)
