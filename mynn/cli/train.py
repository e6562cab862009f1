"""`mynn train`, `mynn test` and `mynn read`, the verbs for one network."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mynn import checkpoint, kernel
from mynn.arrays import Bytes, Floats
from mynn.cli.arguments import data_option, hidden, json_option, natural, positive, rate
from mynn.errors import DataError, NetworkFileError
from mynn.mnist import LABELS, PIXELS, SIDE, Examples, named, read_csv, scale
from mynn.network import RULES, NeuralNetwork
from mynn.progress import Bar, peak_mib

OK, UNUSABLE, STOPPED = 0, 2, 130  # exit codes, as in mynn/cli/__init__.py

SURE = 0.5  # an output above this counts as certain
SHADES = " .:-=+*#%@"  # background to foreground


def add(verbs: Any) -> None:
    """Add the verbs to the command's parser."""
    verb = verbs.add_parser(
        "train",
        parents=[data_option()],
        help="train a network and test it",
        description="Train a network on the whole training set, then test it on the whole test set. Ctrl-C ends the "
        "training: what was learnt by then is saved and tested; a second one ends that too.",
    )
    option = verb.add_argument
    option("--hidden", type=hidden, default=50, metavar="N", help="hidden nodes (%(default)s)")
    option("--rate", type=rate, default=0.1, help="learning rate (%(default)s)")
    option("--epochs", type=positive, default=1, metavar="N", help="passes over the training set (%(default)s)")
    option("--rule", choices=RULES, default="book", help="how hidden nodes learn (%(default)s)")
    option("--shuffle", action="store_true", help="take the examples in another order each epoch")
    option("--seed", type=natural, default=0, help="seed of the first weights and of the orders (%(default)s)")
    option("--examples", type=positive, metavar="N", help="train on the first N digits only")
    option("--save", type=Path, metavar="FILE", help="save the network to this file")
    verb.set_defaults(run=_train)

    verb = verbs.add_parser("test", parents=[data_option()], help="test a saved network on the whole test set")
    verb.add_argument("network", type=Path, metavar="FILE", help="what `mynn train --save FILE` wrote")
    verb.set_defaults(run=_test)

    verb = verbs.add_parser(
        "read",
        parents=[json_option()],
        help="say which digits pictures show",
        description="Say which digit each picture shows: a PNG or JPEG, drawn or photographed, one digit in each.",
    )
    verb.add_argument("pictures", nargs="+", metavar="PICTURE")
    trained = "what `mynn train --save FILE` wrote (%(default)s)"
    verb.add_argument("--network", type=Path, default=Path("my_network.npz"), metavar="FILE", help=trained)
    verb.add_argument("--show", action="store_true", help="draw each picture as the network sees it")
    verb.set_defaults(run=_read)


def load_network(path: Path) -> NeuralNetwork:
    """Return the network in a file. Raises NetworkFileError if there is no network that reads digits."""
    if not path.exists():
        raise NetworkFileError(
            f"{path}: there is no such file; train a network with `mynn train --save {path}`, or choose another file"
        )
    network = NeuralNetwork.load(path)
    if (network.wih.shape[1], network.who.shape[0]) != (PIXELS, LABELS):
        raise NetworkFileError(f"{path}: this network does not read digits of 28 x 28; train one that does")
    return network


def _train(options: argparse.Namespace) -> int:
    if options.save:
        checkpoint.check(options.save)  # before the training, which may take an hour
    start = time.perf_counter()
    training = read_csv(options.data / "mnist_train.csv", options.examples)
    testing = read_csv(options.data / "mnist_test.csv")
    read = time.perf_counter()

    # Single precision is as accurate, trains in two thirds of the time, and halves the memory.
    made = {"seed": options.seed, "rule": options.rule, "dtype": np.float32}
    network = NeuralNetwork(PIXELS, options.hidden, LABELS, options.rate, **made)
    done, total = _fitted(network, training, options), options.epochs * len(training)
    trained = time.perf_counter()
    if options.save and done:
        network.save(options.save)
    if done < total:
        kept = f"the network so far is in {options.save}" if options.save else "nothing is saved without --save"
        print(
            f"\nmynn train: stopped after {done} of {total} examples; {kept}. Testing it ...",
            file=sys.stderr,
            flush=True,
        )

    begun = time.perf_counter()
    accuracy = network.score(testing)
    spent = {"reading": read - start, "training": trained - read, "testing": time.perf_counter() - begun}
    seconds = {name: float(f"{time:.3g}") for name, time in spent.items()}
    if options.json:
        facts = {
            **{name: getattr(options, name) for name in ("hidden", "rate", "epochs", "rule", "shuffle", "seed")},
            "examples": len(training),
            "trained": done,
            "tested": len(testing),
            "accuracy": accuracy,
            "seconds": seconds,
            "peak_mib": round(peak_mib(), 1),
            "kernel": kernel.STATE,
            "saved": str(options.save) if options.save and done else None,
        }
        print(json.dumps(facts))
    else:
        after = f"{options.epochs} x {len(training)}" if done == total else f"{done}"
        took = ", ".join(f"{name} {time} s" for name, time in seconds.items())
        print(
            f"{accuracy:.2%} of {len(testing)} digits recognised after {after} examples ({took}; {peak_mib():.0f} MiB)"
        )
    return OK if done == total else STOPPED


def _fitted(network: NeuralNetwork, training: Examples, options: argparse.Namespace) -> int:
    """Train the network and return the number of examples trained on, which Ctrl-C cuts short."""
    bar, done = Bar("training"), 0

    def progress(count: int, total: int) -> None:
        nonlocal done
        done = count
        bar(count, total)

    try:
        network.fit(training, epochs=options.epochs, shuffle=options.shuffle, seed=options.seed, progress=progress)
    except KeyboardInterrupt:
        if not done:
            raise  # nothing to save yet
    return done


def _test(options: argparse.Namespace) -> int:
    network = load_network(options.network)
    confusion = network.confusion(read_csv(options.data / "mnist_test.csv"))
    accuracy = float(confusion.trace() / confusion.sum())
    if options.json:
        print(json.dumps({"accuracy": accuracy, "tested": int(confusion.sum()), "confusion": confusion.tolist()}))
        return 0
    print(f"{accuracy:.2%} of {confusion.sum()} digits recognised. How often each was taken for what:\n")
    print("  is | says" + "".join(f"{answer:>6}" for answer in range(LABELS)))
    for label, row in enumerate(confusion):
        print(f"{label:>4} |     " + "".join(f"{count or '.':>6}" for count in row))
    return 0


def _read(options: argparse.Namespace) -> int:
    """Print the digit in each picture. A file that cannot be used is reported, and the others are still read."""
    network = load_network(options.network)
    from mynn.images import read_image  # late: it loads scipy and Pillow, which takes seconds on a Pi Zero

    code, answers = OK, []
    for path in options.pictures:
        try:
            pixels = read_image(path)
        except DataError as error:
            print(f"mynn read: {error}", file=sys.stderr)
            code = UNUSABLE
            continue
        outputs = network.query(scale(pixels))
        answers.append(
            {"picture": path, "answer": int(outputs.argmax()), "outputs": [round(float(o), 4) for o in outputs]}
        )
        if not options.json:
            print(f"{path}: {_said(outputs)}")
            if options.show:
                print(_sketch(pixels))
    if options.json:
        print(json.dumps({"network": str(options.network), "pictures": answers}))
    return code


def _said(outputs: Floats) -> str:
    best, second = (int(label) for label in outputs.argsort()[:-3:-1])
    answer = named(best) if outputs[best] > SURE else f"perhaps {named(best)}"
    return f"{answer} (output {outputs[best]:.2f}; the next is {second} with {outputs[second]:.2f})"


def _sketch(pixels: Bytes) -> str:
    """Return a digit as ASCII art, two characters per pixel, which are nearly square on a terminal."""
    shades = np.array(list(SHADES))[pixels.reshape(SIDE, SIDE).astype(int) * len(SHADES) // 256]
    return "\n".join("".join(row).rstrip() for row in shades.repeat(2, axis=1))
