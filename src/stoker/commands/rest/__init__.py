"""slurmrestd's language: a method and a path in, a status and a document out."""

from stoker.commands.rest.command import slurmrestd

__all__ = ["slurmrestd"]
