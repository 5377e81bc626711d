"""Start the shepherd: ``python -I -S -X utf8 .../shepherd/__main__.py HOME [--ready-fd N]``.

Run by its path, with neither site-packages nor environment, it starts in a few milliseconds; our
own package is found beside this file.
"""

from __future__ import annotations

import sys

if not __package__:
    sys.path.append(__file__.rsplit("/", 3)[0])

from stoker.shepherd.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
