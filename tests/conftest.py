"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A loaded machine is slow, not wrong: no example fails for the time that it took.
settings.register_profile("stoker", deadline=None)
settings.load_profile("stoker")
