"""Run a playbook for as long as the desk lives, in a process of its own: a desk that was killed leaves nothing behind.

python -m mynn_control.desk.play < RUN.json

RUN.json has the arguments of ansible_runner.run. Its events are printed as JSON, one a line.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

import ansible_runner
from ansible_runner.utils import signal_handler


def main() -> int:
    """Run it, until its end, SIGTERM, or the desk's end; return its exit code."""
    desk, terminated = int(os.environ["MYNN_DESK"]), signal_handler()

    def tell(event: dict[str, Any]) -> bool:
        with suppress(OSError):  # of a desk that has gone
            print(json.dumps(event), flush=True)
        return False  # keeps no file of it

    def ended() -> bool:
        return os.getppid() != desk or bool(terminated and terminated())

    asked = json.load(sys.stdin)
    return int(ansible_runner.run(**asked, quiet=True, event_handler=tell, cancel_callback=ended).rc)


if __name__ == "__main__":
    sys.exit(main())
