"""Fork and exec by hand, for what a child must do to itself in between.

No other thread of ours holds anything that a child needs, so that it may run Python until it
executes.
Signals are blocked meanwhile: none that is meant for us is taken by the child. What goes wrong
comes back through a pipe that the exec closes.
"""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from errno import EINVAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_EXIT_CODE = 127


def fork_exec(
    program: str,
    argv: list[str],
    environment: dict[str, str],
    streams: Sequence[int],
    limits: dict[int, tuple[int, int]],
    nice: int,
    pid_variable: str | None = None,
) -> int:
    """Run *program* in a session of its own and return its pid.

    Args:
        program: A path.
        argv: Its arguments.
        environment: All of it.
        streams: What becomes descriptors 0, 1 and 2.
        limits: Resource limits by their number.
        nice: Is added to our niceness; what is not permitted is left.
        pid_variable: In which variable the child finds its own pid.

    Raises:
        OSError: Nobody runs.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            try:
                if pid_variable:
                    environment[pid_variable] = str(os.getpid())
                _become(program, argv, environment, streams, limits, nice)
            except OSError as error:
                os.write(writing, b"%d" % (error.errno or EINVAL))
            except (TypeError, ValueError, OverflowError, MemoryError):
                os.write(writing, b"%d" % EINVAL)
            finally:
                os._exit(_EXIT_CODE)
        os.close(writing)
        writing = -1
        verdict = os.read(reading, 16)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if verdict:
        os.waitpid(pid, 0)
        raise OSError(int(verdict), os.strerror(int(verdict)))
    return pid


def _become(
    program: str,
    argv: list[str],
    environment: dict[str, str],
    streams: Sequence[int],
    limits: dict[int, tuple[int, int]],
    nice: int,
) -> NoReturn:
    os.setsid()
    for target, source in enumerate(streams):
        os.dup2(source, target)
    # A handler does not survive the exec; what is ignored does.
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if nice:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + nice)
    for kind, limit in limits.items():
        resource.setrlimit(kind, limit)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execve(program, argv, environment)  # noqa: S606 - no shell is what we are for
