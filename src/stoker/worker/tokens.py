"""Tokens: who holds one may ask over HTTP as the user whom it names, until it expires.

They are JSON Web Tokens, signed with HMAC-SHA256 and nothing else, by a key of this home that only
its owner may read. A key is made with the first token, so that who never asks for one has none;
removing its file revokes all of them.

Source: slurm.conf(5) ``auth/jwt``; scontrol(1) "token"; RFC 7519.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from stoker.core.errors import UserError

KEY_FILE: Final = "jwt_hs256.key"
_ALGORITHM: Final = "HS256"
_KEY_SIZE: Final = 32


class Tokens:
    """Gives out and reads the tokens of *home*."""

    def __init__(self, home: Path) -> None:
        self._path = home / KEY_FILE

    def issue(self, user_name: str, lifespan_s: int, now: float) -> str:
        """Return a token for a user.

        Raises:
            UserError: The key cannot be written, or others may read it.
        """
        import jwt  # noqa: PLC0415 - hardly anybody asks for a token

        claims = {"exp": int(now) + lifespan_s, "iat": int(now), "sun": user_name}
        return jwt.encode(claims, self._key() or self._make_key(), algorithm=_ALGORITHM)

    def user(self, token: str, now: float) -> str:
        """Return the name of the user whom a good token names; "" for any other."""
        import jwt  # noqa: PLC0415 - hardly anybody shows a token

        key = self._key()
        if not key:
            return ""
        # The time is the caller's, so that what a turn decides has one time.
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                options={"verify_exp": False, "verify_iat": False, "require": ["exp", "sun"]},
            )
        except jwt.InvalidTokenError:
            return ""
        expires_at, name = claims["exp"], claims["sun"]
        is_good = isinstance(expires_at, int) and expires_at > now and isinstance(name, str)
        return name if is_good else ""

    def _key(self) -> bytes:
        """Return the key; b"" if there is none.

        Raises:
            UserError: It is not ours alone.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unusable(error.strerror or "unreadable") from None
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
                raise self._unusable("others may read it; `chmod 600` it, or remove it")
            return file.read(4096)

    def _make_key(self) -> bytes:
        """Write a fresh key, whole or not at all; of two that do the first counts."""
        fresh = self._path.with_name(f".{KEY_FILE}.{os.getpid()}")
        try:
            with suppress(FileNotFoundError):
                fresh.unlink()
            descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_SIZE))
                os.fsync(descriptor)
            with suppress(FileExistsError):
                os.link(fresh, self._path)
            fresh.unlink()
        except OSError as error:
            raise self._unusable(error.strerror or "not written") from None
        return self._key()

    def _unusable(self, why: str) -> UserError:
        return UserError(f"cannot use the key of tokens {self._path}: {why}")
