"""Engines for tests: one that only records, units to run, and a listener to wait on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from stoker.core.errors import EngineError
from stoker.core.models import BATCH, NOBODY
from stoker.engines.base import (
    Ended,
    EngineEvent,
    Evidence,
    Failed,
    Listener,
    Lost,
    Recipe,
    Started,
    Unit,
    Withdrawn,
    group_key,
)
from stoker.engines.local import LocalEngine

LIMIT_S = 20.0
ENVIRONMENT = b"PATH=/usr/local/bin:/usr/bin:/bin\0HOME=/\0ODD=\xff\xfe"
CONTENTS = {"plain": ENVIRONMENT}


def unit(key: str, *argv: str, **changes: Any) -> Unit:
    """Return a unit that runs *argv*; what is to be other than plain, *changes* say."""
    job_id, attempt, step = key.split(".", 2)
    group = group_key(int(job_id), int(attempt))
    # Who takes over jobs finds them by their tokens, those of tests beside this one, too.
    token = f"token-{os.getpid()}-{group}"
    plain = Unit(key, NOBODY, group, token, recipe(argv, leads=step == BATCH))
    of_recipe = {name: changes.pop(name) for name in Recipe.__struct_fields__ if name in changes}
    return replace(plain, **{"recipe": replace(plain.recipe, **of_recipe), **changes})


def recipe(argv: Sequence[str], *, leads: bool) -> Recipe:
    """Return how *argv* is run with nothing special."""
    return Recipe(
        leads=leads,
        argv=argv,
        executable=None,
        search_path=True,
        environment_key="plain",
        cwd="/",
        umask=0o022,
        open_mode="truncate",
        nice=0,
        rlimits={},
        time_limit_s=None,
        kill_wait_s=1.0,
        warnings=(),
        memory_mib=None,
        notices={},
    )


def script(key: str, text: str, **changes: Any) -> Unit:
    """Return a unit that runs *text* with the shell."""
    return unit(key, "/bin/sh", "-c", text, **changes)


class Events:
    """A listener that keeps what it is told; every wait has a limit and says what it saw."""

    def __init__(self) -> None:
        self.all: list[EngineEvent] = []
        self._changed = threading.Condition()

    def __call__(self, events: Sequence[EngineEvent]) -> None:
        with self._changed:
            self.all += events
            self._changed.notify_all()

    def of(self, key: str) -> list[EngineEvent]:
        """Return what was told of a unit."""
        return [event for event in self.all if event.key == key]

    def wait(
        self, condition: Callable[[], bool], what: str = "an event", limit_s: float = LIMIT_S
    ) -> None:
        """Wait until *condition* holds; it is asked after each batch."""
        with self._changed:
            if not self._changed.wait_for(condition, limit_s):
                raise AssertionError(f"waited {limit_s} s for {what}; saw {self.all[-20:]}")

    def _last(self, kind: type[Any], key: str, limit_s: float) -> Any:
        def found() -> list[EngineEvent]:
            return [event for event in self.of(key) if isinstance(event, kind)]

        self.wait(lambda: bool(found()), f"{kind.__name__} of {key}", limit_s)
        return found()[-1]

    def started(self, key: str, limit_s: float = LIMIT_S) -> Started:
        event: Started = self._last(Started, key, limit_s)
        return event

    def ended(self, key: str, limit_s: float = LIMIT_S) -> Ended:
        event: Ended = self._last(Ended, key, limit_s)
        return event

    def failed(self, key: str, limit_s: float = LIMIT_S) -> Failed:
        event: Failed = self._last(Failed, key, limit_s)
        return event

    def withdrawn(self, key: str, limit_s: float = LIMIT_S) -> Withdrawn:
        event: Withdrawn = self._last(Withdrawn, key, limit_s)
        return event

    def lost(self, key: str, limit_s: float = LIMIT_S) -> Lost:
        event: Lost = self._last(Lost, key, limit_s)
        return event


def until(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """Wait for what only looking can tell; return what it came to."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {limit_s} s for {what}"
        threading.Event().wait(0.005)
    return found


def lines(path: Path, count: int = 1) -> list[str]:
    """Wait until a file has that many whole lines, and return them."""

    def whole() -> list[str]:
        text = path.read_text() if path.exists() else ""
        found = text.split("\n")[:-1]
        return found if len(found) >= count else []

    found: list[str] = until(whole, f"{count} lines in {path}")
    return found


@contextmanager
def local_engine(home: Path, **options: Any) -> Iterator[tuple[LocalEngine, Events, Evidence]]:
    """Open an engine on *home*; on the way out end all that runs, and its shepherd."""
    engine = LocalEngine(home, CONTENTS.__getitem__, **options)
    events = Events()
    evidence = engine.open(events)
    try:
        yield engine, events, evidence
    finally:
        clear(engine)
        engine.close()


def clear(engine: LocalEngine) -> None:
    """End all that runs, and acknowledge all that has ended."""

    def is_clear() -> bool:
        try:
            evidence = engine.survey()
        except EngineError:  # A test has killed the shepherd; the next one is on its way.
            return False
        if ended := [event.key for event in evidence.events]:
            engine.acknowledge(ended)
        keys = [*evidence.running, *evidence.queued]
        for group in {".".join(key.split(".")[:2]) for key in keys}:
            engine.end(group, "cleared", 0.0)
        return not keys and not ended

    until(is_clear, "an empty shepherd")


class FakeEngine:
    """Runs nothing: keeps the calls, and tells what a test lets it tell.

    Attributes:
        calls: ``(method, arguments)`` in their order.
        units: What was launched, by key.
        evidence: What `open` and `survey` return.
        fails_with: Raised by the next call, if it is set.
    """

    def __init__(self, evidence: Evidence | None = None) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.units: dict[str, Unit] = {}
        self.evidence = evidence or Evidence("boot", frozenset(), {}, ())
        self.fails_with: Exception | None = None
        self.clock = 1000.0
        self._listener: Listener = lambda _: None
        self._pid = 100

    # What the daemon calls.

    def _note(self, method: str, *arguments: Any) -> None:
        self.calls.append((method, arguments))
        if self.fails_with is not None:
            error, self.fails_with = self.fails_with, None
            raise error

    def open(self, listener: Listener) -> Evidence:
        self._note("open")
        self._listener = listener
        return self.evidence

    def close(self) -> None:
        self._note("close")

    def launch(self, units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]) -> None:
        self._note("launch", tuple(each.key for each in units), dict(descriptors))
        self.units |= {each.key: each for each in units}

    def withdraw(self, keys: Sequence[str]) -> None:
        self._note("withdraw", tuple(keys))

    def end(self, group: str, why: str, kill_wait_s: float) -> None:
        self._note("end", group, why, kill_wait_s)

    def end_unit(self, key: str, why: str, kill_wait_s: float) -> None:
        self._note("end_unit", key, why, kill_wait_s)

    def signal(self, group: str, signal: int, scope: str) -> None:
        self._note("signal", group, signal, scope)

    def signal_unit(self, key: str, signal: int) -> None:
        self._note("signal_unit", key, signal)

    def suspend(self, group: str) -> None:
        self._note("suspend", group)

    def resume(self, group: str) -> None:
        self._note("resume", group)

    def limit(self, group: str, time_limit_s: float | None) -> None:
        self._note("limit", group, time_limit_s)

    def limit_unit(self, key: str, time_limit_s: float | None) -> None:
        self._note("limit_unit", key, time_limit_s)

    def acknowledge(self, keys: Sequence[str]) -> None:
        self._note("acknowledge", tuple(keys))

    def survey(self) -> Evidence:
        return self.evidence

    def status(self) -> Mapping[str, Any]:
        return {"pid": 1, "mode": "none"}

    # What a test does.

    def named(self, method: str) -> list[tuple[Any, ...]]:
        """Return the arguments of all calls of a method."""
        return [arguments for name, arguments in self.calls if name == method]

    def tell(self, *events: EngineEvent) -> None:
        """Have the listener told, as the engine's thread would."""
        self._listener(events)

    def start(self, key: str) -> Started:
        """Say that a unit runs."""
        self._pid += 1
        event = Started(key, self._pid, self._pid * 10, self.clock)
        self.tell(event)
        return event

    def finish(self, key: str, exit_code: int = 0, signal: int = 0, **facts: Any) -> Ended:
        """Say that a unit has ended."""
        event = Ended(
            key=key,
            exit_code=exit_code,
            signal=signal,
            **{"status_known": True, "at": self.clock, **facts},
        )
        self.tell(event)
        return event
