"""`mynn experiment`: train many networks, compare them, and save the results in a folder."""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mynn.cli.arguments import angle, data_option, hidden, positive, rate
from mynn.errors import os_errors_as
from mynn.files import locked
from mynn.network import RULES
from mynn.progress import Bar

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from mynn.experiments.jobs import Digits
    from mynn.experiments.sweep import Results, Run


def add(verbs: Any) -> None:
    """Add the verb to the command's parser."""
    verb = verbs.add_parser(
        "experiment",
        help="train many networks and compare them",
        description="Train many networks. Finished runs are kept in the folder, so an interrupted experiment resumes.",
    )
    verb.set_defaults(run=lambda _: verb.print_help())  # without a kind
    kinds = verb.add_subparsers(dest="kind", metavar="KIND")

    def kind(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Callable[..., Any]:
        one = kinds.add_parser(name, parents=[data_option()], help=text, description=text)
        folder = Path("experiments", name)
        one.add_argument("--out", type=Path, metavar="FOLDER", default=folder, help="where results go (%(default)s)")
        one.add_argument(
            "--scheduler",
            metavar="ADDRESS",
            help="train on the workers of this Dask scheduler, with their own MNIST: its address, or the folder that "
            "`make cluster` wrote, dist/cluster",
        )
        one.set_defaults(run=lambda options: _with_a_folder(run, options))
        option: Callable[..., Any] = one.add_argument
        return option

    kind("ladder", _ladder, "Each figure of the blog, and ours beside it (three minutes on a PC).")

    option = kind("sweep", _sweep, "Every combination of the settings that you name, each with several seeds.")
    option("--hidden", type=hidden, nargs="+", default=[100], metavar="N", help="hidden nodes (100)")
    option("--rate", type=rate, nargs="+", default=[0.1], metavar="R", help="learning rates (0.1)")
    turned = "rotate digits by so many degrees each way (0)"
    option("--angle", type=angle, nargs="+", default=[0.0], metavar="A", help=turned)
    option("--rule", choices=RULES, nargs="+", default=["book"], help="how the layers learn (book)")
    option("--epochs", type=positive, default=1, metavar="N", help="passes over the training set (%(default)s)")
    option("--seeds", type=positive, default=3, metavar="N", help="networks of each kind (%(default)s)")
    option("--examples", type=positive, metavar="N", help="train on the first N digits only")

    for name, seeds, text in (
        ("record", 3, "The best that this network can do, three times over (ten minutes on a PC)."),
        ("overnight", 3, "What a Pi Zero reaches in a night (minutes on a PC)."),
        ("sprint", 3, "Nearly what overnight reads, in a tenth of the time (seven seconds each on a PC)."),
        ("committee", 1, "Six networks that see digits in ways of their own, and vote (ten minutes on a PC)."),
    ):
        option = kind(name, _record, text)
        option("--seeds", type=positive, default=seeds, metavar="N", help="how many of them (%(default)s)")
        option(
            "--held-out",
            action="store_true",
            help="train without the last 5,000 training digits and test on those: for choosing settings",
        )


def _with_a_folder(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    with os_errors_as("results cannot be saved here ({reason}); choose another folder", path=options.out):
        options.out.mkdir(parents=True, exist_ok=True)
        with locked(options.out / ".lock", 0):
            return run(options)  # unreadable data raises DataError, so an OSError concerns the results


@contextmanager
def _where(options: argparse.Namespace) -> Iterator[tuple[Executor | None, Bar]]:
    """Yield the executor (None: this computer) and a progress bar."""
    if options.scheduler is None:
        yield None, Bar(options.kind)
        return
    from mynn.experiments.cluster import connected

    with connected(options.scheduler) as (executor, many):
        yield executor, Bar(f"{options.kind}, {many} worker{'s' * (many > 1)}")


def _digits(options: argparse.Namespace, count: int | None = None, *, held_out: bool = False) -> Digits:
    from mynn.experiments.jobs import Digits

    return Digits(None if options.scheduler else options.data, count, held_out)


def _swept(options: argparse.Namespace, wanted: list[Run], count: int | None = None) -> Results:
    """Make the runs that are missing in the folder, and return the results."""
    from mynn.experiments.sweep import Results, sweep

    digits = _digits(options, count)
    results = Results(options.out / "runs.json", digits)
    with _where(options) as (executor, bar):
        sweep(wanted, digits, results, bar, executor)
    return results


def _ladder(options: argparse.Namespace) -> int:
    from mynn.experiments import ladder

    results = _swept(options, ladder.ladder())
    (options.out / "table.txt").write_text(ladder.table(results) + "\n", encoding="utf-8")
    ladder.draw(results, options.out)
    print(json.dumps(ladder.rows(results)) if options.json else ladder.table(results))
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from mynn.experiments.sweep import Setting, plots, runs

    settings = [Setting(*one) for one in product(options.hidden, options.rate, options.angle, options.rule)]
    results = _swept(options, runs(settings, options.epochs, options.seeds), options.examples)
    # An earlier sweep may have left more seeds in the folder.
    scores = {one: results.of(one, options.epochs)[: options.seeds] for one in settings}
    pictures = plots(scores, options.out, options.epochs)
    if options.json:
        print(json.dumps({str(one): some.tolist() for one, some in scores.items()}))
        return 0
    for one, some in scores.items():
        last = some[:, -1]
        spread = f" ± {100 * last.std(ddof=1):.2f} of {len(last)}" if len(last) > 1 else ""
        print(f"{last.mean():.2%}{spread}: {one}")
    print(f"plots: {', '.join(map(str, pictures))}")
    return 0


def _record(options: argparse.Namespace) -> int:
    """Train networks or committees, in a folder of these recipes."""
    from mynn.experiments import record

    ways = record.KINDS[options.kind]
    recipes = {seed: ways[seed % len(ways)] for seed in range(options.seeds * len(ways))}
    digits = _digits(options, held_out=options.held_out)
    # Networks of a changed recipe are not resumed.
    folder = options.out / f"{'held-out' if options.held_out else 'whole'}-{zlib.crc32(repr(ways).encode()):08x}"
    with _where(options) as (executor, bar):
        trained = list(record.train(recipes, digits, folder, bar, executor).values())
    scores = [record.together(trained[first : first + len(ways)]) for first in range(0, len(trained), len(ways))]
    alone, tested = [one.accuracy() for one in trained], len(trained[0].labels)
    if options.json:
        print(json.dumps({"accuracies": scores, "alone": alone, "mean": np.mean(scores), "tested": tested}))
        return 0
    print(f"{np.mean(scores):.2%} of {tested} digits on average: " + ", ".join(f"{one:.2%}" for one in scores))
    if len(ways) > 1:
        print(f"a network alone: {np.mean(alone):.2%} ({min(alone):.2%} to {max(alone):.2%})")
    return 0
