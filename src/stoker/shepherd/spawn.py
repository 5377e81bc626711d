"""From a unit to its process.

Directory, umask, affinity and limits are set on the shepherd itself, inherited, and put back: one
thread at a time acts, and sets what all have in common only when no process of another's is on its
way. Output files are opened here first, which gives clear errors and leaves nothing between a job
and its files. What cannot be put back (hard limits and niceness, which nobody may raise again),
would hinder the shepherd, or only the child knows (its pid, for its environment) is set by the
child itself: then it is forked, which costs more.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from errno import EAGAIN, EINVAL, EMFILE, ENFILE, ENOENT, ENOMEM

from stoker.shepherd.failpoints import hit
from stoker.shepherd.forking import fork_exec
from stoker.shepherd.native import Environment, Spawning, arguments
from stoker.shepherd.processes import TOKEN
from stoker.shepherd.programs import Programs, is_program
from stoker.shepherd.rlimits import Rlimits
from stoker.shepherd.units import NONSENSE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from stoker.shepherd.hands import Hand
    from stoker.shepherd.native import Array
    from stoker.shepherd.rlimits import Limit
    from stoker.shepherd.units import Recipe, Unit

SHORTAGE = frozenset({EAGAIN, ENOMEM, EMFILE, ENFILE})
"""The machine's trouble, not the unit's: it may well start later."""

REFUGE = "/tmp"  # noqa: S108 - where Slurm runs a job whose directory is missing
_OUTPUT = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
_INPUT = os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
_UMASK = 0o077


class SpawnError(Exception):
    """The unit could not be started: where, why and with what."""

    def __init__(self, step: str, errno: int, path: str = "") -> None:
        super().__init__(os.strerror(errno))
        self.step = "fork" if errno in SHORTAGE and step != "journal" else step
        self.errno = errno
        self.path = path


class Preparation:
    """What units of one recipe have in common at their spawn, made ready once.

    Attributes:
        soft: Limits to set on ourselves for a moment, so that the child inherits them.
        own: Limits that the child must set on itself.
    """

    __slots__ = ("argv", "environment", "own", "program", "soft")

    def __init__(self, recipe: Recipe, limits: tuple[dict[int, Limit], dict[int, Limit]]) -> None:
        """Make ready what *recipe* says, with *limits* planned.

        Raises:
            SpawnError: Nobody has sent its environment.
        """
        order = recipe.order
        if recipe.content is None and order["environment_key"]:
            raise SpawnError("environment", ENOENT, order["environment_key"])
        variables = {**(recipe.content or {}), **order["common"]}
        present = {name: value for name, value in variables.items() if value is not None}
        self.environment = Environment(present)
        self.argv = arguments(order["argv"])
        self.program: str = order["executable"] or order["argv"][0]
        self.soft, self.own = limits


class Spawner:
    """Makes processes; keeps what it has set on itself to a minimum of system calls.

    Attributes:
        environments: Contents by key, as stokerd sent them.
        rlimits: What limits all of us have.
    """

    def __init__(self) -> None:
        """Take the shepherd as it is now for what is put back."""
        self.environments: dict[str, dict[str, str]] = {}
        self.rlimits = Rlimits(self.await_others)
        self._spawning = Spawning()
        self._on_their_way: list[Hand] = []
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._cpus = os.sched_getaffinity(0)
        self._programs = Programs()
        self._cwd = "/"
        self._umask = _UMASK
        os.chdir("/")
        os.umask(_UMASK)

    def close(self) -> None:
        """Let go of what is kept open."""
        os.close(self._null)

    def rest(self) -> None:
        """Put back directory and umask: a shepherd that rests is in nobody's way."""
        if self._cwd != "/":
            os.chdir("/")
            self._cwd = "/"
        self._set_umask(_UMASK)

    def await_others(self) -> None:
        """Wait until no process of another hand is between us and its exec.

        Who acts next is up to us: none begins meanwhile.
        """
        for hand in self._on_their_way:
            with hand.is_on_its_way:
                pass

    def spawn(self, unit: Unit, hand: Hand, *, tells_pid: bool) -> int:
        """Start the unit's process and return its pid.

        Args:
            unit: Has not been spawned.
            hand: The thread that this is; if it has the word, others may act meanwhile.
            tells_pid: Whether the process finds its pid in its environment, if it asked for that.

        Raises:
            SpawnError: Nobody runs.
        """
        order, recipe = unit.order, unit.recipe
        assert order is not None, f"{unit.key} was spawned before"
        opened: list[int] = []
        try:
            self._make_ready(recipe)
            notice = self._enter(recipe.order["cwd"])
            self._set_umask(int(recipe.order["umask"]))
            streams = self._open_streams(unit, order, opened)
            if notice:
                with suppress(OSError):
                    os.write(streams[2], os.fsencode(notice))
            return self._execute(unit, order, hand, streams, tells_pid=tells_pid)
        except NONSENSE as error:
            raise SpawnError("exec", EINVAL, str(error)) from None
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def prepare(self, unit: Unit) -> None:
        """Put together ahead of its turn what a unit finds in its environment.

        Many that come together are done in a fraction of the time that each would take between two
        others' processes. What is wrong with one is said when it is spawned.

        Runners may go on meanwhile: none of them has a unit whose recipe was not made ready here.
        """
        with suppress(SpawnError, *NONSENSE):
            ready = self._make_ready(unit.recipe)
            unit.environment = ready.environment.array(_variables_of(unit))

    def _make_ready(self, recipe: Recipe) -> Preparation:
        if recipe.preparation is None:
            limits = self.rlimits.plan(recipe.order["rlimits"])
            recipe.preparation = Preparation(recipe, limits)
        ready: Preparation = recipe.preparation
        return ready

    # --- What the child inherits.

    def _enter(self, directory: str) -> str:
        """Go to the unit's directory; return what to write into its output if that fails."""
        if directory == self._cwd:
            return ""
        self.await_others()
        try:
            os.chdir(directory)
        except OSError as error:
            os.chdir(REFUGE)
            self._cwd = REFUGE
            # Said twice, as Slurm says it: it goes there once for the job and once for the task.
            return 2 * (
                f"slurmstepd: error: couldn't chdir to `{directory}': {error.strerror}: "
                f"going to {REFUGE} instead\n"
            )
        self._cwd = directory
        return ""

    def _set_umask(self, umask: int) -> None:
        if umask != self._umask:
            self.await_others()
            os.umask(umask)
            self._umask = umask

    def _open_streams(
        self, unit: Unit, order: dict[str, Any], opened: list[int]
    ) -> tuple[int, int, int]:
        """Return what becomes descriptors 0, 1 and 2; *opened* are those to close afterwards."""
        is_append = unit.recipe.order["open_mode"] == "append"
        flags = _OUTPUT if is_append else _OUTPUT | os.O_TRUNC
        stdin = self._open_stream(unit, "stdin", order.get("stdin", os.devnull), _INPUT, opened)
        stdout = self._open_stream(unit, "stdout", order.get("stdout", os.devnull), flags, opened)
        if order.get("stderr") is None:
            return stdin, stdout, stdout
        return stdin, stdout, self._open_stream(unit, "stderr", order["stderr"], flags, opened)

    def _open_stream(
        self, unit: Unit, name: str, source: Any, flags: int, opened: list[int]
    ) -> int:
        if source == os.devnull:
            return self._null
        if isinstance(source, dict):
            descriptor = unit.descriptors[int(source["fd"])]
            if descriptor < 0:
                raise SpawnError(name, EMFILE)
            return descriptor
        try:
            descriptor = os.open(source, flags, 0o666)
        except OSError as error:
            raise SpawnError(name, error.errno or EINVAL, source) from None
        opened.append(descriptor)
        # Only the opening must not wait for the other end of a pipe with a name.
        os.set_blocking(descriptor, True)
        return descriptor

    # --- The process.

    def _execute(
        self,
        unit: Unit,
        order: dict[str, Any],
        hand: Hand,
        streams: tuple[int, ...],
        *,
        tells_pid: bool,
    ) -> int:
        recipe, ready = unit.recipe.order, unit.recipe.preparation
        program: str = ready.program
        cpus, nice = order.get("cpus"), int(recipe["nice"])
        own_pid = recipe["pid_variable"] if tells_pid else None
        try:
            program = self._locate(recipe, ready, order.get("environment", {}))
            self._bind(hand, cpus)
            hit("spawn")
            if ready.own or nice or own_pid:
                return self._fork(program, unit, ready, streams, nice, own_pid)
            array = unit.environment
            if array is None:
                array = ready.environment.array(_variables_of(unit))
            # On its way it still counts as waiting: who settles its group would take it back.
            if (
                hand.is_first
                or len(unit.group.units) > 1
                or not self.rlimits.leave_room(ready.soft, self._null)
            ):
                with self._limited(ready.soft):
                    return self._spawning.spawn(program, ready.argv, array, streams)
            return self._spawn_beside_others(hand, program, ready, array, streams)
        except OSError as error:
            raise SpawnError("exec", error.errno or EINVAL, program) from None
        finally:
            if hand.is_first:
                self._bind(hand, None)

    def _fork(
        self,
        program: str,
        unit: Unit,
        ready: Preparation,
        streams: tuple[int, ...],
        nice: int,
        own_pid: str | None,
    ) -> int:
        """Make a process that has something to do to itself."""
        environment = ready.environment.mapping(_variables_of(unit))
        argv = unit.recipe.order["argv"]
        self.await_others()
        self.rlimits.have({})
        # It can set them all by itself, and we need descriptors of our own to make it.
        limits = ready.soft | ready.own
        return fork_exec(program, argv, environment, streams, limits, nice, own_pid)

    @contextmanager
    def _limited(self, limits: Mapping[int, Limit]) -> Iterator[None]:
        """Set limits on ourselves for a moment in which nobody else acts."""
        self.await_others()
        with self.rlimits.are_lowered:
            try:
                self.rlimits.have(limits)
                yield
            finally:
                self.rlimits.have({})

    def _spawn_beside_others(
        self,
        hand: Hand,
        program: str,
        ready: Preparation,
        environment: Array,
        streams: tuple[int, ...],
    ) -> int:
        """Make a process and let others act until it has executed."""
        assert hand.word is not None, "the first hand has no word to let go of"
        self.rlimits.have(ready.soft)
        hand.is_on_its_way.acquire()
        self._on_their_way.append(hand)
        hand.word.release()
        try:
            return self._spawning.spawn(program, ready.argv, environment, streams)
        finally:
            hand.is_on_its_way.release()
            hand.word.acquire()
            self._on_their_way.remove(hand)
            if not self._on_their_way:
                self.rlimits.have({})

    def _locate(
        self, recipe: dict[str, Any], ready: Preparation, own: dict[str, str | None]
    ) -> str:
        """Return the path of the unit's program."""
        program = ready.program
        if "/" in program or not recipe["search_path"]:
            return program
        if recipe["search_cwd"] and is_program(program):
            return program
        path = own["PATH"] if "PATH" in own else ready.environment.variables.get("PATH")
        return program if path is None else self._programs.find(program, path)

    def _bind(self, hand: Hand, cpus: Sequence[int] | None) -> None:
        """Bind to the cores that are there; a core that went offline is no reason not to run."""
        if cpus == hand.cpus:
            return
        try:
            os.sched_setaffinity(0, self._cpus if cpus is None else cpus)
        except OSError:
            # Nor is it one that none of ours is left: the kernel has bound us to some.
            with suppress(OSError):
                os.sched_setaffinity(0, self._cpus)
        hand.cpus = cpus


def _variables_of(unit: Unit) -> dict[str, str | None]:
    """Return the variables that are a unit's own."""
    assert unit.order is not None, f"{unit.key} was spawned before"
    return {**unit.order.get("environment", {}), TOKEN: unit.token}


def environment_of(text: str) -> dict[str, str]:
    """Read NUL-joined ``K=V``; of doubles the first counts, as with getenv(3)."""
    found: dict[str, str] = {}
    for entry in text.split("\0"):
        name, is_variable, value = entry.partition("=")
        if name and is_variable:
            found.setdefault(name, value)
    return found
