"""How long one example takes: the book's own loop, and ours.

    MNIST_DIR=FOLDER python -m tests.benchmarks.training [--examples 60000] [--hidden 50 100 200]

Every row of the table is a process of its own, with one thread, so that its peak of memory is its own. All start from
the same weights and take the same examples in the same order; `difference` is the largest of any weight from the book's
loop.

The book's loop is written out here and shares nothing with network.py. As in the book, a line of the file becomes
numbers only when its turn comes. This file needs nothing but mynn, so that board.py can run it on a board.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mynn import NeuralNetwork, mnist_folder, read_csv, targets_for
from mynn.mnist import LABELS, PIXELS
from mynn.progress import peak_mib

RATE = 0.1
RUNS, ENOUGH = 3, 5.0  # the median of three runs, unless they have taken so many seconds by then
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}

# The seconds of the processor that all examples took, and the weights.
Result = tuple[float, tuple[Any, Any]]
Way = Callable[[Path, int, int], Result]  # given the CSV, how many of its examples, and how many hidden nodes


def fresh(hidden: int, **options: Any) -> NeuralNetwork:
    """Return the network that all ways begin with."""
    return NeuralNetwork(PIXELS, hidden, LABELS, RATE, seed=1, **options)


def book_step(wih: Any, who: Any, inputs_list: Any, targets_list: Any) -> None:
    """Learn from one example, with nothing but numpy's products of columns."""
    inputs = np.array(inputs_list, ndmin=2).T
    targets = np.array(targets_list, ndmin=2).T
    hidden = 1 / (1 + np.exp(-np.dot(wih, inputs)))
    outputs = 1 / (1 + np.exp(-np.dot(who, hidden)))
    errors = targets - outputs
    hidden_errors = np.dot(who.T, errors)
    who += RATE * np.dot(errors * outputs * (1.0 - outputs), hidden.T)
    wih += RATE * np.dot(hidden_errors * hidden * (1.0 - hidden), inputs.T)


def book_with_text(path: Path, count: int, hidden: int) -> Result:
    """Run the book's real loop: the text of the whole file in memory, parsed line by line."""
    network = fresh(hidden)
    with path.open(encoding="ascii") as file:
        lines = file.readlines()
    before = time.process_time()
    for line in lines[:count]:
        fields = line.split(",")
        inputs = np.array(fields[1:], dtype=float) / 255.0 * 0.99 + 0.01
        targets = np.zeros(LABELS) + 0.01
        targets[int(fields[0])] = 0.99
        book_step(network.wih, network.who, inputs, targets)
    return time.process_time() - before, (network.wih, network.who)


def book_with_inputs(path: Path, count: int, hidden: int) -> Result:
    """Run the book's loop alone: its inputs and targets are ready."""
    examples, network, seconds = read_csv(path, count), fresh(hidden), 0.0
    for first in range(0, count, 500):  # all at once would not fit a Pi Zero
        ready = [(inputs, targets_for(label)) for inputs, label in examples[first : first + 500]]
        before = time.process_time()
        for inputs, targets in ready:
            book_step(network.wih, network.who, inputs, targets)
        seconds += time.process_time() - before
    return seconds, (network.wih, network.who)


def mynn_with(**options: Any) -> Way:
    """Return the way of `fit`; whether it is compiled is for MYNN_KERNEL to say."""

    def way(path: Path, count: int, hidden: int) -> Result:
        examples, network = read_csv(path, count), fresh(hidden, **options)
        before = time.process_time()
        network.fit(examples)
        return time.process_time() - before, (network.wih, network.who)

    return way


WAYS: dict[str, Way] = {
    "the book's loop": book_with_text,
    "the book's loop, inputs parsed": book_with_inputs,
    "mynn, numpy": mynn_with(),
    "mynn, compiled": mynn_with(),
    "mynn, compiled, float32": mynn_with(dtype=np.float32),
}
PARSED = "the book's loop, inputs parsed"


def one_way(way: str, path: Path, count: int, hidden: int) -> dict[str, Any]:
    """Return a row of the table, measured in this process."""
    times: list[float] = []
    while len(times) < RUNS and sum(times) < ENOUGH:
        seconds, weights = WAYS[way](path, count, hidden)
        times.append(seconds)
    peak = peak_mib()
    _, expected = book_with_inputs(path, count, hidden)
    difference = max(float(np.abs(one - other).max()) for one, other in zip(weights, expected, strict=True))
    microseconds = float(np.median(times)) / count * 1e6
    return {"way": way, "hidden": hidden, "us": microseconds, "peak": peak, "difference": difference}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=60_000, metavar="N", help="train on so many (%(default)s)")
    parser.add_argument("--hidden", type=int, nargs="+", default=[50, 100, 200], metavar="N")
    parser.add_argument("--way", choices=WAYS, help="measure this one only, in this process, and print it as JSON")
    options = parser.parse_args()
    if options.way:
        path = mnist_folder() / "mnist_train.csv"
        print(json.dumps(one_way(options.way, path, options.examples, options.hidden[0])))
        return
    print("hidden  way                                    us  quicker  peak MiB  difference")
    for hidden in options.hidden:
        parsed = 0.0
        for way in sorted(WAYS, key=lambda way: way != PARSED):
            environment = {**os.environ, **ONE_THREAD, "MYNN_KERNEL": "off" if way == "mynn, numpy" else "on"}
            words = ["--way", way, "--examples", str(options.examples), "--hidden", str(hidden)]
            command = [sys.executable, "-m", "tests.benchmarks.training", *words]
            run = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(run.stdout)
            parsed = parsed or row["us"]
            print(
                f"{hidden:>6}  {way:<31} {row['us']:>9.2f} {parsed / row['us']:>8.1f} {row['peak']:>9.0f}"
                f"  {row['difference']:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
