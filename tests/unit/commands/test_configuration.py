"""What is listed as configured: every parameter that a real Slurm listed, in its order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from stoker.commands import configuration as listing
from stoker.commands.sacctmgr.command import sacctmgr
from stoker.commands.scontrol.command import scontrol
from stoker.core.hardware import Detected
from stoker.core.machine import machine_of
from stoker.core.settings import Settings
from stoker.worker.call import Answer, Call, Conversation
from stoker.worker.configuration import Place, slurm_configuration
from support.controller import FakeController, call_of, converse
from support.recordings import cases, parameters

COMMANDS: Mapping[str, Callable[[Call, Any], Answer | Conversation]] = {
    "sacctmgr": sacctmgr,
    "scontrol": scontrol,
}
IDS = (
    *("scontrol-show-config", "misc-sc-config", "misc-sc-config-debug"),
    *("misc-sacctmgr-first-config", "limits-mgr-show-configuration"),
)


def listed(text: str) -> list[tuple[str, str]]:
    """Return each line as the name with all that stands before the value, and the value."""
    found = re.findall(r"^(.*?= ?)(.*)$|^()(.*)$", text, re.MULTILINE)
    return [(name, value or rest) for name, value, _, rest in found]


@pytest.mark.parametrize(
    "case",
    parameters(
        each for file in ("scontrol", "misc", "limits") for each in cases(file) if each["id"] in IDS
    ),
)
def test_lists_what_slurm_lists(case: dict[str, Any]) -> None:
    words = case["cmd"] if isinstance(case["cmd"], list) else case["cmd"].split()
    heard = converse(COMMANDS[words[0]](call_of(*words), FakeController()))
    ours, theirs = listed(heard.out), listed(case["stdout"])
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    assert (heard.err, heard.code) == ("", 0)


def test_says_of_what_is_not_here_what_slurm_says_of_what_nobody_set() -> None:
    found = dict(
        listed(converse(scontrol(call_of("scontrol", "show", "config"), FakeController())).out)
    )
    assert found["PreemptMode             = "] == "OFF"
    assert found["Prolog                  = "] == "(null)"
    assert found["SLURM_VERSION           = "] == "22.05.8"
    assert found["SlurmctldHost[0]        = "] == "vm"
    assert found["MaxArraySize            = "] == "1001"


def test_all_that_is_configured_is_told_and_what_is_the_daemons_of_records_own_stays_so() -> None:
    class Configured(FakeController):
        def configuration(self) -> Mapping[str, str]:
            machine = machine_of(Settings(), Detected((0,), 1000, "vm"))
            place = Place(Path("/var/stoker"), "alice(2001)", 7)
            return slurm_configuration(Settings(), machine, place)

    controller = Configured()
    told = dict(listing.parameters(controller, UTC))
    records = dict(listing.records_parameters(controller, UTC))
    for name, value in controller.configuration().items():
        assert told.get(name, records.get(name)) == value, name
    assert (records["AuthAltParameters"], records["TCPTimeout"]) == ("(null)", "2 secs")
    assert records["LogFile"] == "/var/stoker/log/stokerd.log"
