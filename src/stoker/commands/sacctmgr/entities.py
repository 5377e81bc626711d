"""What sacctmgr can show: for each entity the words that ask for it, and its columns.

Source: sacctmgr(1) of Slurm 22.05; names and columns as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec

from stoker.commands.sacctmgr import events, listings
from stoker.commands.sacctmgr.desk import NO_PRIVILEGE, Desk
from stoker.commands.sacctmgr.fields import Row
from stoker.commands.sacctmgr.statistics import statistics
from stoker.commands.sacctmgr.wanted import Wanted
from stoker.commands.sacctmgr.words import Keyword

_DENIED: Final = (
    "sacctmgr: error: Access/permission denied\n Error with request: Access/permission denied\n"
)

_ODD_HINT: Final = " Use keyword 'set' to modify SLURM_PRINT_VALUE\n"
"""Slurm's own slip, which some of its texts have."""

Reader = Callable[[Desk, Wanted], Iterable[Row]]
Right = Literal["", "operator", "administrator"]


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of record.

    ``conditions`` are keywords by what they are on: ``names`` is what bare words are, ``flag:X``
    needs no value, "" lets everything pass. ``refusal`` is what gets who has not the ``needs``.
    ``hint`` is what is said beside a condition that nobody knows.
    """

    name: str
    nickname: str = ""
    hint: str = " Use keyword 'set' to modify value\n"
    least: int = 1
    """Letters by which the name may be abbreviated."""
    default: str = ""
    with_associations: str = ""
    conditions: tuple[Keyword[str], ...] = ()
    rows: Reader | None = None
    text: Callable[[Desk], str] | None = None
    trouble: Callable[[Desk, Wanted], str] | None = None
    """What is wrong with the values of a request; "": nothing."""
    needs: Right = ""
    refusal: str = ""


_FLAGS: Final = (
    Keyword("WithAssoc", 5, "flag:withassoc"),
    Keyword("WithCoordinators", 5, "flag:withcoordinators"),
    Keyword("WithDeleted", 5, "flag:withdeleted"),
    Keyword("WithRawQOSLevel", 5, "flag:withrawqos"),
    Keyword("WOPInfo", 4, "flag:wopinfo"),
    Keyword("WOPLimits", 4, "flag:woplimits"),
)
_ON_ASSOCIATIONS: Final = (
    Keyword("Accounts", 2, "accounts"),
    Keyword("Acct", 4, "accounts"),
    Keyword("Clusters", 1, "clusters"),
    Keyword("Partitions", 3, "partitions"),
    Keyword("Parent", 4, "parents"),
    Keyword("DefaultQOS", 8, ""),
    Keyword("QosLevel", 1, ""),
)
_SPAN: Final = (Keyword("Start", 4, "starts"), Keyword("End", 1, "ends"))

ACCOUNTS: Final = Entity(
    name="Accounts",
    least=2,
    default="Account,Description,Organization",
    with_associations="Cluster,ParentName,User,Share,Priority,GrpJobs,GrpNodes,GrpCPUs,"
    "GrpMemory,GrpSubmit,GrpWall,GrpCPUMins,MaxJobs,MaxNodes,MaxCPUs,MaxSubmit,MaxWall,"
    "MaxCPUMins,QOS,DefaultQOS",
    conditions=(
        *_FLAGS,
        Keyword("Names", 1, "names"),
        Keyword("Accounts", 1, "names"),
        Keyword("Acct", 4, "names"),
        Keyword("Descriptions", 1, "descriptions"),
        Keyword("Organizations", 1, "organizations"),
        *_ON_ASSOCIATIONS[2:],
    ),
    rows=listings.accounts,
)

CLUSTERS: Final = Entity(
    name="Clusters",
    least=2,
    default="Cluster,ControlHost,ControlPort,RPC,Share,GrpJobs,GrpTRES,GrpSubmit,MaxJobs,"
    "MaxTRES,MaxSubmit,MaxWall,QOS,DefaultQOS",
    conditions=(
        Keyword("WithFed", 5, "flag:withfed"),
        Keyword("WOLimits", 3, "flag:wolimits"),
        Keyword("WithDeleted", 5, "flag:withdeleted"),
        Keyword("Names", 1, "names"),
        Keyword("Clusters", 3, "names"),
        Keyword("Classification", 3, ""),
        Keyword("Federation", 3, ""),
        Keyword("Flags", 2, ""),
    ),
    rows=listings.clusters,
)

QUALITIES: Final = Entity(
    name="QOS",
    hint=_ODD_HINT,
    default="Name,Priority,GraceTime,Preempt,PreemptExemptTime,PreemptMode,Flags%40,"
    "UsageThres,UsageFactor,GrpTRES,GrpTRESMins,GrpTRESRunMins,GrpJobs,GrpSubmit,GrpWall,"
    "MaxTRES,MaxTRESPerNode,MaxTRESMins,MaxWall,MaxTRESPU,MaxJobsPU,MaxSubmitPU,MaxTRESPA,"
    "MaxJobsPA,MaxSubmitPA,MinTRES",
    conditions=(
        Keyword("WithDeleted", 5, "flag:withdeleted"),
        Keyword("Names", 1, "names"),
        Keyword("QOSLevel", 1, "names"),
        Keyword("Descriptions", 1, "descriptions"),
        Keyword("IDs", 1, "ids"),
        Keyword("PreemptMode", 8, ""),
    ),
    rows=listings.qos,
)

USERS: Final = Entity(
    name="Users",
    default="User,DefaultAccount,AdminLevel",
    with_associations="Cluster,Account,Partition,Share,Priority,MaxJobs,MaxNodes,MaxCPUs,"
    "MaxSubmit,MaxWall,MaxCPUMins,QOS,DefaultQOS",
    conditions=(
        *_FLAGS,
        Keyword("Names", 1, "names"),
        Keyword("Users", 1, "names"),
        *_ON_ASSOCIATIONS,
        Keyword("AdminLevel", 2, "levels"),
        Keyword("DefaultAccount", 8, "defaults"),
        Keyword("DefaultWCKey", 8, ""),
    ),
    rows=listings.users,
)

ENTITIES: Final = (
    ACCOUNTS,
    Entity(
        name="Associations",
        hint="",
        least=2,
        default="Cluster,Account,User,Partition,Share,Priority,GrpJobs,GrpTRES,GrpSubmit,GrpWall,"
        "GrpTRESMins,MaxJobs,MaxTRES,MaxTRESPerNode,MaxSubmit,MaxWall,MaxTRESMins,QOS,DefaultQOS,"
        "GrpTRESRunMins",
        conditions=(
            Keyword("Tree", 4, "flag:tree"),
            Keyword("OnlyDefaults", 4, "flag:onlydefaults"),
            Keyword("WithSubAccounts", 5, "flag:withsubaccounts"),
            Keyword("WOLimits", 3, "flag:wolimits"),
            *_FLAGS,
            Keyword("IDs", 1, "ids"),
            Keyword("Users", 1, "users"),
            Keyword("Names", 1, "users"),
            *_ON_ASSOCIATIONS,
        ),
        rows=listings.associations,
    ),
    CLUSTERS,
    Entity(name="Configuration", least=2, text=listings.configuration),
    Entity(
        name="Events",
        hint="",
        default="Cluster,NodeName,TimeStart,TimeEnd,State,Reason%30,User",
        conditions=(
            Keyword("All_Clusters", 5, "flag:all_clusters"),
            Keyword("All_Time", 5, "flag:all_time"),
            Keyword("Clusters", 1, "clusters"),
            Keyword("CondFlags", 2, "condition flags"),
            Keyword("End", 2, ""),
            Keyword("Events", 2, "events"),
            Keyword("MaxCPUs", 2, ""),
            Keyword("MinCPUs", 2, ""),
            Keyword("Nodes", 1, "nodes"),
            Keyword("Reason", 1, "reasons"),
            Keyword("Start", 4, ""),
            Keyword("States", 4, "states"),
            Keyword("Users", 1, "users"),
        ),
        rows=events.rows,
        trouble=events.trouble,
    ),
    Entity(
        name="Federations",
        default="Federation,Cluster,ID%2,Features,FedState",
        conditions=(Keyword("Names", 1, "names"), Keyword("Tree", 4, "flag:tree")),
    ),
    Entity(
        name="Problems",
        hint="",
        default="Cluster,Account,User,Problem",
        rows=listings.problems,
        needs="operator",
        refusal=_DENIED,
    ),
    QUALITIES,
    Entity(
        name="Resources",
        hint=_ODD_HINT,
        least=4,
        default="Name,Server,Type,Count,Allocated,ServerType",
        conditions=(
            Keyword("WithClusters", 5, "flag:withclusters"),
            Keyword("Names", 1, "names"),
            Keyword("Clusters", 1, "clusters"),
            Keyword("Servers", 3, ""),
        ),
    ),
    Entity(
        name="Reservations",
        least=4,
        default="Cluster,Name%15,TRES%30,TimeStart,TimeEnd,UnusedWall",
        conditions=(
            Keyword("Names", 2, "names"),
            Keyword("Clusters", 1, "clusters"),
            Keyword("IDs", 1, ""),
            Keyword("Nodes", 2, ""),
            *_SPAN,
        ),
    ),
    Entity(
        name="RunAwayJobs",
        least=2,
        text=listings.runaway,
        needs="operator",
        refusal="sacctmgr: error: You must have an AdminLevel>=Operator to fix runaway jobs\n",
    ),
    Entity(
        name="Stats",
        text=statistics,
        needs="administrator",
        refusal="sacctmgr: accounting_storage/slurmdbd: acct_storage_p_get_stats: RC:2002 Your "
        "user doesn't have privilege to perform this action\n",
    ),
    Entity(
        name="Transactions",
        nickname="Txn",
        hint="",
        default="TimeStamp,Action,Actor,Where,Info",
        conditions=(
            Keyword("WithAssocInfo", 5, "flag:withassoc"),
            Keyword("Accounts", 3, "accounts"),
            Keyword("Actions", 4, "actions"),
            Keyword("Actors", 4, "actors"),
            Keyword("Clusters", 3, "clusters"),
            Keyword("IDs", 1, ""),
            Keyword("Info", 2, ""),
            Keyword("Users", 1, "users"),
            *_SPAN,
        ),
        rows=listings.transactions,
        trouble=listings.trouble_with_actions,
    ),
    Entity(
        name="TRES",
        least=2,
        default="Type,Name%15,ID",
        conditions=(
            Keyword("WithDeleted", 5, "flag:withdeleted"),
            Keyword("Type", 1, "types"),
            Keyword("Names", 1, "names"),
            Keyword("IDs", 1, "ids"),
        ),
        rows=listings.tres,
    ),
    USERS,
    Entity(
        name="WCKeys",
        hint="",
        default="WCKeys,Cluster,User",
        conditions=(
            Keyword("WithDeleted", 5, "flag:withdeleted"),
            Keyword("Names", 1, "names"),
            Keyword("Clusters", 1, "clusters"),
            Keyword("IDs", 1, ""),
            Keyword("Users", 1, "users"),
            *_SPAN,
        ),
        needs="administrator",
        refusal=NO_PRIVILEGE,
    ),
)


def find_entity(word: str) -> Entity | None:
    """Return the entity that a word, maybe abbreviated, names."""
    lower = word.lower()
    for entity in ENTITIES:
        names = (entity.name, entity.nickname)
        if any(name.lower().startswith(lower) for name in names) and len(lower) >= entity.least:
            return entity
    return None
