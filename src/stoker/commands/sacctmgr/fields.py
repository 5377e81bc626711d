"""The columns of sacctmgr: one table for all entities, as in Slurm.

A format names columns by keywords that may be abbreviated; the first that fits is meant. A column
that an entity has nothing to say to stays empty.

Source: sacctmgr(1), "LIST/SHOW ... FORMAT OPTIONS"; headings and widths as recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from stoker.commands.columns import Column, Kind, UnknownField, leading_number
from stoker.commands.sacctmgr.words import Keyword, Word, find

Row: TypeAlias = Mapping[str, str]
"""A line of a listing: texts by heading."""


class _Field(NamedTuple):
    heading: str
    width: int
    kind: Kind = "text"


_FIGURE: Final[Kind] = "figure"
_TREE_WIDTH: Final = -20

FIELDS: Final = (
    Keyword("Account", 3, _Field("Account", 10)),
    Keyword("Acct", 4, _Field("Account", 10)),
    Keyword("ActionRaw", 7, _Field("ActionRaw", 10)),
    Keyword("Action", 4, _Field("Action", 20)),
    Keyword("Actor", 4, _Field("Actor", 10)),
    Keyword("AdminLevel", 2, _Field("Admin", 9)),
    Keyword("Allocated", 7, _Field("% Allocated", 11)),
    Keyword("Allowed", 2, _Field("% Allowed", 10)),
    Keyword("Associations", 2, _Field("Assocs", 10)),
    Keyword("TRES", 2, _Field("TRES", 20)),
    Keyword("Classification", 3, _Field("Class", 9)),
    Keyword("ClusterNodes", 8, _Field("Cluster Nodes", 20)),
    Keyword("Clusters", 2, _Field("Cluster", 10)),
    Keyword("Coordinators", 2, _Field("Coord Accounts", 20)),
    Keyword("ControlHost", 8, _Field("ControlHost", 15)),
    Keyword("ControlPort", 8, _Field("ControlPort", 12, _FIGURE)),
    Keyword("Count", 3, _Field("Count", 6, _FIGURE)),
    Keyword("CountAllowed", 6, _Field("# Allowed", 10, _FIGURE)),
    Keyword("CountUsed", 6, _Field("# Used", 10, _FIGURE)),
    Keyword("CPUCount", 2, _Field("CPU Cnt", 7)),
    Keyword("DefaultAccount", 8, _Field("Def Acct", 10)),
    Keyword("DefaultQOS", 8, _Field("Def QOS", 9)),
    Keyword("DefaultWCKey", 8, _Field("Def WCKey", 10)),
    Keyword("Description", 3, _Field("Descr", 20)),
    Keyword("Duration", 2, _Field("Duration", 13, _FIGURE)),
    Keyword("EventRaw", 6, _Field("EventRaw", 8)),
    Keyword("Event", 2, _Field("Event", 7)),
    Keyword("Features", 3, _Field("Features", 20)),
    Keyword("Federation", 3, _Field("Federation", 10)),
    Keyword("FedState", 4, _Field("FedState", 12)),
    Keyword("FedStateRaw", 9, _Field("FedStateRaw", 11)),
    Keyword("Flags", 2, _Field("Flags", 20)),
    Keyword("GraceTime", 3, _Field("GraceTime", 10, _FIGURE)),
    Keyword("GrpCPUs", 6, _Field("GrpCPUs", 8, _FIGURE)),
    Keyword("GrpCPUMins", 7, _Field("GrpCPUMins", 11, _FIGURE)),
    Keyword("GrpCPURunMins", 7, _Field("GrpCPURunMins", 13, _FIGURE)),
    Keyword("GrpTRES", 7, _Field("GrpTRES", 13)),
    Keyword("GrpTRESMins", 7, _Field("GrpTRESMins", 13)),
    Keyword("GrpTRESRunMins", 7, _Field("GrpTRESRunMins", 13)),
    Keyword("GrpJobs", 4, _Field("GrpJobs", 7, _FIGURE)),
    Keyword("GrpJobsAccrue", 8, _Field("GrpJobsAccrue", 13, _FIGURE)),
    Keyword("GrpMemory", 4, _Field("GrpMem", 7, _FIGURE)),
    Keyword("GrpNodes", 4, _Field("GrpNodes", 8, _FIGURE)),
    Keyword("GrpSubmitJobs", 4, _Field("GrpSubmit", 9, _FIGURE)),
    Keyword("GrpWall", 4, _Field("GrpWall", 11, _FIGURE)),
    Keyword("ID", 2, _Field("ID", 6, _FIGURE)),
    Keyword("Info", 2, _Field("Info", 20)),
    Keyword("LFT", 1, _Field("LFT", 6, _FIGURE)),
    Keyword("LimitFactor", 6, _Field("LimitFactor", 11, _FIGURE)),
    Keyword("ServerType", 10, _Field("ServerType", 10)),
    Keyword("MaxCPUMinsPerJob", 7, _Field("MaxCPUMins", 11, _FIGURE)),
    Keyword("MaxCPUsPerJob", 7, _Field("MaxCPUs", 8, _FIGURE)),
    Keyword("MaxCPUsPerUser", 11, _Field("MaxCPUsPU", 9, _FIGURE)),
    Keyword("MaxCPUsPU", 9, _Field("MaxCPUsPU", 9, _FIGURE)),
    Keyword("MaxTRES", 7, _Field("MaxTRES", 13)),
    Keyword("MaxTRESPerJob", 11, _Field("MaxTRES", 13)),
    Keyword("MaxTRESPerNode", 11, _Field("MaxTRESPerNode", 14)),
    Keyword("MaxTRESMinsPerJob", 8, _Field("MaxTRESMins", 13)),
    Keyword("MaxTRESRunMinsPerAccount", 18, _Field("MaxTRESRunMinsPA", 15)),
    Keyword("MaxTRESRunMinsPerAcct", 18, _Field("MaxTRESRunMinsPA", 15)),
    Keyword("MaxTRESRunMinsPA", 15, _Field("MaxTRESRunMinsPA", 15)),
    Keyword("MaxTRESRunMinsPerUser", 8, _Field("MaxTRESRunMinsPU", 15)),
    Keyword("MaxTRESRunMinsPU", 8, _Field("MaxTRESRunMinsPU", 15)),
    Keyword("MaxTRESPerAccount", 11, _Field("MaxTRESPA", 13)),
    Keyword("MaxTRESPerAcct", 11, _Field("MaxTRESPA", 13)),
    Keyword("MaxTRESPA", 9, _Field("MaxTRESPA", 13)),
    Keyword("MaxTRESPerUser", 11, _Field("MaxTRESPU", 13)),
    Keyword("MaxTRESPU", 9, _Field("MaxTRESPU", 13)),
    Keyword("MaxJobs", 4, _Field("MaxJobs", 7, _FIGURE)),
    Keyword("MaxJobsAccruePerAccount", 17, _Field("MaxJobsAccruePA", 15, _FIGURE)),
    Keyword("MaxJobsAccruePA", 15, _Field("MaxJobsAccruePA", 15, _FIGURE)),
    Keyword("MaxJobsAccruePerUser", 17, _Field("MaxJobsAccruePU", 15, _FIGURE)),
    Keyword("MaxJobsAccruePU", 15, _Field("MaxJobsAccruePU", 15, _FIGURE)),
    Keyword("MaxJobsAccrue", 8, _Field("MaxJobsAccrue", 13, _FIGURE)),
    Keyword("MaxJobsPerAccount", 11, _Field("MaxJobsPA", 9, _FIGURE)),
    Keyword("MaxJobsPerAcct", 11, _Field("MaxJobsPA", 9, _FIGURE)),
    Keyword("MaxJobsPA", 9, _Field("MaxJobsPA", 9, _FIGURE)),
    Keyword("MaxJobsPerUser", 11, _Field("MaxJobsPU", 9, _FIGURE)),
    Keyword("MaxJobsPU", 9, _Field("MaxJobsPU", 9, _FIGURE)),
    Keyword("MaxNodesPerJob", 4, _Field("MaxNodes", 8, _FIGURE)),
    Keyword("MaxNodesPerUser", 12, _Field("MaxNodesPU", 10, _FIGURE)),
    Keyword("MaxNodesPU", 10, _Field("MaxNodesPU", 10, _FIGURE)),
    Keyword("MaxSubmitJobs", 4, _Field("MaxSubmit", 9, _FIGURE)),
    Keyword("MaxSubmitJobsPerAccount", 17, _Field("MaxSubmitPA", 11, _FIGURE)),
    Keyword("MaxSubmitJobsPerAcct", 17, _Field("MaxSubmitPA", 11, _FIGURE)),
    Keyword("MaxSubmitJobsPA", 15, _Field("MaxSubmitPA", 11, _FIGURE)),
    Keyword("MaxSubmitPA", 10, _Field("MaxSubmitPA", 11, _FIGURE)),
    Keyword("MaxSubmitJobsPerUser", 10, _Field("MaxSubmitPU", 11, _FIGURE)),
    Keyword("MaxSubmitJobsPU", 10, _Field("MaxSubmitPU", 11, _FIGURE)),
    Keyword("MaxSubmitPU", 10, _Field("MaxSubmitPU", 11, _FIGURE)),
    Keyword("MaxWallDurationPerJob", 4, _Field("MaxWall", 11, _FIGURE)),
    Keyword("MinPrioThreshold", 4, _Field("MinPrioThresh", 13, _FIGURE)),
    Keyword("MinTRESPerJob", 7, _Field("MinTRES", 13)),
    Keyword("Name", 2, _Field("Name", 10)),
    Keyword("NodeCount", 5, _Field("NodeCount", 9, _FIGURE)),
    Keyword("NodeNames", 5, _Field("NodeName", -15)),
    Keyword("Organization", 1, _Field("Org", 20)),
    Keyword("ParentID", 7, _Field("ParentID", 6, _FIGURE)),
    Keyword("ParentName", 7, _Field("ParentName", 10)),
    Keyword("Partition", 4, _Field("Partition", 10)),
    Keyword("PluginIDSelect", 2, _Field("PluginIDSelect", 14, _FIGURE)),
    Keyword("PreemptExemptTime", 8, _Field("PreemptExemptTime", 19, _FIGURE)),
    Keyword("PreemptMode", 8, _Field("PreemptMode", 11)),
    Keyword("Preempt", 7, _Field("Preempt", 10)),
    Keyword("Priority", 3, _Field("Priority", 10, _FIGURE)),
    Keyword("Problem", 1, _Field("Problem", 40)),
    Keyword("QOSLevel", 3, _Field("QOS", 20)),
    Keyword("QOSRAWLevel", 4, _Field("QOS_RAW", 10)),
    Keyword("Reason", 1, _Field("Reason", 30)),
    Keyword("RGT", 1, _Field("RGT", 6, _FIGURE)),
    Keyword("RPC", 1, _Field("RPC", 5, _FIGURE)),
    Keyword("Server", 3, _Field("Server", 10)),
    Keyword("Share", 1, _Field("Share", 9, _FIGURE)),
    Keyword("FairShare", 2, _Field("Share", 9, _FIGURE)),
    Keyword("StateRaw", 6, _Field("StateRaw", 8)),
    Keyword("State", 1, _Field("State", 6)),
    Keyword("TimeStamp", 2, _Field("Time", 19, "stamp")),
    Keyword("TimeStart", 7, _Field("TimeStart", 19, "stamp")),
    Keyword("Start", 3, _Field("TimeStart", 19, "stamp")),
    Keyword("TimeEnd", 5, _Field("TimeEnd", 19, "stamp")),
    Keyword("End", 2, _Field("TimeEnd", 19, "stamp")),
    Keyword("Type", 2, _Field("Type", 8)),
    Keyword("UnusedWall", 2, _Field("UnusedWall", 10, _FIGURE)),
    Keyword("UsageFactor", 6, _Field("UsageFactor", 11, _FIGURE)),
    Keyword("UsageThreshold", 6, _Field("UsageThres", 10, _FIGURE)),
    Keyword("User", 1, _Field("User", 10)),
    Keyword("WCKeys", 2, _Field("WCKey", 10)),
    Keyword("Where", 2, _Field("Where", 20)),
)  # fmt: skip


def chosen(names: Sequence[str], *, as_tree: bool = False) -> list[Column[Row]]:
    """Return the columns that the words of a format name, with ``%WIDTH`` if they say one.

    Raises:
        UnknownField: The first word that names none.
    """
    return [_column(name, as_tree=as_tree) for name in names]


def _column(typed: str, *, as_tree: bool) -> Column[Row]:
    name, _, stated = typed.partition("%")
    found = find(Word(name, "", "", name), FIELDS) if name else None
    if found is None:
        raise UnknownField(name)
    heading, width, kind = found.meaning
    if as_tree and heading == "Account":
        width = _TREE_WIDTH
    return Column(heading, leading_number(stated) or width, lambda row: row.get(heading, ""), kind)
