"""Every option, described once: name, type, check, default, documentation.

Defaults are overruled by the file, the file by the environment (``STOKER_<NAME>``), the
environment by flags. The file is TOML: ``$STOKER_CONFIG``, else ``stoker.toml`` in the home
directory. A setting that is unknown or does not fit its type is refused by name: a typo must not
pass for a default. What the settings make of the host is `core.machine`'s.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo

from stoker.core.errors import UserError
from stoker.core.prioritysettings import PrioritySettings


class SettingsError(UserError):
    """A setting that is unknown, of the wrong type or out of its range."""


class PartitionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[partitions]]`` table of the file; times and memory in Slurm's notation."""

    name: Annotated[str, Meta(min_length=1, description="The partition's name.")]
    nodes: Annotated[str, Meta(description="A host list; empty or ALL: all nodes.")] = ""
    default: Annotated[
        bool, Meta(description="Whether jobs that name none go here; none: the first partition.")
    ] = False
    state: Annotated[
        Literal["UP", "DOWN", "DRAIN", "INACTIVE"],
        Meta(
            description="UP; DOWN: takes jobs, starts none; DRAIN: takes none; INACTIVE: neither."
        ),
    ] = "UP"
    priority_tier: Annotated[
        int, Meta(description="Jobs of a higher tier go before all jobs of lower ones.")
    ] = 1
    priority_job_factor: Annotated[
        int,
        Meta(
            ge=0,
            le=65533,
            description="What the partition counts in multifactor priorities, against the largest.",
        ),
    ] = 1
    max_time: Annotated[str, Meta(description="The longest time limit.")] = "UNLIMITED"
    default_time: Annotated[
        str, Meta(description="Time limit of a job that asks for none; empty: the machine's.")
    ] = ""
    max_nodes: Annotated[
        int | None, Meta(description="The most nodes of one job; not set: no limit.")
    ] = None
    default_mem_per_cpu: Annotated[
        str,
        Meta(description="Memory for each CPU of a job that asks for none; empty: the machine's."),
    ] = ""
    max_mem_per_node: Annotated[
        str, Meta(description="The most memory of one job on a node; empty: no limit.")
    ] = ""


class Settings(PrioritySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. Zero or empty means "find out" where the description says so."""

    cluster_name: Annotated[
        str, Meta(description="The cluster's name, as sacct and scontrol show it.")
    ] = "stoker"
    total_cpus: Annotated[
        int, Meta(ge=0, description="CPUs to give out; 0: those this process may use.")
    ] = 0
    total_memory: Annotated[
        str, Meta(description="Memory to give out, in Slurm's notation; empty: all there is.")
    ] = ""
    tmp_disk: Annotated[
        str,
        Meta(
            description="Temporary space that a node can offer (`--tmp`), in Slurm's notation; "
            "empty: what the file system of /tmp has in all."
        ),
    ] = ""
    nodes: Annotated[
        str,
        Meta(
            description="A host list: the machine is shown as these equal nodes, which share the "
            "totals; empty: one node with this host's name."
        ),
    ] = ""
    licenses: Annotated[
        str, Meta(description="Licences that jobs may hold, as in matlab:4,ansys:2.")
    ] = ""
    gres: Annotated[str, Meta(description="Generic resources of each node, as in Gres=gpu:2.")] = ""
    database_url: Annotated[
        str,
        Meta(
            description="Where the records are, as in postgresql://user@host/name; empty: SQLite "
            "in the home directory."
        ),
    ] = ""
    default_mem_per_cpu: Annotated[
        str,
        Meta(
            description="Memory for each CPU of a job that asks for none; empty: an equal share "
            "of the machine."
        ),
    ] = ""
    default_time: Annotated[
        str, Meta(description="Time limit of a job that asks for none; empty: no limit.")
    ] = ""
    max_array_size: Annotated[
        int, Meta(ge=1, le=4_000_001, description="One more than the largest array index.")
    ] = 1_000_001
    max_job_count: Annotated[
        int, Meta(ge=1, description="Records in the queue above which submissions are refused.")
    ] = 1_000_000
    max_script_size: Annotated[
        int, Meta(ge=1, description="Bytes that a batch script may have.")
    ] = 4 << 20
    kill_wait_s: Annotated[
        float, Meta(ge=0, description="Seconds between SIGTERM and SIGKILL when a job is ended.")
    ] = 30.0
    min_job_age_s: Annotated[
        float, Meta(ge=0, description="Seconds for which squeue and scontrol know an ended job.")
    ] = 300.0
    job_requeue: Annotated[
        bool, Meta(description="Whether batch jobs may be requeued unless they say otherwise.")
    ] = True
    kill_invalid_depend: Annotated[
        bool, Meta(description="Whether a job whose dependency can never be met is cancelled.")
    ] = False
    over_memory_kill: Annotated[
        bool,
        Meta(
            description="Whether a job that holds more memory than it was given is ended where no "
            "control group keeps its limit, as JobAcctGatherParams=OverMemoryKill."
        ),
    ] = False
    job_acct_gather_frequency_s: Annotated[
        float,
        Meta(
            gt=0,
            description="Seconds, at most, between two looks at what such jobs hold, while any "
            "run; Slurm's JobAcctGatherFrequency.",
        ),
    ] = 30.0
    max_runtime_hours: Annotated[
        float,
        Meta(ge=0, description="Hours after which recovery ends any running job; 0: never."),
    ] = 0.0
    requeue_delay_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds for which a requeued job waits, with the reason BeginTime; Slurm "
            "lets it wait for 121.",
        ),
    ] = 0.0
    requeue_max: Annotated[
        int, Meta(ge=0, description="Automatic requeues after node failure, then the job is held.")
    ] = 5
    backup_interval_hours: Annotated[
        float, Meta(ge=0, description="Hours between automatic backups of the records; 0: none.")
    ] = 24.0
    backup_keep: Annotated[int, Meta(ge=0, description="How many automatic backups are kept.")] = 7
    history_days: Annotated[
        float, Meta(ge=0, description="Days for which ended jobs stay on record; 0: for ever.")
    ] = 0.0
    history_archive: Annotated[
        bool,
        Meta(description="Whether jobs are written to a file before they leave the records."),
    ] = True
    batch_sched_delay_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds for which a new batch job is not considered yet, so that many "
            "are started together; Slurm's batch_sched_delay is 3.",
        ),
    ] = 0.0
    check_interval_s: Annotated[
        float, Meta(gt=0, description="Seconds between turns when nothing happens: a safety net.")
    ] = 60.0
    follow_depth_max: Annotated[
        int,
        Meta(
            ge=0,
            description="Short jobs handed to the shepherd in advance for each set of cores.",
        ),
    ] = 128
    affinity: Annotated[
        bool,
        Meta(description="Whether jobs are bound to cores; never if more are stated than exist."),
    ] = True
    administrators: Annotated[
        str,
        Meta(
            description="Users who may change what belongs to all and everybody's jobs, besides "
            "root: nodes, partitions, the account book, ranks; empty: whoever runs stokerd."
        ),
    ] = ""
    shared: Annotated[
        bool,
        Meta(
            description="Whether one Stoker serves every user of the machine, each job run by a "
            "shepherd of its user's own; stokerd must be started by root."
        ),
    ] = False
    accounting_storage_enforce: Annotated[
        str,
        Meta(
            pattern="^(none|associations|limits|qos|safe|all)(,(associations|limits|qos|safe))*$",
            description="What of the account book jobs must keep to: none, associations, limits, "
            "qos, safe, or several of them; limits and qos bring associations with them.",
        ),
    ] = "none"
    mail_prog: Annotated[
        str,
        Meta(
            description="The program that sends what --mail-type asks for, such as /usr/bin/mail. "
            "It is called with -s SUBJECT ADDRESS and an empty input; empty: no mail is sent."
        ),
    ] = ""
    notify_prog: Annotated[
        str,
        Meta(
            description="A program that hears of all jobs, whoever asks for mail: it gets each "
            "event as a JSON object on its standard input; empty: none."
        ),
    ] = ""
    notify_types: Annotated[
        str,
        Meta(description="Of which events notify_prog hears: BEGIN, END, FAIL, REQUEUE."),
    ] = "FAIL"
    log_level: Annotated[str, Meta(description="DEBUG, INFO, WARNING or ERROR.")] = "INFO"
    partitions: Annotated[
        tuple[PartitionSettings, ...], Meta(description="Partitions; none: one named debug.")
    ] = ()


RESERVED_NAMES = frozenset(
    {"HOME", "CONFIG", "AUTOSTART", "TOKEN", "TEST_MODE", "FAILPOINTS", "REFERENCE", "DEMO"}
    | {"EVENT_ID"}
)
"""``STOKER_`` variables that are not settings."""


def load_settings(
    home: Path,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings for *home*: defaults < file < environment < flags.

    Raises:
        SettingsError: Names the setting, where it stands and what would be right.
    """
    path = Path(environment.get("STOKER_CONFIG") or home / "stoker.toml")
    values = _from_file(path, required=bool(environment.get("STOKER_CONFIG")))
    values |= _from_environment(environment)
    values |= flags or {}
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"cannot use the settings: {error}; see `stoker settings` for names and types"
        ) from None


def setting_fields() -> list[FieldInfo]:
    """Return the declarations of all settings: those on priorities, which are many, last."""
    fields = msgspec.structs.fields(Settings)
    return sorted(fields, key=lambda field: field.name in PrioritySettings.__struct_fields__)


def describe_settings() -> list[tuple[str, str, str]]:
    """Return (name, default, description) of every setting, in order."""
    return [
        (field.name, _default_text(field.default), _description(field.type))
        for field in setting_fields()
    ]


def _default_text(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default or "")


def _description(annotation: Any) -> str:
    return next(str(meta.description) for meta in annotation.__metadata__ if meta.description)


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not required:
            return {}
        raise SettingsError(
            f"cannot read {path}: STOKER_CONFIG names it, but it is not there"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    kinds = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    found: dict[str, Any] = {}
    for variable in sorted(environment):
        name = variable.removeprefix("STOKER_").lower()
        if not variable.startswith("STOKER_") or not environment[variable]:
            continue
        if name in kinds:
            found[name] = _parsed(variable, kinds[name], environment[variable])
        elif variable.removeprefix("STOKER_") not in RESERVED_NAMES:
            _check_is_no_typo(variable, list(kinds))
    return found


def _check_is_no_typo(variable: str, names: Sequence[str]) -> None:
    """Refuse a variable that looks like a setting; one that does not is somebody else's."""
    near = get_close_matches(variable, [f"STOKER_{name.upper()}" for name in names], 1, cutoff=0.9)
    if near:
        raise SettingsError(
            f"cannot use {variable}: there is no such setting; did you mean {near[0]}?"
        )


def _parsed(variable: str, kind: Any, value: str) -> Any:
    if variable == "STOKER_PARTITIONS":
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise SettingsError(
                f"cannot read {variable}: {error}; write a JSON list of tables"
            ) from None
    if kind.__origin__ is bool and value.lower() in ("yes", "no"):
        return value.lower() == "yes"
    return value
