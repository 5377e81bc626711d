"""Tokens: signed by this home alone, for one user, for a while."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import jwt
import pytest

from stoker.core.errors import UserError
from stoker.worker.tokens import KEY_FILE, Tokens

NOW = 1_795_495_069.0


def part(claims: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def test_a_token_names_its_user_until_it_expires(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = tokens.issue("alice", 60, NOW)
    assert tokens.user(token, NOW + 59) == "alice"
    assert tokens.user(token, NOW + 60) == ""


def test_another_process_of_the_same_home_believes_it(tmp_path: Path) -> None:
    token = Tokens(tmp_path).issue("alice", 60, NOW)
    assert Tokens(tmp_path).user(token, NOW) == "alice"


def test_the_key_is_readable_for_its_owner_alone(tmp_path: Path) -> None:
    Tokens(tmp_path).issue("alice", 60, NOW)
    facts = (tmp_path / KEY_FILE).stat()
    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE], "nothing else is left"


def test_without_a_key_no_token_is_good(tmp_path: Path) -> None:
    token = Tokens(tmp_path).issue("alice", 60, NOW)
    (tmp_path / KEY_FILE).unlink()
    assert Tokens(tmp_path).user(token, NOW) == ""


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    token = Tokens(tmp_path).issue("alice", 60, NOW)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        Tokens(tmp_path).user(token, NOW)


def test_a_key_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x" * 32)
    (tmp_path / KEY_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="cannot use the key"):
        Tokens(tmp_path).issue("alice", 60, NOW)


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_no_other_algorithm_counts(tmp_path: Path, algorithm: str) -> None:
    tokens = Tokens(tmp_path)
    tokens.issue("alice", 60, NOW)
    key = None if algorithm == "none" else (tmp_path / KEY_FILE).read_bytes().ljust(64, b"\0")
    forged = jwt.encode({"exp": int(NOW) + 60, "sun": "alice"}, key, algorithm=algorithm)
    assert tokens.user(forged, NOW) == ""


@pytest.mark.parametrize(
    "claims",
    [
        {"sun": "alice"},
        {"exp": 1 << 40},
        {"exp": "never", "sun": "alice"},
        {"exp": 1 << 40, "sun": 7},
        {"exp": None, "sun": "alice"},
        {"exp": True, "sun": "alice"},
    ],
)
def test_claims_that_say_nothing_sensible_count_for_nothing(
    tmp_path: Path, claims: dict[str, object]
) -> None:
    tokens = Tokens(tmp_path)
    tokens.issue("alice", 60, NOW)
    signed = jwt.encode(claims, (tmp_path / KEY_FILE).read_bytes(), algorithm="HS256")
    assert tokens.user(signed, NOW) == ""


@pytest.mark.parametrize("text", ["", "nonsense", "a.b.c", "ä.ö.ü", "." * 5, "x" * 100_000])
def test_what_is_no_token_names_nobody(tmp_path: Path, text: str) -> None:
    tokens = Tokens(tmp_path)
    tokens.issue("alice", 60, NOW)
    assert tokens.user(text, NOW) == ""


def test_a_token_whose_name_was_edited_names_nobody(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    head, _, signature = tokens.issue("alice", 60, NOW).split(".")
    body = part({"exp": int(NOW) + 60, "sun": "root"})
    assert tokens.user(f"{head}.{body}.{signature}", NOW) == ""
