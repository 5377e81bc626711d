"""Slurm's commands by name. One that is not here is refused with a sentence, not with a guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from stoker.commands.sacct import sacct
from stoker.commands.sacctmgr import sacctmgr
from stoker.commands.salloc import salloc
from stoker.commands.sattach import sattach
from stoker.commands.sbatch import sbatch
from stoker.commands.sbcast import sbcast
from stoker.commands.scancel import scancel
from stoker.commands.scontrol import scontrol
from stoker.commands.scrontab import scrontab
from stoker.commands.sdiag import sdiag
from stoker.commands.seff import seff
from stoker.commands.sinfo import sinfo
from stoker.commands.sprio import sprio
from stoker.commands.squeue import squeue
from stoker.commands.sreport import sreport
from stoker.commands.srun import srun
from stoker.commands.sshare import sshare
from stoker.commands.sstat import sstat
from stoker.commands.strigger import strigger
from stoker.worker.call import Answer, Call, Conversation
from stoker.worker.controller import Controller

Command: TypeAlias = Callable[[Call, Controller], Answer | Conversation]

COMMANDS: Final[Mapping[str, Command]] = {
    "sacct": sacct,
    "sacctmgr": sacctmgr,
    "salloc": salloc,
    "sattach": sattach,
    "sbatch": sbatch,
    "sbcast": sbcast,
    "scancel": scancel,
    "scontrol": scontrol,
    "scrontab": scrontab,
    "sdiag": sdiag,
    "seff": seff,
    "sinfo": sinfo,
    "sprio": sprio,
    "squeue": squeue,
    "sreport": sreport,
    "srun": srun,
    "sshare": sshare,
    "sstat": sstat,
    "strigger": strigger,
}


def _over_http(call: Call, controller: Controller) -> Answer | Conversation:
    from stoker.commands.rest import slurmrestd  # noqa: PLC0415 - hardly a daemon is asked so

    return slurmrestd(call, controller)


SERVED: Final[Mapping[str, Command]] = {**COMMANDS, "slurmrestd": _over_http}
"""All that stokerd answers: commands, and what the gateway brings."""
