"""Typed calls from Python to the daemon."""
