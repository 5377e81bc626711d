"""slurmrestd: Slurm's REST API in a process of its own, one more client of stokerd's socket.

Flooded, broken into, killed or upgraded, it takes nothing with it; who needs no HTTP never starts
it. `main` reads the command line, `listening` accepts, `http` speaks the protocol, `relay` asks
stokerd. What a path means is known there, by `commands.rest`.
"""

from stoker.gateway.main import main

__all__ = ["main"]
