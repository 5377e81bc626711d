"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import settings

# A loaded machine is slow, not wrong: no example fails for the time that it took.
settings.register_profile("stoker", deadline=None)
settings.register_profile("long", deadline=None, max_examples=3000, stateful_step_count=60)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "stoker"))
