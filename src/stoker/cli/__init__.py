"""What people start: Slurm's names, and `stoker`."""
