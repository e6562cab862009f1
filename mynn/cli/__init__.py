"""The command `mynn`. Each module here adds a group of verbs; imports such as scipy wait until a verb needs them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mynn import DataError, NetworkFileError, __version__
from mynn.cli import experiment, info, mnist, train

UNUSABLE, STOPPED = 2, 130  # exit codes; argparse uses 2, too, for an invalid command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Errors are printed as one sentence."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options) or 0
    except (DataError, NetworkFileError) as error:
        print(f"mynn {options.verb}: {error}", file=sys.stderr)
        return UNUSABLE
    except MemoryError:
        print(f"mynn {options.verb}: there is not enough memory; use fewer hidden nodes", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        kept = "; run it again to resume" if options.verb == "experiment" else ""
        print(f"\nmynn {options.verb}: stopped{kept}", file=sys.stderr)
        return STOPPED
    return code


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser. The order of its groups is the order of verbs in `mynn --help`."""
    mynn = argparse.ArgumentParser(prog="mynn", description="A network that recognises handwritten digits.")
    mynn.add_argument("--version", action="version", version=f"mynn {__version__}")
    mynn.set_defaults(run=lambda _: mynn.print_help())  # without a verb
    verbs = mynn.add_subparsers(dest="verb", metavar="VERB")
    for group in (train, experiment, mnist, info):
        group.add(verbs)
    return mynn
