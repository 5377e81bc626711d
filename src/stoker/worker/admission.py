"""From what was asked to a job: defaults, limits, and whether this machine could ever run it.

Source: sbatch(1) and the recorded behaviour of Slurm with EnforcePartLimits=NO: what no single node
could give is refused at once, unless the job is held; what only exceeds the partition's limits is
accepted and waits with that reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from stoker.core.accounts import first_book
from stoker.core.enums import Hold, Reason
from stoker.core.errors import Infeasible, InvalidSpec
from stoker.core.machine import Machine
from stoker.core.models import FOREVER, Job, JobSpec, Node, Partition
from stoker.core.reservations import Reservation, runs_in
from stoker.core.settings import Settings
from stoker.core.units import NotationError, expand_hosts, parse_gres, parse_licenses
from stoker.scheduling.placement import could_ever_fit, could_host_task
from stoker.scheduling.snapshot import FreeNode, Shape
from stoker.worker.accountrules import NO_GRIP, AccountRules
from stoker.worker.rights import Rights

PRIORITY_START: Final = 4_294_901_760
"""Where priorities begin; each job gets one less than the one before, as Slurm's basic plugin."""


_Like = tuple[bytes, str, float | None, tuple[int, str], int | None]
"""What jobs of one shape have in common: what was asked for, under what it runs, and whose it is
where that makes a difference."""

_SHAPES_MAX: Final = 4096
"""How many shapes are remembered, so that equal requests are judged once."""

_CLOSED: Final = frozenset({"DRAIN", "INACTIVE"})
"""States of a partition that takes no jobs."""


class Admission:
    """The machine's rules for jobs that come in."""

    def __init__(
        self, machine: Machine, settings: Settings, rules: AccountRules | None = None
    ) -> None:
        """Judge by *machine*, *settings* and *rules*, by default those of an empty book."""
        self.machine = machine
        self.settings = settings
        self.rules = rules or AccountRules(settings, first_book)
        self.rights = Rights(settings, self.rules.book)
        self.partitions: dict[str, Partition] = {each.name: each for each in machine.partitions}
        self.reservations: dict[str, Reservation] = {}
        """By name: what is kept for some, now or later."""
        self.default_partition = next(each for each in machine.partitions if each.is_default)
        self._idle = {node.name: _idle(node) for node in machine.nodes}
        self._shapes: dict[_Like, Shape] = {}
        self._rooms: dict[Shape, _Room] = {}

    def change_partition(self, name: str, changes: Mapping[str, object]) -> None:
        """Change a partition until the next start, as `scontrol update` does.

        Raises:
            InvalidSpec: There is none of that name, or a value says nothing sensible.
        """
        if name not in self.partitions:
            raise InvalidSpec(
                f"invalid partition specified: {name}", "ESLURM_INVALID_PARTITION_NAME"
            )
        changed = msgspec.structs.replace(self.partitions[name], **changes)
        try:
            self.partitions[name] = msgspec.convert(msgspec.to_builtins(changed), Partition)
        except msgspec.ValidationError as error:
            raise InvalidSpec(f"cannot change the partition: {error}") from None
        self._shapes.clear()

    def forget_shapes(self) -> None:
        """Judge requests anew: what they run under has changed."""
        self._shapes.clear()

    def partition_of(self, spec: JobSpec) -> Partition:
        """Return the partition that the specification names, or the default one.

        Raises:
            InvalidSpec: There is none of that name.
        """
        return self._partitions_of(spec)[0]

    def _partitions_of(self, spec: JobSpec) -> list[Partition]:
        if not spec.partition:
            return [self.default_partition]
        if found := self._known(spec.partition):
            return found
        raise InvalidSpec(
            f"invalid partition specified: {spec.partition}", "ESLURM_INVALID_PARTITION_NAME"
        )

    def _known(self, names: str) -> list[Partition]:
        return [self.partitions[name] for name in names.split(",") if name in self.partitions]

    def check_partitions(self, spec: JobSpec) -> None:
        """Refuse partitions that there are not.

        Raises:
            InvalidSpec: The specification names one.
        """
        for name in filter(None, spec.partition.split(",")):
            if name not in self.partitions:
                raise InvalidSpec(
                    f"invalid partition specified: {name}", "ESLURM_INVALID_PARTITION_NAME"
                )

    def choose_partition(self, job: Job) -> None:
        """Put a waiting job that names several partitions into that where it would start first.

        It stays where it is if none of them is left. Source: slurmctld tries them by their tier,
        and starts the job in the first that takes it.
        """
        if not job.has_choice:
            return
        chosen = sorted(self._known(job.spec.partition), key=lambda each: -each.priority_tier)
        for partition in chosen:
            job.partition = partition.name
            if partition.state not in _CLOSED and self.obstacle(job) is None:
                return
        if chosen:
            job.partition = chosen[0].name

    def time_limit_s(self, spec: JobSpec, partition: Partition, user: str = "") -> float | None:
        """Return the job's limit, or None if there is none.

        Where it does not say any, it is the longest that the account book lets the user's job run;
        where no default says any either, the longest that all partitions let it run that it names.
        """
        for limit in (
            spec.time_limit_s,
            self._longest_s(spec, partition, user),
            partition.default_time_s,
            self.machine.default_time_s,
            min(each.max_time_s or FOREVER for each in self._partitions_of(spec)),
        ):
            if limit is not None:
                return None if limit == FOREVER else limit
        return None

    def _longest_s(self, spec: JobSpec, partition: Partition, user: str) -> float | None:
        wall_s = self.rules.wall_s(spec, user, partition.name)
        return None if wall_s is None else min(wall_s, partition.max_time_s or FOREVER)

    def shape(self, job: Job) -> Shape:
        """Return what placement needs to know of the job; equal requests share one object."""
        grip = self.rules.grip_of(job) if self.rules.has_limits else NO_GRIP
        owner = job.owner.user_id if self.settings.shared else None
        if not job.spec_digest:
            return self._shape_of(job.spec, job.partition, job.time_limit_s, grip, owner)
        like = (job.spec_digest, job.partition, job.time_limit_s, grip, owner)
        shape = self._shapes.get(like)
        if shape is None:
            if len(self._shapes) >= _SHAPES_MAX:
                self._shapes.clear()
            shape = self._shape_of(job.spec, job.partition, job.time_limit_s, grip, owner)
            self._shapes[like] = shape
        return shape

    def check(self, job: Job) -> None:
        """Refuse what no node could ever give; a held job is not checked for that, as in Slurm.

        Raises:
            InvalidSpec: Its partition takes no jobs, or it names nodes that are not there.
            Infeasible: No node has what it wants of each.
        """
        partition = self.partitions.get(job.partition, self.default_partition)
        if partition.state in _CLOSED:
            raise InvalidSpec(
                f"partition {partition.name} takes no jobs: its state is {partition.state}",
                "ESLURM_PARTITION_NOT_AVAIL",
            )
        shape = self.shape(job)
        self.rules.check(job, shape)
        self._check_names(job.spec, partition)
        self._check_licenses(job.spec)
        if job.hold is Hold.NONE and not self._room_for(shape).is_on_a_node:
            raise Infeasible("Requested node configuration is not available")

    def check_reservation(self, job: Job) -> None:
        """Refuse reservations that there are not, or in which the job may not run.

        Raises:
            InvalidSpec: It names one.
        """
        names = job.spec.reservation.split(",") if job.spec.reservation else ()
        for name in names:
            if name not in self.reservations:
                raise InvalidSpec(
                    f"Requested reservation is invalid: {name!r}", "ESLURM_RESERVATION_INVALID"
                )
            if not self.reservations[name].admits(job.owner, job.spec.account):
                raise InvalidSpec(
                    "Access denied to requested reservation: "
                    f"{name} is not for {job.owner.user_name}",
                    "ESLURM_RESERVATION_ACCESS",
                )

    def home_of(self, job: Job) -> Reservation | None:
        """Return the reservation in which a job runs, if it names any."""
        if not job.spec.reservation or job.allocation is None:
            return None
        nodes = [share.node for share in job.allocation.shares]
        began_at = job.start_at or job.allocation.reserved_at
        return runs_in(job.spec.reservation, nodes, began_at, self.reservations)

    def obstacle(self, job: Job) -> Reason | None:
        """Return why the job cannot start in its partition as things stand, whatever is free."""
        partition = self.partitions.get(job.partition)
        if self.rules.is_strict and (unaccounted := self.rules.obstacle(job)) is not None:
            return unaccounted
        if job.spec.reservation and not self._is_let_in(job):
            return Reason.RESERVATION
        if partition is None or partition.state == "INACTIVE":
            return Reason.PARTITION_INACTIVE
        if partition.state == "DOWN":
            return Reason.PARTITION_DOWN
        if _exceeds(job.time_limit_s, partition.max_time_s):
            return Reason.PARTITION_TIME_LIMIT
        shape = self.shape(job)
        # More nodes than the machine has is no question of the partition: recorded so.
        if shape.nodes_min <= len(self._idle) and shape.nodes_min > min(
            len(partition.nodes), partition.max_nodes or len(partition.nodes)
        ):
            return Reason.PARTITION_NODE_LIMIT
        return None if self._room_for(shape).is_there else Reason.PARTITION_CONFIG

    def _is_let_in(self, job: Job) -> bool:
        """Whether the reservations that it names are for it still: they may have changed."""
        found = map(self.reservations.get, job.spec.reservation.split(","))
        return all(each.admits(job.owner, job.spec.account) for each in found if each is not None)

    def _room_for(self, shape: Shape) -> _Room:
        room = self._rooms.get(shape)
        if room is None:
            if len(self._rooms) >= _SHAPES_MAX:
                self._rooms.clear()
            nodes = tuple(self._idle.values())
            room = self._rooms[shape] = _Room(
                is_there=could_ever_fit(shape, nodes),
                is_on_a_node=any(could_host_task(shape, node) for node in nodes),
            )
        return room

    def _check_names(self, spec: JobSpec, partition: Partition) -> None:
        required = expand_hosts(spec.node_list) if spec.node_list else []
        excluded = expand_hosts(spec.exclude) if spec.exclude else []
        for name in (*required, *excluded):
            if name not in self._idle:
                raise InvalidSpec(
                    f"invalid node name specified: {name}", "ESLURM_INVALID_NODE_NAME"
                )
        if not set(required).issubset(partition.nodes):
            raise InvalidSpec(
                f"requested nodes are not in partition {partition.name}",
                "ESLURM_REQUESTED_NODES_NOT_IN_PARTITION",
            )

    def _check_licenses(self, spec: JobSpec) -> None:
        """Refuse licences that there are not, or never so many of; of a held job, too."""
        total = self.machine.licenses
        try:
            wanted = parse_licenses(spec.licenses)
        except NotationError as error:
            raise InvalidSpec(str(error), "ESLURM_INVALID_LICENSES") from None
        for name, count in wanted:
            if count > total.get(name, 0):
                raise InvalidSpec(
                    f"cannot give {count} of the licence {name}: there are {total.get(name, 0)}",
                    "ESLURM_INVALID_LICENSES",
                )

    def _shape_of(
        self,
        spec: JobSpec,
        partition_name: str,
        time_limit_s: float | None,
        grip: tuple[int, str],
        owner: int | None,
    ) -> Shape:
        partition = self.partitions.get(partition_name, self.default_partition)
        per_node, per_cpu = self._memory(spec, partition)
        required = tuple(expand_hosts(spec.node_list)) if spec.node_list else ()
        nodes_min = max(spec.min_nodes or 1, len(required))
        nodes_max = spec.max_nodes or spec.min_nodes or partition.max_nodes or len(self._idle)
        return Shape(
            partition=partition_name,
            priority_tier=partition.priority_tier,
            nodes_min=nodes_min,
            nodes_max=max(nodes_min, nodes_max),
            tasks=spec.tasks,
            tasks_per_node=spec.ntasks_per_node,
            cpus_per_task=spec.cpus_per_task or 1,
            min_cpus_per_node=spec.min_cpus_per_node or 1,
            memory_per_node_mib=per_node,
            memory_per_cpu_mib=per_cpu,
            gres=_gres(spec),
            licenses=_licenses(spec),
            nodes=self._allowed(spec, partition),
            required=required,
            exclusive=spec.exclusive,
            time_limit_s=time_limit_s if time_limit_s is not None else FOREVER,
            association=grip[0],
            qos=grip[1],
            owner=owner,
            reservation=spec.reservation,
        )

    def _memory(self, spec: JobSpec, partition: Partition) -> tuple[int | None, int | None]:
        """Return (per node, per CPU): what was asked for, else the partition's, else ours."""
        if spec.mem_per_node_mib is not None or spec.mem_per_cpu_mib is not None:
            return spec.mem_per_node_mib, spec.mem_per_cpu_mib
        if partition.default_mem_per_node_mib is not None:
            return partition.default_mem_per_node_mib, None
        return None, partition.default_mem_per_cpu_mib or self.machine.default_mem_per_cpu_mib

    def _allowed(self, spec: JobSpec, partition: Partition) -> tuple[str, ...] | None:
        """Return the nodes that the job may use, None if it is all of them."""
        excluded = set(expand_hosts(spec.exclude)) if spec.exclude else set()
        allowed = tuple(name for name in partition.nodes if name not in excluded)
        return None if len(allowed) == len(self._idle) else allowed


class _Room(NamedTuple):
    """What the machine has for jobs of a shape, if nothing else ran."""

    is_there: bool
    """Whether they fit."""
    is_on_a_node: bool
    """Whether one node could give a task its part; totals over nodes do not count here."""


def _idle(node: Node) -> FreeNode:
    return FreeNode(
        name=node.name,
        cpus=tuple(range(node.cpus)),
        total_cpus=node.cpus,
        memory_mib=node.memory_mib,
        total_memory_mib=node.memory_mib,
        gres={name: tuple(range(count)) for name, count in node.gres.items()},
        accepts=True,
    )


def _licenses(spec: JobSpec) -> tuple[tuple[str, int], ...]:
    """Return what licences are wanted; none of what cannot be read, which is refused elsewhere."""
    try:
        return tuple(parse_licenses(spec.licenses))
    except NotationError:
        return ()


def _gres(spec: JobSpec) -> tuple[tuple[str, int], ...]:
    return tuple(parse_gres(spec.gres)) if spec.gres else ()


def _exceeds(limit_s: float | None, max_s: float | None) -> bool:
    return max_s is not None and (limit_s is None or limit_s > max_s)
