"""sinfo: what there is, and how it stands."""

from stoker.commands.sinfo.command import sinfo

__all__ = ["sinfo"]
