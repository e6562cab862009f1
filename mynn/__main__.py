"""Entry point of `python -m mynn`, the same as the command `mynn`."""

import sys

from mynn.cli import main

sys.exit(main())
