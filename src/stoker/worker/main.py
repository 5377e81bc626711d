"""stokerd's life: lock the home, open the records, work, let go of everything.

One `ExitStack` holds what was opened, so that stopping is starting backwards. Whoever started us in
the background waits at a pipe for one word: that we listen, or why we cannot.
"""

from __future__ import annotations

import argparse
import gc
import logging
import logging.handlers
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import stoker
from stoker.core.database import Database
from stoker.core.errors import StokerError, UserError
from stoker.core.hardware import Detected, detect
from stoker.core.homes import home_directory
from stoker.core.machine import Machine, machine_of
from stoker.core.ownerstore import OwnerStore
from stoker.core.repository import Repository
from stoker.core.settings import Settings, SettingsError, load_settings
from stoker.engines.local import LocalEngine
from stoker.engines.shared import SharedEngine
from stoker.worker.bailiff import Bailiff
from stoker.worker.failpoints import arm
from stoker.worker.homelock import only_daemon
from stoker.worker.layout import check_is_root, lay_out_shared
from stoker.worker.localdisk import check_is_local
from stoker.worker.probe import Probe
from stoker.worker.rpc import ReadDraft
from stoker.worker.service import Command
from stoker.worker.signal_handler import RELOAD_SIGNAL, SignalHandler
from stoker.worker.worker import Worker

log = logging.getLogger(__name__)

_LOG_BYTES_MAX = 8 << 20
_DESCRIPTORS = 16384
_IGNORED = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGIO,
)
"""Signals that mean nothing to us and would end us."""


def main(
    arguments: Sequence[str], *, commands: Mapping[str, Command], read_draft: ReadDraft
) -> int:
    """Run the daemon; return its exit status."""
    options = _parser().parse_args(arguments)
    herald = _Herald(options.ready_fd)
    home = home_directory()
    try:
        with ExitStack() as stack:
            worker = _prepare(stack, home, options, commands, read_draft)
            signals = SignalHandler().on_shutdown(worker.request_stop)
            signals.on_reload(lambda: _reload(worker, options))
            stack.enter_context(signals)
            worker.work(signals, herald.is_ready)
    except (StokerError, OSError) as error:
        herald.has_failed(f"cannot start stokerd: {error}" if _is_bare(error) else str(error))
        log.critical("%s", error)
        return 1
    return 0


def _prepare(
    stack: ExitStack,
    home: Path,
    options: argparse.Namespace,
    commands: Mapping[str, Command],
    read_draft: ReadDraft,
) -> Worker:
    # Until it is handled, SIGHUP would end us: the terminal may close while we start.
    for number in (RELOAD_SIGNAL, *_IGNORED):
        signal.signal(number, signal.SIG_IGN)
    _take_descriptors()
    if not os.geteuid() and _is_to_be_shared(home, options):
        # Before anything is opened there: nobody else may have had a hand in it.
        lay_out_shared(home)
    stack.enter_context(only_daemon(home))
    check_is_local(home)
    _start_log(home, to_file=options.background)
    arm(os.environ)
    settings, machine, detected = _read_settings(home, options)
    _set_log_level(settings)
    if settings.shared:
        check_is_root()
    for warning in machine.warnings:
        log.warning("%s", warning)
    database = Database.of_home(home, settings.database_url)
    stack.enter_context(database)
    repository = Repository(database)
    engine: LocalEngine | SharedEngine = LocalEngine(home, repository.content)
    if settings.shared:
        engine = SharedEngine(home, repository.content, OwnerStore(database))
    worker = Worker(
        home,
        settings,
        machine,
        detected,
        repository=repository,
        engine=engine,
        commands=commands,
        read_draft=read_draft,
    )
    if isinstance(engine, SharedEngine):
        worker.on_recovered = partial(_begin_to_share, stack, engine, worker)
    # Hundreds of thousands of waiting jobs hold no cycles: looking for some would stall a turn.
    gc.set_threshold(50_000, 20, 100)
    # A turn lets other threads run at each statement; a listing must give way again at once.
    sys.setswitchinterval(0.0005)
    return worker


def _begin_to_share(stack: ExitStack, engine: SharedEngine, worker: Worker) -> None:
    """Recover the jobs of users whose shepherd is met late; end what none of them ends."""
    engine.follow(worker.recover_user)
    probe = Probe(by_owner=True, kill_wait_s=0.0)
    stack.enter_context(
        Bailiff(
            worker.ledger,
            worker.steps,
            probe,
            engine,
            prod=engine.prod,
            report=worker.reports.take,
            reap=engine.reap_strays,
        )
    )


def _take_descriptors() -> None:
    """Have as many descriptors as we may: each client holds one, and the usual 1024 are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_to_be_shared(home: Path, options: argparse.Namespace) -> bool:
    """Whether the settings say that every user is served; what is wrong with them is told later."""
    try:
        return load_settings(home, os.environ, _flags(options.set)).shared
    except StokerError:
        return False


def _read_settings(home: Path, options: argparse.Namespace) -> tuple[Settings, Machine, Detected]:
    settings = load_settings(home, os.environ, _flags(options.set))
    detected = detect()
    return settings, machine_of(settings, detected), detected


def _reload(worker: Worker, options: argparse.Namespace) -> None:
    """Read the settings again; if they cannot be used, all stays as it is."""
    try:
        settings, _, _ = _read_settings(worker.home, options)
        _set_log_level(settings)
    except StokerError as error:
        log.warning("the settings stay as they are: %s", error)
    else:
        log.info("%s", worker.reload(settings))


def _set_log_level(settings: Settings) -> None:
    try:
        logging.getLogger().setLevel(settings.log_level)
    except ValueError:
        raise SettingsError(
            f"cannot use log_level {settings.log_level}: it is DEBUG, INFO, WARNING or ERROR"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stokerd", description="Stoker's daemon; commands start it when they need it."
    )
    parser.add_argument("--version", action="version", version=f"stoker {stoker.__version__}")
    parser.add_argument("--background", action="store_true", help="log to a file in the home")
    parser.add_argument("--ready-fd", type=int, default=None, help=argparse.SUPPRESS)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting"
    )
    return parser


def _flags(words: Sequence[str]) -> dict[str, str]:
    flags = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(
                f"cannot read --set {word}: write NAME=VALUE, as in --set kill_wait_s=5"
            )
        flags[name] = value
    return flags


def _is_bare(error: Exception) -> bool:
    return not isinstance(error, StokerError)


class _Herald:
    """Tells whoever started us, once, that we listen or why we cannot."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def is_ready(self) -> None:
        log.info("stokerd %s listens, pid %d", stoker.__version__, os.getpid())
        self._say("1")

    def has_failed(self, why: str) -> None:
        if self._descriptor is None:
            sys.stderr.write(f"stokerd: error: {why}\n")
        self._say(why)

    def _say(self, text: str) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.write(self._descriptor, text.encode("utf-8", "replace"))
                os.close(self._descriptor)
            self._descriptor = None


def _start_log(home: Path, *, to_file: bool) -> None:
    handler: logging.Handler = logging.StreamHandler()
    if to_file:
        handler = logging.handlers.RotatingFileHandler(
            home / "log" / "stokerd.log", maxBytes=_LOG_BYTES_MAX, backupCount=3
        )
    handler.setFormatter(_HarmlessFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _HarmlessFormatter(logging.Formatter):
    """Escapes what a job's name or path may bring along and no log should hold."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "".join(
            letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
            for letter in text
        )
