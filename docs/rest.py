"""The REST API, from the tables of its paths and of a job's properties."""

from __future__ import annotations

from docs.markdown import code, table
from stoker.commands.rest.properties import ELSEWHERE, OPTIONS
from stoker.commands.rest.routes import ROUTES


def paths() -> str:
    """Return the table of paths and methods."""
    rows = (
        (code(path), code(method), (handler.__doc__ or "").split("\n", 1)[0])
        for path, methods in ROUTES.items()
        for method, handler in methods.items()
    )
    return table(("path", "method", "what it does"), rows)


def properties() -> str:
    """Return the table of a job's properties."""
    rows = [(code(name), f"as `sbatch --{option}`") for name, option in OPTIONS.items()]
    rows += [(code(name), "of the script") for name in ELSEWHERE]
    return table(("property", "what it says"), sorted(rows))
