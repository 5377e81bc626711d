"""What scontrol and sacctmgr list as configured: every parameter of Slurm's, in its order.

What Stoker has a value for says the controller (`worker.configuration`). Every other parameter
stands here: with what is true here all the same (nothing listens on an address, no tree of daemons
is between), else with what Slurm shows where nobody has set it, for what it would change is not
here.
Some names stand for something of the same use: SlurmctldLogFile is stokerd's log, SlurmdLogFile
that of the jobs' parent, SLURM_CONF the file of settings.

Source: scontrol(1) "show config", sacctmgr(1) "show configuration", slurm.conf(5); order as
recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Final

from stoker.commands.options import VERSION
from stoker.worker.controller import Controller

_SLURM: Final = """\
AccountingStorageBackupHost = (null)
AccountingStorageEnforce =
AccountingStorageHost = 127.0.0.1
AccountingStorageExternalHost = (null)
AccountingStorageParameters = (null)
AccountingStoragePort = 0
AccountingStorageTRES = cpu,mem,energy,node,billing,fs/disk,vmem,pages
AccountingStorageType =
AccountingStorageUser = N/A
AccountingStoreFlags =
AcctGatherEnergyType = acct_gather_energy/none
AcctGatherFilesystemType = acct_gather_filesystem/none
AcctGatherInterconnectType = acct_gather_interconnect/none
AcctGatherNodeFreq = 0 sec
AcctGatherProfileType = acct_gather_profile/none
AllowSpecResourcesUsage = No
AuthAltTypes = auth/jwt
AuthAltParameters =
AuthInfo =
AuthType = auth/unix
BatchStartTimeout =
BcastExclude = /lib,/usr/lib,/lib64,/usr/lib64
BcastParameters = (null)
BOOT_TIME =
BurstBufferType = (null)
CliFilterPlugins = (null)
ClusterName =
CommunicationParameters = NoInAddrAny,NoCtldInAddrAny
CompleteWait = 0 sec
CoreSpecPlugin = core_spec/none
CpuFreqDef = Unknown
CpuFreqGovernors = OnDemand,Performance,UserSpace
CredType = cred/none
DebugFlags = (null)
DefMemPerCPU =
DependencyParameters =
DisableRootJobs = No
EioTimeout = 60
EnforcePartLimits =
Epilog = (null)
EpilogMsgTime = 2000 usec
EpilogSlurmctld = (null)
ExtSensorsType = ext_sensors/none
ExtSensorsFreq = 0 sec
FairShareDampeningFactor = 1
FederationParameters = (null)
FirstJobId = 1
GetEnvTimeout = 2 sec
GresTypes =
GpuFreqDef = high,memory=high
GroupUpdateForce = 1
GroupUpdateTime = 600 sec
HASH_VAL = Match
HealthCheckInterval = 0 sec
HealthCheckNodeState = ANY
HealthCheckProgram = (null)
InactiveLimit = 0 sec
InteractiveStepOptions = --interactive --preserve-env --pty $SHELL
JobAcctGatherFrequency =
JobAcctGatherType = jobacct_gather/linux
JobAcctGatherParams =
JobCompHost = localhost
JobCompLoc = /var/log/slurm_jobcomp.log
JobCompPort = 0
JobCompType = jobcomp/none
JobCompUser = root
JobContainerType = job_container/none
JobCredentialPrivateKey = (null)
JobCredentialPublicCertificate = (null)
JobDefaults = (null)
JobFileAppend = 0
JobRequeue =
JobSubmitPlugins = (null)
KillOnBadExit = 0
KillWait =
LaunchParameters = use_interactive_step
LaunchType = launch/slurm
Licenses =
LogTimeFormat = iso8601_ms
MailDomain = (null)
MailProg =
MaxArraySize =
MaxDBDMsgs =
MaxJobCount =
MaxJobId = 67043328
MaxMemPerNode = UNLIMITED
MaxNodeCount =
MaxStepCount = 40000
MaxTasksPerNode =
MCSPlugin = mcs/none
MCSParameters = (null)
MessageTimeout = 10 sec
MinJobAge =
MpiDefault = none
MpiParams = (null)
MULTIPLE_SLURMD =
NEXT_JOB_ID =
NodeFeaturesPlugins = (null)
OverTimeLimit = 0 min
PluginDir = (null)
PlugStackConfig = (null)
PowerParameters = (null)
PowerPlugin =
PreemptMode = OFF
PreemptType = preempt/none
PreemptExemptTime = 00:00:00
PrEpParameters = (null)
PrEpPlugins = prep/script
PriorityParameters = (null)
PrioritySiteFactorParameters = (null)
PrioritySiteFactorPlugin = (null)
PriorityDecayHalfLife =
PriorityCalcPeriod =
PriorityFavorSmall =
PriorityFlags =
PriorityMaxAge =
PriorityUsageResetPeriod =
PriorityType =
PriorityWeightAge =
PriorityWeightAssoc =
PriorityWeightFairShare =
PriorityWeightJobSize =
PriorityWeightPartition =
PriorityWeightQOS =
PriorityWeightTRES =
PrivateData = none
ProctrackType = proctrack/stoker
Prolog = (null)
PrologEpilogTimeout = 65534
PrologSlurmctld = (null)
PrologFlags = (null)
PropagatePrioProcess = 0
PropagateResourceLimits = ALL
PropagateResourceLimitsExcept = (null)
RebootProgram = (null)
ReconfigFlags = (null)
RequeueExit = (null)
RequeueExitHold = (null)
ResumeFailProgram = (null)
ResumeProgram = (null)
ResumeRate = 300 nodes/min
ResumeTimeout = 60 sec
ResvEpilog = (null)
ResvOverRun = 0 min
ResvProlog = (null)
ReturnToService = 0
RoutePlugin = route/default
SchedulerParameters =
SchedulerTimeSlice = 30 sec
SchedulerType =
ScronParameters = (null)
SelectType =
SelectTypeParameters =
SlurmUser =
SlurmctldAddr = (null)
SlurmctldDebug =
SlurmctldHost[0] =
SlurmctldLogFile =
SlurmctldPort = 0
SlurmctldSyslogDebug = (null)
SlurmctldPrimaryOffProg = (null)
SlurmctldPrimaryOnProg = (null)
SlurmctldTimeout = 120 sec
SlurmctldParameters = (null)
SlurmdDebug = info
SlurmdLogFile =
SlurmdParameters = config_overrides
SlurmdPidFile = (null)
SlurmdPort = 0
SlurmdSpoolDir =
SlurmdSyslogDebug = (null)
SlurmdTimeout = 300 sec
SlurmdUser =
SlurmSchedLogFile = (null)
SlurmSchedLogLevel = 0
SlurmctldPidFile =
SlurmctldPlugstack = (null)
SLURM_CONF =
SLURM_VERSION =
SrunEpilog = (null)
SrunPortRange = 0-0
SrunProlog = (null)
StateSaveLocation =
SuspendExcNodes = (null)
SuspendExcParts = (null)
SuspendProgram = (null)
SuspendRate = 60 nodes/min
SuspendTime = INFINITE
SuspendTimeout = 30 sec
SwitchParameters = (null)
SwitchType = switch/none
TaskEpilog = (null)
TaskPlugin =
TaskPluginParam = (null type)
TaskProlog = (null)
TCPTimeout = 2 sec
TmpFS = /tmp
TopologyParam = (null)
TopologyPlugin = topology/none
TrackWCKey = No
TreeWidth = 65533
UsePam = No
UnkillableStepProgram = (null)
UnkillableStepTimeout = 60 sec
VSizeFactor = 0 percent
WaitTime = 0 sec
X11Parameters = (null)
"""
"""Names with what they say where nobody has set them; without a value: Stoker has one."""

_ACCOUNTING: Final = (
    *("AccountingStorageBackupHost ", "AccountingStorageHost", "AccountingStorageParameters"),
    *("AccountingStoragePass", "AccountingStoragePort", "AccountingStorageType"),
    *("AccountingStorageUser", "AuthType", "MessageTimeout", "PluginDir", "PrivateData"),
    *("SlurmUserId", "SLURM_CONF", "SLURM_VERSION", "TCPTimeout", "TrackWCKey"),
)
"""What sacctmgr tells of Slurm itself; one name is a blank further from its value than others."""

_SLURMDBD: Final = """\
AllowNoDefAcct = No
ArchiveDir =
ArchiveEvents = No
ArchiveJobs =
ArchiveResvs = No
ArchiveScript = (null)
ArchiveSteps = No
ArchiveSuspend = No
ArchiveTXN = No
ArchiveUsage = No
AuthAltTypes = (null)
AuthAltParameters = (null)
AuthInfo =
AuthType = auth/unix
BOOT_TIME =
CommitDelay = No
CommunicationParameters = NoInAddrAny
DbdAddr = 127.0.0.1
DbdBackupHost = (null)
DbdHost = localhost
DbdPort = 0
DebugFlags = (null)
DebugLevel =
DebugLevelSyslog = (null)
DefaultQOS = (null)
LogFile =
MaxQueryTimeRange = UNLIMITED
MessageTimeout = 10 secs
Parameters = (null)
PidFile =
PluginDir = (null)
PrivateData = none
PurgeEventAfter = NONE
PurgeJobAfter =
PurgeResvAfter = NONE
PurgeStepAfter = NONE
PurgeSuspendAfter = NONE
PurgeTXNAfter = NONE
PurgeUsageAfter = NONE
SLURMDBD_CONF =
SLURMDBD_VERSION =
SlurmUser =
StorageBackupHost = (null)
StorageHost = localhost
StorageLoc =
StorageParameters = (null)
StoragePort = 0
StorageType = accounting_storage/stoker
StorageUser = N/A
TCPTimeout = 2 secs
TrackWCKey = No
TrackSlurmctldDown = No
"""
"""The same of the daemon of the records, which is stokerd itself."""

_SAME_AS: Final = {
    "DebugLevel": "SlurmctldDebug",
    "LogFile": "SlurmctldLogFile",
    "PidFile": "SlurmctldPidFile",
    "SLURMDBD_CONF": "SLURM_CONF",
    "SLURMDBD_VERSION": "SLURM_VERSION",
}
"""What that daemon has in common with the other, or calls by another name."""


def parameters(controller: Controller, zone: tzinfo) -> Iterator[tuple[str, str]]:
    """Yield name and value of every parameter."""
    return _filled(_SLURM, controller, zone)


def accounting_parameters(controller: Controller, zone: tzinfo) -> Iterator[tuple[str, str]]:
    """Yield what sacctmgr tells of Slurm itself."""
    known = dict(parameters(controller, zone))
    known |= {
        "AccountingStoragePass": known["AuthInfo"].removeprefix("socket="),
        "SlurmUserId": known["SlurmUser"],
    }
    yield from ((name, known[name.strip()]) for name in _ACCOUNTING)


def records_parameters(controller: Controller, zone: tzinfo) -> Iterator[tuple[str, str]]:
    """Yield what sacctmgr tells of the daemon of the records."""
    known = dict(parameters(controller, zone))
    for name, value in _filled(_SLURMDBD, controller, zone):
        yield name, known[_SAME_AS[name]] if name in _SAME_AS else value


def _filled(table: str, controller: Controller, zone: tzinfo) -> Iterator[tuple[str, str]]:
    host = controller.host()
    began = datetime.fromtimestamp(int(host.started_at), zone).strftime("%Y-%m-%dT%H:%M:%S")
    known = {
        **controller.configuration(),
        "BOOT_TIME": began,
        "SLURM_VERSION": VERSION.rpartition(" ")[2],
        "SlurmctldHost[0]": host.name,
    }
    for line in table.splitlines():
        name, _, value = line.partition(" =")
        yield name, value.strip() or known.get(name, "")
