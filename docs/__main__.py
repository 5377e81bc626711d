"""Print every passage anew: ``python -m docs``, or ``make docs``; names the pages that changed."""

from __future__ import annotations

import sys

from docs.passages import pages, renewed


def main() -> int:
    """Write the pages whose passages differ from what the code declares."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (fresh := renewed(text)) != text:
            page.write_text(fresh, encoding="utf-8")
            print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
