"""Slurm's language: argv in, text and exit status out."""
