"""What sacctmgr can show: for each entity its fields, their widths, and the records there are.

Source: sacctmgr(1) of Slurm 22.05; names, widths and wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from stoker.core.units import format_time, zone_of
from stoker.worker.call import Call
from stoker.worker.controller import Controller

Row: TypeAlias = Mapping[str, str]
Reader: TypeAlias = Callable[[Controller, Call], Sequence[Row]]
Writer: TypeAlias = Callable[[Controller, Call], str]

_NO_PRIVILEGE = (
    "sacctmgr: error: Your user doesn't have privilege to perform this action\n"
    " Error with request: Access/permission denied\n"
)
_DENIED = (
    "sacctmgr: error: Access/permission denied\n Error with request: Access/permission denied\n"
)


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of record. ``fields`` are name and width, of which ``default`` are shown.

    ``key`` is the field that bare words name; ``conditions`` are further fields by the words that
    filter on them. ``refusal`` is what an ordinary user gets; ``text`` writes what is no table.
    """

    name: str
    least: int = 1
    """Letters by which the name may be abbreviated."""
    fields: Mapping[str, int] = {}
    default: str = ""
    key: str = ""
    conditions: Mapping[str, str] = {}
    flags: tuple[str, ...] = ()
    rows: Reader | None = None
    text: Writer | None = None
    refusal: str = ""

    def condition(self, word: str) -> str | None:
        """Return the field that a condition's word filters on; "" if it lets everything pass."""
        for full, field in self.conditions.items():
            if full.startswith(word) and len(word) > 1:
                return field
        return None


def find_entity(word: str) -> Entity | None:
    """Return the entity that a word, maybe abbreviated, names."""
    lower = word.lower()
    for entity in ENTITIES:
        if entity.name.lower().startswith(lower) and len(lower) >= entity.least:
            return entity
    return None


def rows_of(entity: Entity, controller: Controller, call: Call) -> Sequence[Row]:
    """Return the records that there are."""
    return entity.rows(controller, call) if entity.rows is not None else ()


# Records.


def _clusters(controller: Controller, _: Call) -> Sequence[Row]:
    nodes = controller.nodes()
    cpus = sum(status.node.cpus for status in nodes)
    memory = sum(status.node.memory_mib for status in nodes)
    return [
        {
            "Cluster": controller.cluster_name,
            "ControlHost": controller.host().address,
            "ControlPort": "0",
            "RPC": "9728",
            "Share": "1",
            "QOS": "normal",
            "ClusterNodes": ",".join(status.node.name for status in nodes),
            "TRES": f"billing={cpus},cpu={cpus},energy=0,fs/disk=0,mem={memory}M,"
            f"node={len(nodes)},pages=0,vmem=0",
        }
    ]


def _accounts(_: Controller, __: Call) -> Sequence[Row]:
    return [{"Account": "root", "Descr": "default root account", "Org": "root"}]


def _users(_: Controller, __: Call) -> Sequence[Row]:
    return [{"User": "root", "Def Acct": "root", "Admin": "Administrator"}]


def _associations(controller: Controller, _: Call) -> Sequence[Row]:
    account = {
        "Cluster": controller.cluster_name,
        "Account": "root",
        "Share": "1",
        "QOS": "normal",
        "ID": "1",
        "LFT": "1",
        "RGT": "4",
    }
    return [account, {**account, "User": "root", "ID": "2", "LFT": "2", "RGT": "3"}]


def _qos(_: Controller, __: Call) -> Sequence[Row]:
    return [
        {
            "Name": "normal",
            "Priority": "0",
            "GraceTime": "00:00:00",
            "PreemptMode": "cluster",
            "UsageFactor": "1.000000",
            "Descr": "Normal QOS default",
            "ID": "1",
        }
    ]


def _tres(_: Controller, __: Call) -> Sequence[Row]:
    names = ("cpu", "mem", "energy", "node", "billing", "fs/disk", "vmem", "pages")
    rows = []
    for number, each in enumerate(names, 1):
        kind, _slash, name = each.partition("/")
        rows.append({"Type": kind, "Name": name, "ID": str(number)})
    return rows


def _events(controller: Controller, call: Call) -> Sequence[Row]:
    zone = zone_of(call.environment.get("TZ", ""))
    return [
        {
            "Cluster": controller.cluster_name,
            "TimeStart": format_time(controller.host().started_at, zone, "", controller.now()),
            "TimeEnd": "Unknown",
            "Reason": "Cluster Registered TRES",
        }
    ]


def _configuration(controller: Controller, call: Call) -> str:
    zone = zone_of(call.environment.get("TZ", ""))
    now = datetime.fromtimestamp(int(controller.now()), zone).strftime("%Y-%m-%dT%H:%M:%S")
    lines = [f"Configuration data as of {now}"]
    lines += [f"{name:<23}= {value}" for name, value in controller.configuration().items()]
    return "".join(f"{line}\n" for line in lines)


def _runaway(controller: Controller, _: Call) -> str:
    return f"Runaway Jobs: No runaway jobs found on cluster {controller.cluster_name}\n"


def _statistics(_: Controller, __: Call) -> str:
    return ""


_LIMITS: Final[Mapping[str, int]] = {
    "GrpJobs": 7,
    "GrpTRES": 13,
    "GrpSubmit": 9,
}
_OF_ASSOCIATION: Final = {"user": "User", "names": "User", "accounts": "Account"}

ENTITIES: Final = (
    Entity(
        name="Accounts",
        least=2,
        fields={"Account": 10, "Descr": 20, "Org": 20, "Cluster": 10, "User": 10, "Share": 9},
        default="Account,Descr,Org",
        key="Account",
        conditions={"names": "Account", "accounts": "Account", "clusters": ""},
        flags=("withassoc", "withcoordinator", "withdeleted"),
        rows=_accounts,
    ),
    Entity(
        name="Associations",
        least=2,
        fields={
            "Cluster": 10, "Account": 10, "User": 10, "Partition": 10, "Share": 9,
            "Priority": 10, **_LIMITS, "GrpWall": 11, "GrpTRESMins": 13, "MaxJobs": 7,
            "MaxTRES": 13, "MaxTRESPerNode": 14, "MaxSubmit": 9, "MaxWall": 11,
            "MaxTRESMins": 13, "QOS": 20, "Def QOS": 9, "GrpTRESRunMins": 13, "ID": 6,
            "LFT": 6, "RGT": 6, "ParentName": 10,
        },
        default="Cluster,Account,User,Partition,Share,Priority,GrpJobs,GrpTRES,GrpSubmit,GrpWall,"
        "GrpTRESMins,MaxJobs,MaxTRES,MaxTRESPerNode,MaxSubmit,MaxWall,MaxTRESMins,QOS,Def QOS,"
        "GrpTRESRunMins",
        key="User",
        conditions={**_OF_ASSOCIATION, "clusters": "Cluster", "partitions": "Partition"},
        flags=("tree", "wopinfo", "wopi", "wolimits", "withdeleted", "withsubaccounts"),
        rows=_associations,
    ),
    Entity(
        name="Clusters",
        least=2,
        fields={
            "Cluster": 10, "ControlHost": 15, "ControlPort": 12, "RPC": 5, "Share": 9, **_LIMITS,
            "MaxJobs": 7, "MaxTRES": 13, "MaxSubmit": 9, "MaxWall": 11, "QOS": 20, "Def QOS": 9,
            "Classification": 14, "ClusterNodes": 20, "TRES": 20,
        },
        default="Cluster,ControlHost,ControlPort,RPC,Share,GrpJobs,GrpTRES,GrpSubmit,MaxJobs,"
        "MaxTRES,MaxSubmit,MaxWall,QOS,Def QOS",
        key="Cluster",
        conditions={"names": "Cluster", "clusters": "Cluster", "classification": ""},
        flags=("withfed", "wolimits"),
        rows=_clusters,
    ),
    Entity(name="Configuration", least=2, text=_configuration),
    Entity(
        name="Events",
        fields={
            "Cluster": 10, "NodeName": -15, "TimeStart": 19, "TimeEnd": 19, "State": 6,
            "Reason": 30, "User": 10, "Duration": 13, "TRES": 20,
        },
        default="Cluster,NodeName,TimeStart,TimeEnd,State,Reason,User",
        key="NodeName",
        conditions={"clusters": "Cluster", "nodes": "NodeName", "start": "", "end": "",
                    "event": "", "users": "User", "states": "", "all": ""},
        flags=("all_time", "all_clusters"),
        rows=_events,
    ),
    Entity(
        name="Federations",
        fields={"Federation": 10, "Cluster": 10, "ID": 2, "Features": 20, "FedState": 12},
        default="Federation,Cluster,ID,Features,FedState",
        key="Federation",
        conditions={"names": "Federation"},
        flags=("tree",),
    ),
    Entity(
        name="Problems",
        fields={"Cluster": 10, "Account": 10, "User": 10, "Problem": 40},
        default="Cluster,Account,User,Problem",
        refusal=_DENIED,
    ),
    Entity(
        name="QOS",
        fields={
            "Name": 10, "Priority": 10, "GraceTime": 10, "Preempt": 10, "PreemptExemptTime": 19,
            "PreemptMode": 11, "Flags": 40, "UsageThres": 10, "UsageFactor": 11, "GrpTRES": 13,
            "GrpTRESMins": 13, "GrpTRESRunMins": 13, "GrpJobs": 7, "GrpSubmit": 9, "GrpWall": 11,
            "MaxTRES": 13, "MaxTRESPerNode": 14, "MaxTRESMins": 13, "MaxWall": 11,
            "MaxTRESPU": 13, "MaxJobsPU": 9, "MaxSubmitPU": 11, "MaxTRESPA": 13, "MaxJobsPA": 9,
            "MaxSubmitPA": 11, "MinTRES": 13, "Descr": 20, "ID": 6,
        },
        default="Name,Priority,GraceTime,Preempt,PreemptExemptTime,PreemptMode,Flags,UsageThres,"
        "UsageFactor,GrpTRES,GrpTRESMins,GrpTRESRunMins,GrpJobs,GrpSubmit,GrpWall,MaxTRES,"
        "MaxTRESPerNode,MaxTRESMins,MaxWall,MaxTRESPU,MaxJobsPU,MaxSubmitPU,MaxTRESPA,MaxJobsPA,"
        "MaxSubmitPA,MinTRES",
        key="Name",
        conditions={"names": "Name", "qos": "Name", "id": "ID"},
        flags=("withdeleted",),
        rows=_qos,
    ),
    Entity(
        name="Resources",
        least=4,
        fields={
            "Name": 10, "Server": 10, "Type": 8, "Count": 6, "% Allocated": 11, "ServerType": 10,
        },
        default="Name,Server,Type,Count,% Allocated,ServerType",
        key="Name",
        conditions={"names": "Name"},
        flags=("withclusters",),
    ),
    Entity(
        name="Reservations",
        least=4,
        fields={
            "Cluster": 10, "Name": 15, "TRES": 30, "TimeStart": 19, "TimeEnd": 19,
            "UnusedWall": 10,
        },
        default="Cluster,Name,TRES,TimeStart,TimeEnd,UnusedWall",
        key="Name",
        conditions={"names": "Name", "clusters": "Cluster", "start": "", "end": ""},
    ),
    Entity(
        name="RunAwayJobs",
        least=2,
        text=_runaway,
        refusal="sacctmgr: error: You must have an AdminLevel>=Operator to fix runaway jobs\n",
    ),
    Entity(
        name="Stats",
        text=_statistics,
        refusal="sacctmgr: accounting_storage/slurmdbd: acct_storage_p_get_stats: RC:2002 Your "
        "user doesn't have privilege to perform this action\n",
    ),
    Entity(
        name="Transactions",
        least=2,
        fields={"Time": 19, "Action": 20, "Actor": 10, "Where": 20, "Info": 20},
        default="Time,Action,Actor,Where,Info",
        conditions={"accounts": "", "actor": "Actor", "action": "Action", "clusters": "",
                    "start": "", "end": "", "users": ""},
        flags=("withassoc",),
    ),
    Entity(
        name="TRES",
        least=2,
        fields={"Type": 8, "Name": 15, "ID": 6},
        default="Type,Name,ID",
        key="Name",
        conditions={"type": "Type", "names": "Name", "id": "ID"},
        rows=_tres,
    ),
    Entity(
        name="Users",
        fields={
            "User": 10, "Def Acct": 10, "Admin": 9, "Cluster": 10, "Account": 10,
            "Partition": 10, "Share": 9, "MaxJobs": 7, "QOS": 20, "Def QOS": 9,
        },
        default="User,Def Acct,Admin",
        key="User",
        conditions={"users": "User", "names": "User", "adminlevel": "Admin",
                    "accounts": "Def Acct", "defaultaccount": "Def Acct", "clusters": ""},
        flags=("withassoc", "withcoordinator", "withdeleted", "wopinfo"),
        rows=_users,
    ),
    Entity(
        name="WCKeys",
        fields={"WCKey": 10, "Cluster": 10, "User": 10},
        default="WCKey,Cluster,User",
        key="WCKey",
        conditions={"names": "WCKey", "users": "User", "clusters": "Cluster"},
        refusal=_NO_PRIVILEGE,
    ),
)  # fmt: skip
