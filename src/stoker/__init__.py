"""Stoker: a batch scheduler for one machine that speaks Slurm.

The public names stand here and are loaded when they are first used: the daemon and its commands
import this package, too, and are to start quickly.
"""

from __future__ import annotations

__version__ = "0.1.0"

# typing.TYPE_CHECKING would cost the import of typing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from stoker.client.client import Client
    from stoker.core.enums import JobState, Reason
    from stoker.core.errors import (
        DaemonUnavailable,
        EngineError,
        Infeasible,
        InvalidSpec,
        JobCancelled,
        JobFailed,
        JobTimedOut,
        LaunchError,
        NotAllowed,
        StokerError,
        StoreError,
        UnknownJob,
        UserError,
    )
    from stoker.core.messages import (
        AttemptView,
        Draft,
        Explanation,
        Finding,
        JobDetail,
        JobFilter,
        JobView,
        NodeView,
        StepView,
        Surroundings,
    )

__all__ = [
    "AttemptView",
    "Client",
    "DaemonUnavailable",
    "Draft",
    "EngineError",
    "Explanation",
    "Finding",
    "Infeasible",
    "InvalidSpec",
    "JobCancelled",
    "JobDetail",
    "JobFailed",
    "JobFilter",
    "JobState",
    "JobTimedOut",
    "JobView",
    "LaunchError",
    "NodeView",
    "NotAllowed",
    "Reason",
    "StepView",
    "StokerError",
    "StoreError",
    "Surroundings",
    "UnknownJob",
    "UserError",
    "__version__",
]

_MODULES = (
    "stoker.core.errors",
    "stoker.core.enums",
    "stoker.core.messages",
    "stoker.client.client",
)
"""Where the public names stand; the lighter first."""


def __getattr__(name: str) -> object:
    """Load a public name."""
    from importlib import import_module  # noqa: PLC0415 - nobody pays who asks for no name

    for module in map(import_module, _MODULES if name in __all__ else ()):
        if hasattr(module, name):
            globals()[name] = found = getattr(module, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
