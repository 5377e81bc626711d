"""scontrol: look at everything, and change it."""

from stoker.commands.scontrol.command import scontrol

__all__ = ["scontrol"]
