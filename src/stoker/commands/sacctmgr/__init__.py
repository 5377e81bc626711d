"""sacctmgr: look at the account book, and change it."""

from stoker.commands.sacctmgr.command import sacctmgr

__all__ = ["sacctmgr"]
