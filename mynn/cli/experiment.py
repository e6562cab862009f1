"""The verbs that compare many trainings: `mynn experiment`, which leaves its results in a folder, and `mynn bench`."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mynn import kernel
from mynn.cli.arguments import angle, data_option, help_of, hidden, positive, rate
from mynn.errors import os_errors_as
from mynn.network import RULES
from mynn.progress import Bar

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from mynn.experiments.jobs import Digits


def add(verbs: Any) -> None:
    """Add the verbs to the command's parser."""
    _add_bench(verbs)

    verb = verbs.add_parser(
        "experiment",
        help="train many networks and compare them",
        description="Train many networks. Finished runs are kept in the folder, so an interrupted experiment resumes.",
    )
    verb.set_defaults(run=help_of(verb))  # without a kind
    kinds = verb.add_subparsers(dest="kind", metavar="KIND")

    def kind(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        one: argparse.ArgumentParser = kinds.add_parser(name, parents=[data_option()], help=text, description=text)
        one.add_argument(
            "--out",
            type=Path,
            metavar="FOLDER",
            default=Path("experiments", name),
            help="where results go (%(default)s)",
        )
        one.add_argument(
            "--scheduler",
            metavar="ADDRESS",
            help="train on the workers of this Dask scheduler, with their own MNIST: its address, or the folder that "
            "`make cluster` wrote, dist/cluster",
        )
        one.set_defaults(run=lambda options: _with_a_folder(run, options))
        return one

    kind("ladder", _ladder, "Each figure of the blog, and ours beside it (three minutes on a PC).")

    one = kind("sweep", _sweep, "Every combination of the settings that you name, each with several seeds.")
    one.add_argument("--hidden", type=hidden, nargs="+", default=[100], metavar="N", help="hidden nodes (100)")
    one.add_argument("--rate", type=rate, nargs="+", default=[0.1], metavar="R", help="learning rates (0.1)")
    one.add_argument(
        "--angle",
        type=angle,
        nargs="+",
        default=[0.0],
        metavar="A",
        help="rotate digits by so many degrees each way (0)",
    )
    one.add_argument("--rule", choices=RULES, nargs="+", default=["book"], help="how the layers learn (book)")
    one.add_argument(
        "--epochs", type=positive, default=1, metavar="N", help="passes over the training set (%(default)s)"
    )
    one.add_argument("--seeds", type=positive, default=3, metavar="N", help="networks of each kind (%(default)s)")
    one.add_argument("--examples", type=positive, metavar="N", help="train on the first N digits only")

    for name, text in (
        ("record", "The best that this network can do, three times over (half an hour on a PC)."),
        ("overnight", "What a Pi Zero reaches in a night (minutes on a PC)."),
    ):
        one = kind(name, _record, text)
        one.add_argument("--seeds", type=positive, default=3, metavar="N", help="networks (%(default)s)")
        _add_held_out(one)

    one = kind("committee", _committee, "Networks that see digits in ways of their own, and vote.")
    one.add_argument(
        "--size",
        choices=("night", "large"),
        default="night",
        help="six networks, each a night's work for a Pi Zero; or eighteen large ones, about two hours' "
        "work for a PC (%(default)s)",
    )
    one.add_argument("--seeds", type=positive, default=1, metavar="N", help="committees (%(default)s)")
    _add_held_out(one)


def _add_held_out(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--held-out",
        action="store_true",
        help="train without the last 5,000 training digits and test on those: for choosing settings",
    )


def _add_bench(verbs: Any) -> None:
    verb = verbs.add_parser(
        "bench",
        parents=[data_option()],
        help="measure how long one example takes, in the book's way and in others",
        description="Train one epoch in each way, with one thread: about two minutes on a PC. On a Pi Zero the "
        "book's loop alone takes an hour for that, so give --quick.",
    )
    verb.add_argument(
        "--examples", type=positive, default=60_000, metavar="N", help="train on so many digits (%(default)s)"
    )
    verb.add_argument("--quick", action="store_const", dest="examples", const=1000, help="train on 1000 digits")
    verb.add_argument(
        "--hidden", type=hidden, nargs="+", default=[50, 100, 200], metavar="N", help="hidden nodes (50 100 200)"
    )
    verb.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    from mynn.experiments.bench import bench, table

    say = partial(print, file=sys.stderr, flush=True)
    rows = bench(options.data, options.examples, tuple(options.hidden), say)
    if options.json:
        rows_as_dicts = [asdict(row) for row in rows]
        print(json.dumps({"examples": options.examples, "kernel": kernel.STATE, "rows": rows_as_dicts}))
    else:
        print(table(rows))
    return 0


def _with_a_folder(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    with os_errors_as("results cannot be saved here ({reason}); choose another folder", path=options.out):
        return run(options)  # where the data cannot be read, that is a DataError already


@contextmanager
def _where(options: argparse.Namespace) -> Iterator[tuple[Executor | None, Bar]]:
    """Give what does the jobs (None: this computer), and a bar for their progress."""
    if options.scheduler is None:
        yield None, Bar(options.kind)
        return
    from mynn.experiments.cluster import connected, workers

    with connected(options.scheduler) as executor:
        many = workers(executor)
        yield executor, Bar(f"{options.kind}, {many} worker{'s' * (many > 1)}")


def _digits(options: argparse.Namespace, count: int | None = None, *, held_out: bool = False) -> Digits:
    from mynn.experiments.jobs import Digits

    return Digits(None if options.scheduler else options.data, count, held_out)


def _ladder(options: argparse.Namespace) -> int:
    from mynn.experiments import ladder
    from mynn.experiments.sweep import Results, sweep

    digits = _digits(options)
    with _where(options) as (executor, bar):
        results = Results(options.out / "runs.csv", digits.sizes(executor)[0])
        sweep(ladder.ladder(), digits, results, bar, executor)
    (options.out / "table.txt").write_text(ladder.table(results) + "\n", encoding="utf-8")
    rows = ladder.rows(results)
    with (options.out / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    ladder.plots(results, options.out)
    print(json.dumps(rows) if options.json else ladder.table(results))
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from mynn.experiments.sweep import Results, Setting, plots, runs, sweep

    digits = _digits(options, options.examples)
    settings = [
        Setting(hidden, rate, angle, rule)
        for hidden in options.hidden
        for rate in options.rate
        for angle in options.angle
        for rule in options.rule
    ]
    with _where(options) as (executor, bar):
        results = Results(options.out / "runs.csv", digits.sizes(executor)[0])
        sweep(runs(settings, options.epochs, options.seeds), digits, results, bar, executor)
    scores = {one: results.of(one, options.epochs) for one in settings}
    pictures = plots(scores, options.out)
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
    from mynn.experiments import record

    recipe = record.RECORD if options.kind == "record" else record.OVERNIGHT
    digits = _digits(options, held_out=options.held_out)
    folder = options.out / ("held-out" if options.held_out else "whole")
    with _where(options) as (executor, bar):
        count, tested = digits.sizes(executor)
        record.claim(folder, recipe, count)
        trained = record.train(recipe, range(options.seeds), digits, folder, bar, executor)
    scores = np.array([accuracy for _, accuracy in trained.values()])
    if options.json:
        print(json.dumps({"accuracies": scores.tolist(), "mean": scores.mean(), "tested": tested}))
    else:
        print(f"{scores.mean():.2%} of {tested} digits on average: " + ", ".join(f"{one:.2%}" for one in scores))
    return 0


def _committee(options: argparse.Namespace) -> int:
    from mynn.experiments import committee, record

    chosen = committee.COMMITTEES[options.size]
    digits = _digits(options, held_out=options.held_out)
    folder = options.out / options.size / ("held-out" if options.held_out else "whole")
    with _where(options) as (executor, bar):
        count, tested = digits.sizes(executor)
        record.claim(folder, chosen, count)
        results = committee.convene(chosen, range(options.seeds), digits, folder, bar, executor)
    together = [one.together() for one in results]
    if options.json:
        rows = [{"together": one.together(), "members": one.accuracies()} for one in results]
        print(json.dumps({"committees": rows, "mean": np.mean(together), "tested": tested}))
        return 0
    for one in results:
        singles = one.accuracies()
        print(f"{one.together():.2%} together, {np.mean(singles):.2%} alone ({min(singles):.2%} to {max(singles):.2%})")
    print(f"{np.mean(together):.2%} of {tested} digits on average, {len(chosen.normalisations)} networks each")
    return 0
