"""Errors in Slurm's words: its error names, their numbers and their texts.

The errors of `stoker.core.errors` carry the name of a Slurm error; commands print Slurm's text for
it and, where Slurm does, end with its number modulo 256.

Source: slurm_errno.h, slurm_strerror(3); the texts are what the commands print.
"""

from __future__ import annotations

from typing import NamedTuple

from stoker.core.errors import Infeasible, InvalidSpec, NotAllowed, StoreError, UnknownJob


class SlurmError(NamedTuple):
    """A number of Slurm's and what its commands print for it."""

    number: int
    text: str


_TEXTS = {
    "SLURM_SUCCESS": (0, "No error"),
    "SLURM_ERROR": (-1, "Unspecified error"),
    "ESLURM_INVALID_PARTITION_NAME": (2000, "Invalid partition name specified"),
    "ESLURM_DEFAULT_PARTITION_NOT_SET": (
        2001,
        "No partition specified or system default partition",
    ),
    "ESLURM_ACCESS_DENIED": (2002, "Access/permission denied"),
    "ESLURM_REQUESTED_NODES_NOT_IN_PARTITION": (2004, "Requested nodes not in this partition"),
    "ESLURM_TOO_MANY_REQUESTED_CPUS": (2005, "More processors requested than permitted"),
    "ESLURM_INVALID_NODE_COUNT": (2006, "Node count specification invalid"),
    "ESLURM_ERROR_ON_DESC_TO_RECORD_COPY": (2007, "Unable to create job record, try again"),
    "ESLURM_JOB_MISSING_SIZE_SPECIFICATION": (
        2008,
        "Job size specification needs to be provided",
    ),
    "ESLURM_JOB_SCRIPT_MISSING": (2009, "Job script not specified"),
    "ESLURM_USER_ID_MISSING": (2010, "Invalid user id"),
    "ESLURM_DUPLICATE_JOB_ID": (2011, "Duplicate job id"),
    "ESLURM_PATHNAME_TOO_LONG": (
        2012,
        "Pathname of a file, directory or other parameter too long",
    ),
    "ESLURM_NOT_TOP_PRIORITY": (2013, "Immediate execution impossible, insufficient priority"),
    "ESLURM_REQUESTED_NODE_CONFIG_UNAVAILABLE": (
        2014,
        "Requested node configuration is not available",
    ),
    "ESLURM_REQUESTED_PART_CONFIG_UNAVAILABLE": (
        2015,
        "Requested partition configuration not available now",
    ),
    "ESLURM_NODES_BUSY": (2016, "Requested nodes are busy"),
    "ESLURM_INVALID_JOB_ID": (2017, "Invalid job id specified"),
    "ESLURM_INVALID_NODE_NAME": (2018, "Invalid node name specified"),
    "ESLURM_WRITING_TO_FILE": (2019, "I/O error writing script/environment to file"),
    "ESLURM_TRANSITION_STATE_NO_UPDATE": (2020, "Job can not be altered now, try again later"),
    "ESLURM_ALREADY_DONE": (2021, "Job/step already completing or completed"),
    "ESLURM_BAD_DIST": (2023, "Task distribution specification invalid"),
    "ESLURM_JOB_PENDING": (2024, "Job is pending execution"),
    "ESLURM_BAD_TASK_COUNT": (2025, "Task count specification invalid"),
    "ESLURM_IN_STANDBY_MODE": (2027, "Slurm backup controller in standby mode"),
    "ESLURM_INVALID_NODE_STATE": (2028, "Invalid node state specified"),
    "ESLURM_INVALID_FEATURE": (2029, "Invalid feature specification"),
    "ESLURM_NOT_SUPPORTED": (2036, "Requested operation not supported on this system"),
    "ESLURM_DISABLED": (2037, "Requested operation is presently disabled"),
    "ESLURM_DEPENDENCY": (2038, "Job dependency problem"),
    "ESLURM_BATCH_ONLY": (2039, "Only batch jobs are accepted or processed"),
    "ESLURM_JOB_HELD": (2042, "Job is in held state, pending scheduler release"),
    "ESLURM_INVALID_TASK_MEMORY": (2044, "Memory required by task is not available"),
    "ESLURM_INVALID_ACCOUNT": (
        2045,
        "Invalid account or account/partition combination specified",
    ),
    "ESLURM_INVALID_LICENSES": (2048, "Invalid license specification"),
    "ESLURM_ACCOUNTING_POLICY": (
        2050,
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    ),
    "ESLURM_INVALID_TIME_LIMIT": (
        2051,
        "Requested time limit is invalid (missing or exceeds some limit)",
    ),
    "ESLURM_RESERVATION_ACCESS": (2052, "Access denied to requested reservation"),
    "ESLURM_RESERVATION_INVALID": (2053, "Requested reservation is invalid"),
    "ESLURM_INVALID_TIME_VALUE": (2054, "Invalid time specified"),
    "ESLURM_RESERVATION_BUSY": (2055, "Requested reservation is in use"),
    "ESLURM_RESERVATION_NOT_USABLE": (2056, "Requested reservation not usable now"),
    "ESLURM_INVALID_WCKEY": (2057, "Invalid wckey specification"),
    "ESLURM_RESERVATION_OVERLAP": (
        2058,
        "Requested reservation overlaps with another reservation",
    ),
    "ESLURM_INVALID_QOS": (2066, "Invalid qos specification"),
    "ESLURM_INVALID_CPU_COUNT": (2069, "CPU count specification invalid"),
    "ESLURM_PARTITION_NOT_AVAIL": (
        2070,
        "Required partition not available (inactive or drain)",
    ),
    "ESLURM_CIRCULAR_DEPENDENCY": (2071, "Circular job dependency"),
    "ESLURM_INVALID_GRES": (2072, "Invalid generic resource (gres) specification"),
    "ESLURM_JOB_NOT_PENDING": (2073, "Job is no longer pending execution"),
    "ESLURM_JOB_SUSPENDED": (2077, "Job is current suspended, requested operation disabled"),
    "ESLURM_CAN_NOT_START_IMMEDIATELY": (2078, "Job can not start immediately"),
    "ESLURM_RESERVATION_EMPTY": (2080, "Reservation request lacks users, groups or accounts"),
    "ESLURM_INVALID_ARRAY": (2081, "Invalid job array specification"),
    "ESLURM_RESERVATION_NAME_DUP": (2082, "Duplicate reservation name"),
    "ESLURM_JOB_STARTED": (2083, "Job has already started"),
    "ESLURM_JOB_FINISHED": (2084, "Job has already finished"),
    "ESLURM_JOB_NOT_RUNNING": (2085, "Job is not running"),
    "ESLURM_JOB_NOT_SUSPENDED": (2087, "Job is not suspended"),
    "ESLURM_JOB_NOT_FINISHED": (2088, "Job is not finished"),
    "ESLURM_TRIGGER_DUP": (2089, "Duplicate event trigger"),
    "ESLURM_PRIO_RESET_FAIL": (
        2095,
        "Changes to job priority are not persistent, change nice instead",
    ),
    "ESLURM_BATCH_CONSTRAINT": (
        2114,
        "Job --batch option is invalid or not a subset of --constraints",
    ),
    "ESLURM_INVALID_NICE": (2123, "Invalid --nice value"),
    "ESLURM_INVALID_TIME_MIN_LIMIT": (
        2124,
        "Invalid time-min specification (exceeds job's time or other limits)",
    ),
    "ESLURM_INVALID_PREFER": (2133, "Invalid preferred feature specification"),
    "ESLURMD_INVALID_ACCT_FREQ": (4003, "Invalid accounting frequency requested"),
    "ESLURMD_STEP_SUSPENDED": (4028, "Step is currently suspended"),
    "ESLURMD_STEP_NOTSUSPENDED": (4029, "Step is not currently suspended"),
}

# Names that Slurm has no number for; its commands print the text of a parameter that is too long.
for _name in ("ESLURM_JOB_SCRIPT_TOO_LARGE", "ESLURM_ENVIRONMENT_TOO_LARGE"):
    _TEXTS[_name] = _TEXTS["ESLURM_PATHNAME_TOO_LONG"]

SLURM_ERRORS = {name: SlurmError(*facts) for name, facts in _TEXTS.items()}


def strerror(code: str) -> str:
    """Return Slurm's text for the error of that name; an unknown name is an unspecified error."""
    return SLURM_ERRORS.get(code, SLURM_ERRORS["SLURM_ERROR"]).text


def strerror_of_number(number: int) -> str | None:
    """Return Slurm's text for an error number, or None if there is no such error."""
    return next((error.text for error in SLURM_ERRORS.values() if error.number == number), None)


def code_of(error: Exception) -> str:
    """Return the name of the Slurm error that an error of ours is."""
    match error:
        case InvalidSpec() | NotAllowed() | Infeasible():
            return error.code
        case UnknownJob():
            return "ESLURM_INVALID_JOB_ID"
        case StoreError():
            return "ESLURM_WRITING_TO_FILE"
    return "SLURM_ERROR"


def describe(error: Exception) -> str:
    """Return what Slurm's commands print for an error of ours."""
    return strerror(code_of(error))


def exit_status(code: str) -> int:
    """Return the number of the error of that name, for the commands that end with it."""
    return SLURM_ERRORS.get(code, SLURM_ERRORS["SLURM_ERROR"]).number & 0xFF


def refusal(program: str, what: str, error: Exception) -> str:
    """Return the lines that say that *what* failed, as in ``Batch job submission failed``.

    What the error says beyond Slurm's text stands on a line before it.
    """
    code, text, detail = code_of(error), describe(error), str(error)
    if code == "ESLURM_INVALID_GRES":
        return f"{program}: error: {text}\n"
    lines = f"{program}: error: {what}: {text}\n"
    if code == "ESLURM_PARTITION_NOT_AVAIL":
        return lines
    if detail.lower().startswith(text.lower()) or text.lower().startswith(detail.lower()):
        return lines
    return f"{program}: error: {detail}\n{lines}"
