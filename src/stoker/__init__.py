"""Stoker: a batch scheduler for one machine that speaks Slurm."""

__version__ = "0.1.0"
