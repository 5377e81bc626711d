"""`stoker demo`."""

from __future__ import annotations

import click


@click.command("demo")
def demo_command() -> int:
    """Run real work on a private Stoker.

    Its daemon is killed on the way. It takes under a minute, and leaves neither a process nor a
    file behind. The exit status is 0 only if every job came out as it should.

    Examples:
      stoker demo
    """
    from stoker.cli.demo import run_demo  # noqa: PLC0415 - rich and all

    return run_demo()
