"""squeue: what waits and runs."""

from stoker.commands.squeue.command import squeue

__all__ = ["squeue"]
