"""``python -m stoker.gateway`` is ``slurmrestd``."""

import sys

from stoker.gateway.main import main

sys.exit(main())
