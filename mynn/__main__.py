"""`python -m mynn` is the command `mynn`."""

import sys

from mynn.command import main

sys.exit(main())
