"""The rooms of the daemon that do the work: scheduler, resources, recovery, signals."""
