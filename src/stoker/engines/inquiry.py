"""Asks all shepherds something at once, and waits for none of them for long.

Whoever wants to know may be keeping everybody waiting, and a shepherd answers when its user likes.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from stoker.core.errors import EngineError
from stoker.engines.attendant import Attendant
from stoker.engines.credence import plain

_ANSWER_S: Final = 0.5
"""How long all shepherds together are waited for."""
_LEFT_ALONE_S: Final = 30.0
"""How long a shepherd that was too late with its answer is asked nothing more."""
_SILENCE: Final = "it does not answer"

_T = TypeVar("_T")
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 48)]
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1 << 33)]


class ShepherdStatus(msgspec.Struct):
    """What is shown of a user's shepherd, which may say anything."""

    pid: _Count = 0
    started_at: _Seconds = 0.0
    cpu_s: _Seconds = 0.0
    mode: Literal["cgroup", "scan"] = "scan"
    running: _Count = 0
    queued: _Count = 0
    journal_bytes: _Count = 0
    trouble: str = ""


class Inquiry:
    """Knows who was asked, and who was late."""

    def __init__(self, attendants: Mapping[int, Attendant]) -> None:
        """Ask by *attendants*, of each user's shepherd that is there."""
        self._attendants = attendants
        self._asked: dict[int, Future[Any]] = {}
        self._late_at: dict[int, float] = {}

    def ask_all(self, question: Callable[[Attendant], _T]) -> dict[int, _T | EngineError]:
        """Ask of each user's shepherd that is there, all at once and for a moment only.

        Who did not answer in time is not asked again for a while.
        """
        asked: dict[int, Future[_T]] = {}
        answers: dict[int, _T | EngineError] = {}
        give_up_at = time.monotonic() + _ANSWER_S
        for user_id, attendant in sorted(self._attendants.items()):
            if attendant.is_absent or self._is_left_alone(user_id):
                answers[user_id] = EngineError(attendant.trouble or _SILENCE)
            elif attendant.is_open:
                asked[user_id] = self._asked[user_id] = _beside(partial(question, attendant))
        for user_id, answer in asked.items():
            try:
                answers[user_id] = answer.result(max(0.0, give_up_at - time.monotonic()))
            except TooLate:
                self._late_at[user_id] = time.monotonic()
                answers[user_id] = EngineError(_SILENCE)
            except EngineError as error:
                answers[user_id] = error
        return answers

    def _is_left_alone(self, user_id: int) -> bool:
        """Whether a user's shepherd was asked and has not answered, or late and not long ago."""
        last, late_at = self._asked.get(user_id), self._late_at.get(user_id, -math.inf)
        is_waited_for = last is not None and not last.done()
        return is_waited_for or time.monotonic() - late_at < _LEFT_ALONE_S


def status_of(attendant: Attendant) -> ShepherdStatus:
    """Ask a user's shepherd how it is.

    Raises:
        EngineError: It does not say, or what cannot be.
    """
    try:
        status = msgspec.convert(attendant.engine.status(), ShepherdStatus)
    except (msgspec.ValidationError, ValueError) as error:
        raise EngineError(f"it speaks nonsense: {plain(str(error))}") from None
    status.trouble = plain(status.trouble)
    if not status.pid:
        raise EngineError(status.trouble)
    return status


def _beside(question: Callable[[], _T]) -> Future[_T]:
    """Ask on a thread of its own, which nobody has to wait for."""
    future: Future[_T] = Future()

    def ask() -> None:
        try:
            future.set_result(question())
        except Exception as error:  # noqa: BLE001 - whoever waits for the answer gets it
            future.set_exception(error)

    threading.Thread(target=ask, name="asks a shepherd", daemon=True).start()
    return future
