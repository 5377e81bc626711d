"""slurmrestd's command line: where to listen, and where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoker.core.errors import UserError
from stoker.gateway.main import main, read_place


def test_places_are_paths_or_ports_of_addresses() -> None:
    assert read_place("unix:/run/r.sock").path == Path("/run/r.sock")
    assert read_place("127.0.0.1:6820")[1:] == ("127.0.0.1", 6820)
    assert read_place("[::1]:6820")[1:] == ("::1", 6820)
    assert read_place(":0")[1:] == ("127.0.0.1", 0)


@pytest.mark.parametrize("word", ["", "unix:", "host", "host:", "1.2.3.4:99999", "h:-1", "h:٣"])
def test_what_is_no_place_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(UserError, match="6820"):
        read_place(word)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("0.0.0.0:0", "--allow-remote"),
        ("[::]:0", "--allow-remote"),
        ("example.org:0", "write an address in numbers"),
        ("nonsense", "write unix:/PATH or HOST:PORT"),
    ],
)
def test_a_wider_door_is_opened_only_on_purpose(
    place: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("STOKER_HOME", str(tmp_path))
    assert main([place]) == 1
    assert said in capsys.readouterr().err
