"""The verbs that ask a network which was kept: `mynn read`, `mynn dream` and `mynn damage`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mynn.damage import damage
from mynn.data import LABELS, PIXELS, SIDE, Bytes, DataError, read_csv, scale
from mynn.network import NeuralNetwork
from mynn.progress import Bar
from mynn.storage import NetworkFileError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OK, UNUSABLE = 0, 2  # exit codes, as the command's

NETWORK = Path("my_network.npz")  # where to look for a network if none is named, and what the lessons call theirs
SURE = 0.5  # an output above this is nearer to yes than to no
SHADES = " .:-=+*#%@"  # from paper to ink


def load(path: Path) -> NeuralNetwork:
    """Return the network in a file; if there is none, or it does not read digits, it is a NetworkFileError."""
    if not path.exists():
        raise NetworkFileError(
            f"{path}: there is no such file; train a network with `mynn train --save {path}`, or name the file of one"
        )
    network = NeuralNetwork.load(path)
    if (network.wih.shape[1], network.who.shape[0]) != (PIXELS, LABELS):
        raise NetworkFileError(f"{path}: this network does not read digits of 28 x 28; train one that does")
    return network


def read(options: argparse.Namespace) -> int:
    """Say what each picture shows. One that cannot be used is named, and the others are read all the same."""
    network = load(options.network)
    from mynn.pictures import read_picture  # only now: it loads scipy and Pillow, which takes a Pi Zero seconds

    code, found = OK, []
    for path in options.pictures:
        try:
            pixels = read_picture(path)
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


def _said(outputs: np.ndarray[Any, Any]) -> str:
    best, second = (int(label) for label in outputs.argsort()[:-3:-1])
    answer = f"a {best}" if outputs[best] > SURE else f"perhaps a {best}"
    return f"{answer} (output {outputs[best]:.2f}; the next is {second} with {outputs[second]:.2f})"


def _sketch(pixels: Bytes) -> str:
    """Return a digit drawn in letters, two to a pixel: on a terminal these are nearly square."""
    shades = np.array(list(SHADES))[pixels.reshape(SIDE, SIDE).astype(int) * len(SHADES) // 256]
    return "\n".join("".join(row).rstrip() for row in shades.repeat(2, axis=1))


def dream(options: argparse.Namespace) -> int:
    """Draw what the network takes for each of the labels."""
    network = load(options.network)
    plots = _plots(options.save)
    labels = sorted(set(options.label or range(LABELS)))
    _keep(plots.dreams(network, labels), options.save)
    if options.json:
        print(json.dumps({"network": str(options.network), "labels": labels, "saved": str(options.save)}))
    else:
        names = ", ".join(map(str, labels))
        print(f"{options.save}: what the network takes for {names}; dark is where it wants ink")
    return OK


def damaged(options: argparse.Namespace) -> int:
    """Test a network again and again, each time without some of its hidden nodes."""
    network = load(options.network)
    hidden = len(network.wih)
    steps = sorted(set(options.remove or (hidden * tenth // 10 for tenth in range(10))))
    if steps[-1] >= hidden:
        raise DataError(f"{options.network}: it has {hidden} hidden nodes; remove at most {hidden - 1} of them")
    plots = _plots(options.save) if options.save else None
    testing = read_csv(options.data / "mnist_test.csv", options.examples)

    bar, scores = Bar("testing"), np.empty((options.seeds, len(steps)))
    for done, (seed, step) in enumerate(np.ndindex(scores.shape), start=1):
        scores[seed, step] = damage(network, steps[step], seed=seed).score(testing)
        bar(done, scores.size)
    means, spreads = scores.mean(axis=0), scores.std(axis=0, ddof=1 if options.seeds > 1 else 0)

    if plots:
        _keep(plots.damage_curve(steps, scores).get_figure(), options.save)
    if options.json:
        rows = [
            {"removed": step, "mean": float(mean), "sd": float(sd), "scores": list(column)}
            for step, mean, sd, column in zip(steps, means, spreads, scores.T.tolist(), strict=True)
        ]
        print(json.dumps({"hidden": hidden, "tested": len(testing), "seeds": options.seeds, "rows": rows}))
        return OK
    print(f"{hidden} hidden nodes, {len(testing)} digits, {options.seeds} choices of the nodes that are removed:\n")
    print("removed   read rightly   standard deviation")
    for step, mean, sd in zip(steps, means, spreads, strict=True):
        print(f"{step:>7} {mean:>14.2%} {sd:>20.2%}")
    return OK


def _plots(path: Path) -> Any:
    """Return mynn.plots, for drawing into a file; a file that is there and is no PNG is left alone: a DataError."""
    try:
        with path.open("rb") as file:
            if file.read(8) != b"\x89PNG\r\n\x1a\n":
                raise DataError(f"{path}: this file is there already and is no PNG picture; name another")
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise DataError(f"{path}: there is no such folder; make it, or name another") from None
    except OSError as error:
        raise _refused(path, error) from error

    import matplotlib  # only now: it takes a Pi Zero seconds

    matplotlib.use("Agg")  # no window
    from mynn import plots

    return plots


def _keep(figure: Figure, path: Path) -> None:
    from mynn.plots import keep  # only now: see `_plots`

    try:
        keep(figure, path, dpi=150)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: the picture cannot be kept here ({(error.strerror or str(error)).lower()}); name another"
    )
