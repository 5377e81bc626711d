"""sreport: who used how much of the machine."""

from stoker.commands.sreport.command import sreport

__all__ = ["sreport"]
