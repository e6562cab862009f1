"""`python -m mynn` is the command `mynn`."""

import sys

from mynn.cli import main

sys.exit(main())
