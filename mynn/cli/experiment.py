"""The verb that compares many trainings: `mynn experiment`, which leaves its results in a folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mynn.cli.arguments import angle, data_option, help_of, hidden, positive, rate
from mynn.errors import os_errors_as
from mynn.network import RULES
from mynn.progress import Bar

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from mynn.experiments.jobs import Digits
    from mynn.experiments.record import Recipe, Trained


def add(verbs: Any) -> None:
    """Add the verbs to the command's parser."""
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
    ladder.draw(results, options.out)
    print(json.dumps(ladder.rows(results)) if options.json else ladder.table(results))
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
    from mynn.experiments.record import OVERNIGHT, RECORD

    recipe = RECORD if options.kind == "record" else OVERNIGHT
    trained = list(_trained(options, options.out, recipe, dict.fromkeys(range(options.seeds), recipe)).values())
    scores, tested = np.array([one.accuracy() for one in trained]), len(trained[0].labels)
    if options.json:
        print(json.dumps({"accuracies": scores.tolist(), "mean": scores.mean(), "tested": tested}))
    else:
        print(f"{scores.mean():.2%} of {tested} digits on average: " + ", ".join(f"{one:.2%}" for one in scores))
    return 0


def _committee(options: argparse.Namespace) -> int:
    from mynn.experiments.committee import COMMITTEES, together

    chosen = COMMITTEES[options.size]
    committees = [chosen.recipes(number) for number in range(options.seeds)]
    recipes = {seed: recipe for one in committees for seed, recipe in one.items()}
    trained = _trained(options, options.out / options.size, chosen, recipes)
    rows: list[dict[str, Any]] = []
    for committee in committees:
        members = [trained[seed] for seed in committee]
        rows.append({"together": together(members), "members": [one.accuracy() for one in members]})
    mean, tested = np.mean([row["together"] for row in rows]), len(trained[0].labels)
    if options.json:
        print(json.dumps({"committees": rows, "mean": mean, "tested": tested}))
        return 0
    for row in rows:
        singles = row["members"]
        print(
            f"{row['together']:.2%} together, {np.mean(singles):.2%} alone ({min(singles):.2%} to {max(singles):.2%})"
        )
    print(f"{mean:.2%} of {tested} digits on average, {len(chosen.normalisations)} networks each")
    return 0


def _trained(
    options: argparse.Namespace, out: Path, claimed: object, recipes: Mapping[int, Recipe]
) -> dict[int, Trained]:
    """Train a network by each recipe in this folder, which is for networks of `claimed` only."""
    from mynn.experiments import record

    digits = _digits(options, held_out=options.held_out)
    folder = out / ("held-out" if options.held_out else "whole")
    with _where(options) as (executor, bar):
        record.claim(folder, claimed, digits.sizes(executor)[0])
        return record.train(recipes, digits, folder, bar, executor)
