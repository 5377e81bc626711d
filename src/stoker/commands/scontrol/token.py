"""scontrol token: a token with which its holder may ask slurmrestd.

Source: scontrol(1) "token"; the wording as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stoker.commands.scontrol.words import Line, failure
from stoker.core.errors import UserError
from stoker.worker.call import Answer

LIFESPAN_S: Final = 1800
"""How long a token is good if nobody says, or says it so that it cannot be read."""

_LIFESPAN_MAX_S: Final = 10 * 365 * 86_400
_NAMES: Final = frozenset({"lifespan", "username"})


def give_token(line: Line, words: Sequence[str]) -> Answer:
    """Print a token for the caller; root may have one for another user."""
    for word in words:
        if word.partition("=")[0].lower() not in _NAMES or "=" not in word:
            return failure(f"Invalid option: `{word}`")
    named = (word.partition("=") for word in words)
    facts = {name.lower(): value for name, _, value in named}
    own = line.call.owner
    name = facts.get("username") or own.user_name
    if name != own.user_name and own.user_id != 0:
        return failure(
            "scontrol: error: slurm_fetch_token: error with request: Invalid user id\n"
            "Error fetching token"
        )
    try:
        token = line.controller.issue_token(name, _lifespan(facts.get("lifespan", "")))
    except UserError as error:
        return failure(f"scontrol: error: {error}\nError fetching token")
    return Answer(out=f"SLURM_JWT={token}\n")


def _lifespan(text: str) -> int:
    if text.isdecimal() and text.isascii() and int(text[:12]) > 0:
        return min(int(text[:12]), _LIFESPAN_MAX_S)
    return _LIFESPAN_MAX_S if text in ("infinite", "unlimited") else LIFESPAN_S
