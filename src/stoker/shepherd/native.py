"""posix_spawn(3), with all that many processes have in common put together once.

`os.posix_spawn` makes C's arrays anew from all of the arguments and a hundred variables each time,
which costs a third of what the kernel does. Here an environment is an array that stays; a process
gets a copy with its own few entries put in.

Always holds: whatever an array points to lives as long as the array is used.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    Array: TypeAlias = ctypes.Array[ctypes.c_char_p]

_libc = ctypes.CDLL(None)
_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80
"""Flags of posix_spawnattr_setflags(3), the same in all C libraries of Linux."""
_OBJECT_SIZE = 1024
"""Bytes for an opaque object of the C library's; the largest takes 336."""
_ROOM = 16
_ACTIONS_MAX = 64


class Environment:
    """Variables that many processes have in common.

    Attributes:
        variables: What they are.
    """

    def __init__(self, variables: dict[str, str]) -> None:
        """Put the array together.

        Raises:
            ValueError, TypeError: A name or a value cannot stand in an environment.
        """
        self.variables = variables
        self._places = {name: place for place, name in enumerate(variables)}
        self._kind = ctypes.c_char_p * (len(variables) + _ROOM + 1)
        self._array: Array = self._kind(*_entries(variables))

    def array(self, own: Mapping[str, str | None]) -> Array:
        """Return the array for one process, with its *own* variables; a None takes one away."""
        if len(own) > _ROOM or None in own.values():
            return words(_entries(self.mapping(own)))
        array = self._kind.from_buffer_copy(self._array)
        end = len(self._places)
        for name, entry in zip(own, _entries(own), strict=True):
            place = self._places.get(name, end)
            array[place] = entry
            end += place == end
        return array

    def mapping(self, own: Mapping[str, str | None]) -> dict[str, str]:
        """Return the same as a mapping."""
        merged = {**self.variables, **own}
        return {name: value for name, value in merged.items() if value is not None}


def _entries(variables: Mapping[str, str | None]) -> list[bytes]:
    """Return variables as they stand in an environment; many are looked at in one go."""
    if not variables:
        return []
    text = "\0".join([f"{name}={value}" for name, value in variables.items()])
    entries = text.encode("utf-8", "surrogateescape").split(b"\0")
    if "=" in "".join(variables) or len(entries) != len(variables):
        raise ValueError("there is a variable whose name has a '=', or one with a NUL")
    return entries


def _bytes(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise ValueError("there is a NUL in it")
    return encoded


def words(texts: Sequence[bytes]) -> Array:
    """Return an array of C's strings, with NULL at its end."""
    return (ctypes.c_char_p * (len(texts) + 1))(*texts)


def arguments(argv: Sequence[str]) -> Array:
    """Return what main() of a program gets.

    Raises:
        ValueError, AttributeError: A word cannot be an argument.
    """
    return words([_bytes(word) for word in argv])


class Spawning:
    """Starts processes in sessions of their own, with no signal blocked and none ignored.

    Several threads may be in here; each stands still until its process has executed.
    """

    def __init__(self) -> None:
        """Prepare the attributes, which are the same for all."""
        self._attributes = ctypes.create_string_buffer(_OBJECT_SIZE)
        _libc.posix_spawnattr_init(self._attributes)
        flags = ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID)
        _libc.posix_spawnattr_setflags(self._attributes, flags)
        signals = ctypes.create_string_buffer(_OBJECT_SIZE)
        _libc.posix_spawnattr_setsigmask(self._attributes, signals)
        _libc.sigfillset(signals)
        _libc.posix_spawnattr_setsigdefault(self._attributes, signals)
        self._actions: dict[tuple[int, ...], _Actions] = {}

    def spawn(self, program: str, argv: Array, environment: Array, streams: tuple[int, ...]) -> int:
        """Run *program* and return its pid.

        Args:
            program: A path.
            argv: Its arguments.
            environment: All of it.
            streams: What becomes descriptors 0, 1 and 2.

        Raises:
            OSError: Nobody runs.
            ValueError: The path cannot be one.
        """
        pid = ctypes.c_int()
        actions = self._actions_for(streams)
        trouble = _libc.posix_spawn(
            ctypes.byref(pid),
            _bytes(program),
            actions.content,
            self._attributes,
            argv,
            environment,
        )
        if trouble:
            raise OSError(trouble, os.strerror(trouble), program)
        return pid.value

    def _actions_for(self, streams: tuple[int, ...]) -> _Actions:
        """Return the list of what the child does with descriptors: these numbers come again."""
        actions = self._actions.get(streams)
        if actions is None:
            if len(self._actions) >= _ACTIONS_MAX:
                self._actions.clear()
            actions = self._actions[streams] = _Actions(streams)
        return actions


class _Actions:
    """What a child does with descriptors, as the C library keeps it; lives while it is used."""

    __slots__ = ("content",)

    def __init__(self, streams: tuple[int, ...]) -> None:
        self.content = ctypes.create_string_buffer(_OBJECT_SIZE)
        _libc.posix_spawn_file_actions_init(self.content)
        for target, source in enumerate(streams):
            _libc.posix_spawn_file_actions_adddup2(self.content, source, target)

    def __del__(self, destroy: Callable[..., int] = _libc.posix_spawn_file_actions_destroy) -> None:
        destroy(self.content)
