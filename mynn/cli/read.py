"""The verbs that ask a saved network: `mynn read`, `mynn backquery` and `mynn damage`."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mynn.arrays import Bytes, Floats
from mynn.cli.arguments import data_option, json_option, natural, network_option, picture_name, positive
from mynn.cli.train import load_network
from mynn.errors import DataError, os_errors_as
from mynn.files import check_place
from mynn.mnist import LABELS, SIDE, read_csv, scale
from mynn.progress import Bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OK, UNUSABLE = 0, 2  # exit codes, as the command's

NOT_HERE = "the picture cannot be saved here ({reason}); choose another file"
SURE = 0.5  # an output above this is nearer to yes than to no
SHADES = " .:-=+*#%@"  # from background to ink


def add(verbs: Any) -> None:
    """Add the verbs to the command's parser."""
    verb = verbs.add_parser(
        "read",
        parents=[network_option(), json_option()],
        help="say which digits pictures show",
        description="Say which digit each picture shows: a PNG or JPEG, drawn or photographed, one digit in each.",
    )
    verb.add_argument("pictures", nargs="+", metavar="PICTURE")
    verb.add_argument("--show", action="store_true", help="draw each picture as the network sees it")
    verb.set_defaults(run=_read)

    verb = verbs.add_parser(
        "backquery",
        parents=[network_option(), json_option()],
        help="ask a network backwards: draw what it takes for a digit",
        description="Draw what a network takes for each digit, into a PNG; one that is there already is replaced.",
    )
    verb.add_argument("--label", type=int, choices=range(LABELS), action="append", help="draw this one only (all ten)")
    verb.add_argument("--save", type=picture_name, required=True, metavar="PICTURE.png")
    verb.set_defaults(run=_backquery)

    verb = verbs.add_parser(
        "damage",
        parents=[network_option(), data_option()],
        help="remove hidden nodes and say what a network still recognises",
        description="Test a network without some of its hidden nodes, chosen at random, on the test set.",
    )
    verb.add_argument(
        "--remove",
        type=natural,
        nargs="+",
        metavar="N",
        help="how many nodes to remove (none, a tenth, two tenths ... nine)",
    )
    verb.add_argument(
        "--seeds", type=positive, default=5, metavar="N", help="random choices of the nodes (%(default)s)"
    )
    verb.add_argument("--examples", type=positive, metavar="N", help="test on the first N digits only")
    verb.add_argument("--save", type=picture_name, metavar="PICTURE.png", help="draw the curve into this PNG")
    verb.set_defaults(run=_damage)


def _read(options: argparse.Namespace) -> int:
    """Say what each picture shows. One that cannot be used is named, and the others are read all the same."""
    network = load_network(options.network)
    from mynn.images import read_image  # only now: it loads scipy and Pillow, which takes a Pi Zero seconds

    code, found = OK, []
    for path in options.pictures:
        try:
            pixels = read_image(path)
        except DataError as error:
            print(f"mynn read: {error}", file=sys.stderr)
            code = UNUSABLE
            continue
        outputs = network.query(scale(pixels))
        found.append(
            {"picture": path, "answer": int(outputs.argmax()), "outputs": [round(float(o), 4) for o in outputs]}
        )
        if not options.json:
            print(f"{path}: {_said(outputs)}")
            if options.show:
                print(_sketch(pixels))
    if options.json:
        print(json.dumps({"network": str(options.network), "pictures": found}))
    return code


def _said(outputs: Floats) -> str:
    best, second = (int(label) for label in outputs.argsort()[:-3:-1])
    answer = f"a {best}" if outputs[best] > SURE else f"perhaps a {best}"
    return f"{answer} (output {outputs[best]:.2f}; the next is {second} with {outputs[second]:.2f})"


def _sketch(pixels: Bytes) -> str:
    """Return a digit drawn in letters, two to a pixel: on a terminal these are nearly square."""
    shades = np.array(list(SHADES))[pixels.reshape(SIDE, SIDE).astype(int) * len(SHADES) // 256]
    return "\n".join("".join(row).rstrip() for row in shades.repeat(2, axis=1))


def _backquery(options: argparse.Namespace) -> int:
    """Draw what the network takes for each of the labels."""
    network = load_network(options.network)
    plotting = _plotting(options.save)
    labels = sorted(set(options.label or range(LABELS)))
    _save(plotting.backqueries(network, labels), options.save)
    if options.json:
        print(json.dumps({"network": str(options.network), "labels": labels, "saved": str(options.save)}))
    else:
        names = ", ".join(map(str, labels))
        print(f"{options.save}: what the network takes for {names}; dark is where it wants ink")
    return OK


def _damage(options: argparse.Namespace) -> int:
    """Test a network again and again, each time without some of its hidden nodes."""
    network = load_network(options.network)
    from mynn.damage import damage

    hidden = len(network.wih)
    steps = sorted(set(options.remove or (hidden * tenth // 10 for tenth in range(10))))
    if steps[-1] >= hidden:
        raise DataError(f"{options.network}: it has {hidden} hidden nodes; remove at most {hidden - 1} of them")
    plotting = _plotting(options.save) if options.save else None
    testing = read_csv(options.data / "mnist_test.csv", options.examples)

    bar, scores = Bar("testing"), np.empty((options.seeds, len(steps)))
    for done, (seed, step) in enumerate(np.ndindex(scores.shape), start=1):
        scores[seed, step] = damage(network, steps[step], seed=seed).score(testing)
        bar(done, scores.size)
    means, spreads = scores.mean(axis=0), scores.std(axis=0, ddof=1 if options.seeds > 1 else 0)

    if plotting:
        _save(plotting.damage_curve(steps, scores).get_figure(), options.save)
    if options.json:
        rows = [
            {"removed": step, "mean": float(mean), "sd": float(sd), "scores": list(column)}
            for step, mean, sd, column in zip(steps, means, spreads, scores.T.tolist(), strict=True)
        ]
        print(json.dumps({"hidden": hidden, "tested": len(testing), "seeds": options.seeds, "rows": rows}))
        return OK
    print(f"{hidden} hidden nodes, {len(testing)} digits, {options.seeds} choices of the nodes that are removed:\n")
    print("removed     recognised   standard deviation")
    for step, mean, sd in zip(steps, means, spreads, strict=True):
        print(f"{step:>7} {mean:>14.2%} {sd:>20.2%}")
    return OK


def _plotting(path: Path) -> Any:
    """Return mynn.plotting, to draw into a file; an existing file that is not a PNG is left alone: a DataError."""
    check_place(path, NOT_HERE)
    with os_errors_as(NOT_HERE, path=path), suppress(FileNotFoundError), path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            raise DataError(f"{path}: this file exists and is not a PNG picture; choose another file")

    import matplotlib  # only now: it takes a Pi Zero seconds

    matplotlib.use("Agg")  # no window
    from mynn import plotting

    return plotting


def _save(figure: Figure, path: Path) -> None:
    from mynn.plotting import keep  # only now: see `_plotting`

    with os_errors_as(NOT_HERE, path=path):
        keep(figure, path, dpi=150)
