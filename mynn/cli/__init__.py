"""The command `mynn`: each file here has a group of verbs, and imports what a verb needs when it runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from mynn import DataError, NetworkFileError, __version__
from mynn.cli import experiment, info, mnist, train
from mynn.cli.arguments import help_of

UNUSABLE, STOPPED, UNREAD = 2, 130, 141  # exit codes; argparse has the same 2 for a command line it cannot use


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; what cannot be done is one sentence."""
    try:
        try:
            return _run(parser().parse_args(arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # as with `mynn test ... | head -1`: what is still to be printed goes nowhere
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return UNREAD


def _run(options: argparse.Namespace) -> int:
    try:
        code: int = options.run(options)
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
    """Return what understands the command line; its verbs are in the order of `mynn --help`."""
    mynn = argparse.ArgumentParser(prog="mynn", description="A network that recognises handwritten digits.")
    mynn.add_argument("--version", action="version", version=f"mynn {__version__}")
    mynn.set_defaults(run=help_of(mynn))  # without a verb
    verbs = mynn.add_subparsers(dest="verb", metavar="VERB")
    for group in (train, experiment, mnist, info):
        group.add(verbs)
    return mynn
