"""Which path is answered by what: one table, for serving and for the description of it.

Source: openapi v0.0.38; the wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from stoker.commands.rest import accounting, cluster, jobs, submit, update
from stoker.commands.rest.openapi import description
from stoker.commands.rest.replies import Reply, plain
from stoker.commands.rest.requests import Request

Handler: TypeAlias = Callable[..., Reply]
"""Takes the request and the words that stand for the path's names, in order."""

ROUTES: Final[Mapping[str, Mapping[str, Handler]]] = {
    "/slurm/v0.0.38/diag": {"GET": cluster.diag},
    "/slurm/v0.0.38/ping": {"GET": cluster.ping},
    "/slurm/v0.0.38/licenses": {"GET": cluster.licenses},
    "/slurm/v0.0.38/nodes": {"GET": cluster.nodes},
    "/slurm/v0.0.38/node/{node_name}": {"GET": cluster.node},
    "/slurm/v0.0.38/partitions": {"GET": cluster.partitions},
    "/slurm/v0.0.38/partition/{partition_name}": {"GET": cluster.partition},
    "/slurm/v0.0.38/reservations": {"GET": cluster.reservations},
    "/slurm/v0.0.38/reservation/{reservation_name}": {"GET": cluster.reservation},
    "/slurm/v0.0.38/jobs": {"GET": jobs.every},
    "/slurm/v0.0.38/job/submit": {"POST": submit.submit},
    "/slurm/v0.0.38/job/{job_id}": {
        "GET": jobs.one,
        "POST": update.update,
        "DELETE": jobs.cancel,
    },
    "/slurmdb/v0.0.38/jobs": {"GET": accounting.jobs},
    "/slurmdb/v0.0.38/job/{job_id}": {"GET": accounting.job},
    "/slurmdb/v0.0.38/tres": {"GET": accounting.tres},
    "/slurmdb/v0.0.38/qos": {"GET": accounting.qos},
    "/slurmdb/v0.0.38/qos/{qos_name}": {"GET": accounting.qos},
    "/slurmdb/v0.0.38/associations": {"GET": accounting.associations},
    "/slurmdb/v0.0.38/users": {"GET": accounting.users},
    "/slurmdb/v0.0.38/user/{user_name}": {"GET": accounting.user},
    "/slurmdb/v0.0.38/accounts": {"GET": accounting.accounts},
    "/slurmdb/v0.0.38/account/{account_name}": {"GET": accounting.account},
    "/slurmdb/v0.0.38/clusters": {"GET": accounting.clusters},
    "/slurmdb/v0.0.38/cluster/{cluster_name}": {"GET": accounting.clusters},
    "/slurmdb/v0.0.38/wckeys": {"GET": accounting.wckeys},
    "/slurmdb/v0.0.38/config": {"GET": accounting.config},
    "/slurmdb/v0.0.38/diag": {"GET": accounting.diag},
}

_DESCRIPTIONS: Final = (("openapi",), ("openapi.json",), ("openapi", "v3"))
_NOT_FOUND: Final = "Unable find requested URL. Please view /openapi/v3 for API reference."
_NO_METHOD: Final = (
    "Requested REST method is not defined at URL. Please view /openapi/v3 for API reference."
)


def reply_to(request: Request) -> Reply:
    """Return the answer of whatever the path names."""
    if request.segments in _DESCRIPTIONS:
        return description(ROUTES) if request.method == "GET" else plain(405, _NO_METHOD)
    for path, methods in ROUTES.items():
        words = _match(path, request.segments)
        if words is not None:
            handler = methods.get(request.method)
            return handler(request, *words) if handler else plain(405, _NO_METHOD)
    return plain(404, _NOT_FOUND)


def _match(path: str, segments: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the words that stand where *path* has names in braces; None if it is another."""
    parts = path.split("/")[1:]
    if len(parts) != len(segments):
        return None
    words = []
    for part, segment in zip(parts, segments, strict=True):
        if part.startswith("{"):
            words.append(segment)
        elif part != segment:
            return None
    return tuple(words)
