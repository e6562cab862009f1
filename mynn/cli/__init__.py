"""The command `mynn`: each file here has a group of verbs, and imports what a verb needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mynn import DataError, NetworkFileError, __version__
from mynn.cli import experiment, info, read, train

UNUSABLE, STOPPED = 2, 130  # exit codes; argparse has the same 2 for a command line it cannot use


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; what cannot be done is one sentence."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (DataError, NetworkFileError) as error:
        print(f"mynn {options.verb}: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        kept = "; run it again to resume" if options.verb == "experiment" else ""
        print(f"\nmynn {options.verb}: stopped{kept}", file=sys.stderr)
        return STOPPED
    return code


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line; its verbs are in the order of `mynn --help`."""
    mynn = argparse.ArgumentParser(prog="mynn", description="A network that recognises handwritten digits.")
    mynn.add_argument("--version", action="version", version=f"mynn {__version__}")
    verbs = mynn.add_subparsers(dest="verb", required=True, metavar="VERB")
    for group in (train, read, experiment, info):
        group.add(verbs)
    return mynn
