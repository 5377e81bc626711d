"""Slurm's notations, read and printed exactly as Slurm does; a file for each noun.

All of it is pure: the clock and the time zone come in.
"""

from stoker.core.units.arrays import ArraySpec, TaskSet, parse_array
from stoker.core.units.cron import REBOOT, CronTimes, next_time, parse_cron
from stoker.core.units.dependency import (
    Condition,
    Dependency,
    format_dependency,
    parse_dependency,
    show_dependency,
)
from stoker.core.units.durations import (
    FOREVER,
    as_shown,
    elapsed_between,
    format_cpu_time,
    format_duration,
    format_elapsed,
    format_time_limit,
    parse_patience,
    parse_time_limit,
)
from stoker.core.units.errors import NotationError
from stoker.core.units.exitcodes import format_exit_code, parse_exit_code
from stoker.core.units.gres import parse_gres
from stoker.core.units.hosts import compress_hosts, expand_hosts
from stoker.core.units.jobrefs import JobRef, parse_job_ref
from stoker.core.units.licenses import parse_licenses
from stoker.core.units.memory import format_memory, format_size, parse_memory
from stoker.core.units.patterns import PatternFields, expand_pattern, shown_pattern
from stoker.core.units.signals import parse_signal, signal_name
from stoker.core.units.times import format_time, is_time_style, parse_begin
from stoker.core.units.tres import (
    NO_AMOUNT,
    TRES_NAMES,
    UnknownTres,
    format_tres,
    format_tres_numbers,
    parse_tres,
)
from stoker.core.units.zones import LOCAL_ZONE, zone_of

__all__ = [
    "FOREVER",
    "LOCAL_ZONE",
    "NO_AMOUNT",
    "REBOOT",
    "TRES_NAMES",
    "ArraySpec",
    "Condition",
    "CronTimes",
    "Dependency",
    "JobRef",
    "NotationError",
    "PatternFields",
    "TaskSet",
    "UnknownTres",
    "as_shown",
    "compress_hosts",
    "elapsed_between",
    "expand_hosts",
    "expand_pattern",
    "format_cpu_time",
    "format_dependency",
    "format_duration",
    "format_elapsed",
    "format_exit_code",
    "format_memory",
    "format_size",
    "format_time",
    "format_time_limit",
    "format_tres",
    "format_tres_numbers",
    "is_time_style",
    "next_time",
    "parse_array",
    "parse_begin",
    "parse_cron",
    "parse_dependency",
    "parse_exit_code",
    "parse_gres",
    "parse_job_ref",
    "parse_licenses",
    "parse_memory",
    "parse_patience",
    "parse_signal",
    "parse_time_limit",
    "parse_tres",
    "show_dependency",
    "shown_pattern",
    "signal_name",
    "zone_of",
]
