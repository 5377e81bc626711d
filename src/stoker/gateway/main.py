"""slurmrestd: the command line, and where to listen.

Source: slurmrestd(8).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

import stoker
from stoker.core.errors import StokerError, UserError
from stoker.core.homes import home_directory
from stoker.gateway.http import Policy
from stoker.gateway.listening import Gate
from stoker.gateway.relay import Relay

_CONNECTIONS_MAX: Final = 124
_EPILOG: Final = """\
where to listen:
  unix:/PATH       a socket for this user alone, known by the kernel; others need a token
  HOST:PORT        a loopback address; every request needs a token
  nothing          $SLURMRESTD_LISTEN, or the socket run/slurmrestd.sock in Stoker's home

examples:
  slurmrestd unix:$HOME/slurmrestd.sock &
  curl --unix-socket $HOME/slurmrestd.sock http://localhost/slurm/v0.0.38/jobs
  slurmrestd 127.0.0.1:6820 &
  curl -H "X-SLURM-USER-NAME: $USER" -H "X-SLURM-USER-TOKEN: $TOKEN" \\
      http://127.0.0.1:6820/slurm/v0.0.38/ping     # TOKEN from `scontrol token`
"""


class Place(NamedTuple):
    """Where to listen: a path, or an address and a port."""

    path: Path | None
    host: str = ""
    port: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="slurmrestd: %(message)s", level=logging.INFO)
    home = home_directory()
    try:
        places = [read_place(word) for word in options.places or _default_places(home)]
        with Gate(Relay(home), options.max_connections) as gate:
            for place in places:
                _open(gate, place, options)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: gate.stop())
            gate.serve()
    except StokerError as error:
        sys.stderr.write(f"slurmrestd: error: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slurmrestd",
        description="Slurm's REST API, version 0.0.38, for this Stoker.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("places", nargs="*", metavar="WHERE", help="where to listen; see below")
    parser.add_argument("-V", "--version", action="version", version=f"stoker {stoker.__version__}")
    parser.add_argument(
        "-a",
        metavar="TYPES",
        dest="types",
        default="rest_auth/local,rest_auth/jwt",
        help="how callers prove who they are: rest_auth/local, rest_auth/jwt (default: both)",
    )
    parser.add_argument(
        "--max-connections",
        type=int,
        default=_CONNECTIONS_MAX,
        metavar="N",
        help="serve so many at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="listen beyond this machine; HTTP is not encrypted, so put TLS before it",
    )
    for flag, value in (("-f", "FILE"), ("-s", "PLUGINS"), ("-t", "N"), ("-u", "U"), ("-g", "G")):
        parser.add_argument(flag, metavar=value, help=argparse.SUPPRESS)
    parser.add_argument("-v", action="count", help=argparse.SUPPRESS)
    return parser


def _default_places(home: Path) -> list[str]:
    stated = os.environ.get("SLURMRESTD_LISTEN", "")
    return stated.split(",") if stated else [f"unix:{home / 'run' / 'slurmrestd.sock'}"]


def read_place(word: str) -> Place:
    """Read where to listen.

    Raises:
        UserError: It says nothing sensible.
    """
    if word.startswith("unix:"):
        path = word.removeprefix("unix:")
        if path:
            return Place(Path(path).absolute())
    else:
        host, colon, port = word.rpartition(":")
        if colon and port.isascii() and port.isdecimal() and int(port[:6]) < 1 << 16:
            return Place(None, host.strip("[]") or "127.0.0.1", int(port))
    raise UserError(
        f"cannot listen at {word!r}: write unix:/PATH or HOST:PORT, as in 127.0.0.1:6820"
    )


def _open(gate: Gate, place: Place, options: argparse.Namespace) -> None:
    types = {word.strip().removeprefix("rest_auth/") for word in options.types.split(",")}
    if place.path is not None:
        policy = Policy(
            name=str(place.path),
            is_local=True,
            takes_peers="local" in types,
            takes_tokens="jwt" in types,
        )
        place.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        gate.open_unix(place.path, policy)
        logging.getLogger(__name__).info("listening at %s", place.path)
        return
    host = _address(place.host, may_be_remote=options.allow_remote)
    policy = Policy(name=f"{host}:{place.port}", is_local=False, takes_tokens="jwt" in types)
    port = gate.open_tcp(host, place.port, policy)
    logging.getLogger(__name__).info("listening at %s:%d; a token is needed", host, port)


def _address(host: str, *, may_be_remote: bool) -> str:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ip_address(address).is_loopback
    except ValueError:
        raise UserError(
            f"cannot listen at {host}: write an address in numbers, as 127.0.0.1"
        ) from None
    if not is_loopback and not may_be_remote:
        raise UserError(
            f"cannot listen at {host}: others on the network would reach it over plain HTTP; "
            "use 127.0.0.1 and a proxy that speaks TLS, or say --allow-remote"
        )
    return address
