"""Attributes that are read under their owner's lock.

To lock a read and a write apart loses updates (``used += n`` reads, another thread writes, and the
sum overwrites it), so a write is only let through where the thread holds the lock already:

    class Counter:
        value = ThreadSafeProperty[int]("_value")

        def add(self, n: int) -> None:
            with self._lock:
                self.value += n

The lock must be re-entrant (``threading.RLock``): reading inside the ``with`` takes it again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, NoReturn, Self, TypeVar, overload

T = TypeVar("T")

_ReentrantLock = type(threading.RLock())


class _Locked(Generic[T]):
    """An attribute that is read under its owner's lock; on the class it is itself."""

    def __init__(self, read: Callable[[Any], T], name: str, lock_name: str) -> None:
        self._read = read
        self._name = name
        self._lock_name = lock_name

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: None, _: type) -> Self: ...
    @overload
    def __get__(self, owner: object, _: type) -> T: ...
    def __get__(self, owner: object | None, _: type) -> T | Self:
        if owner is None:
            return self
        with _lock_of(owner, self._lock_name):
            return self._read(owner)


class ThreadSafeProperty(_Locked[T]):
    """An attribute that may be read at any time and written only by who holds the lock."""

    def __init__(self, attr_name: str, lock_name: str = "_lock") -> None:
        """The value stands in the owner's *attr_name*, its lock in *lock_name*."""
        super().__init__(attrgetter(attr_name), attr_name, lock_name)
        self._attr_name = attr_name

    def __set__(self, owner: object, value: T) -> None:
        # threading.Condition asks the same question the same way: there is no public one.
        if not _lock_of(owner, self._lock_name)._is_owned():  # noqa: SLF001
            raise RuntimeError(
                f"cannot set {self._name}: another thread may be changing it; "
                f"write inside `with owner.{self._lock_name}`"
            )
        setattr(owner, self._attr_name, value)


class ComputedProperty(_Locked[T]):
    """An attribute that is computed from others, all of them seen at one moment."""

    def __init__(self, compute_func: Callable[[Any], T], lock_name: str = "_lock") -> None:
        """*compute_func* is given the owner, whose lock is held meanwhile."""
        super().__init__(compute_func, "a computed property", lock_name)

    def __set__(self, owner: object, value: object) -> NoReturn:
        raise AttributeError(f"cannot set {self._name}: it is computed from other attributes")


def _lock_of(owner: object, lock_name: str) -> Any:
    lock = getattr(owner, lock_name)
    if not isinstance(lock, _ReentrantLock):
        raise TypeError(
            f"cannot use {lock_name} of {type(owner).__name__}: a read inside `with` takes the "
            "lock again; make it a threading.RLock"
        )
    return lock
