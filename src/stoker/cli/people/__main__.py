"""``python -m stoker.cli.people`` is `stoker`."""

from __future__ import annotations

from stoker.cli.people import main

main()
