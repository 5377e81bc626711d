"""The description that slurmrestd gives of itself: paths and methods from the table of routes.

Source: OpenAPI 3.0.2; the paths of v0.0.38.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import stoker
from stoker.commands.documents import Value, to_json
from stoker.commands.rest.properties import ELSEWHERE, OPTIONS
from stoker.commands.rest.replies import Reply

_IN_BRACES: Final = re.compile(r"\{(\w+)\}")
_TAGS: Final[tuple[Value, ...]] = (
    {"name": "slurm", "description": "methods that query slurmctld"},
    {"name": "openapi", "description": "methods that query for OpenAPI specifications"},
)


def description(routes: Mapping[str, Mapping[str, Callable[..., Reply]]]) -> Reply:
    """Return the document about these paths, by method."""
    paths: dict[str, Value] = {
        path: {method.lower(): _operation(path, handler) for method, handler in methods.items()}
        for path, methods in routes.items()
    }
    content: dict[str, Value] = {
        "tags": list(_TAGS),
        "paths": paths,
        "openapi": "3.0.2",
        "info": {
            "title": "Slurm Rest API",
            "description": "API to access and control a Stoker as one does Slurm",
            "version": stoker.__version__,
        },
        "components": {"schemas": {"v0.0.38_job_properties": _properties()}},
    }
    return Reply(200, to_json(content))


def _operation(path: str, handler: Callable[..., Reply]) -> dict[str, Value]:
    parameters: list[Value] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_BRACES.findall(path)
    ]
    return {
        "tags": ["slurm"],
        "summary": (handler.__doc__ or "").split("\n", 1)[0],
        "operationId": f"{path.split('/')[1]}_{handler.__name__}",
        "parameters": parameters,
        "responses": {"200": {"description": "what was asked for"}},
    }


def _properties() -> Mapping[str, Value]:
    told: dict[str, Value] = {
        name: {"description": f"as sbatch --{option}"} for name, option in OPTIONS.items()
    }
    told |= {name: {"description": "of the script"} for name in ELSEWHERE}
    return {"type": "object", "required": ["environment"], "properties": told}
