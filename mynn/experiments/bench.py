"""How long each way takes to train on one example: the book's own loop, ours, and other people's libraries.

Every row of the table is a process of its own, with one thread, so that its peak of memory is its own. All start from
the same weights and take the same examples in the same order, so that their weights can be compared afterwards.

The book's loop is written out here and shares nothing with network.py. Its arrays have two dimensions, all of a step
is one expression, and (as in the book) a line of the file becomes numbers only when its turn comes.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mynn import kernel
from mynn.arrays import Floats
from mynn.errors import DataError
from mynn.mnist import LABELS, PIXELS, Examples, read_csv, targets_for
from mynn.network import NeuralNetwork
from mynn.progress import peak_mib

RATE = 0.1

_RUNS, _ENOUGH = 3, 5.0  # the median of three runs, unless they have taken so many seconds by then
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}

Seconds = float


@dataclass(frozen=True)
class Row:
    """One way's result: `difference` is the largest of any weight from the book's loop, None if there is none."""

    way: str
    hidden_nodes: int
    microseconds: float
    peak_mib: float
    difference: float | None


class Book:
    """The book's network: nothing but numpy's products, on columns."""

    def __init__(self, wih: Floats, who: Floats) -> None:
        self.wih, self.who = wih.copy(), who.copy()

    def train(self, inputs_list: Any, targets_list: Any) -> None:
        """Learn from one example."""
        inputs = np.array(inputs_list, ndmin=2).T
        targets = np.array(targets_list, ndmin=2).T
        hidden = 1 / (1 + np.exp(-np.dot(self.wih, inputs)))
        outputs = 1 / (1 + np.exp(-np.dot(self.who, hidden)))
        errors = targets - outputs
        hidden_errors = np.dot(self.who.T, errors)
        self.who += RATE * np.dot(errors * outputs * (1.0 - outputs), hidden.T)
        self.wih += RATE * np.dot(hidden_errors * hidden * (1.0 - hidden), inputs.T)


class Work:
    """What every way is given: the file, how many of its examples, and the weights to start from."""

    def __init__(self, path: Path, count: int, hidden_nodes: int) -> None:
        self.path, self.count, self.hidden_nodes = path, count, hidden_nodes

    def network(self, **options: Any) -> NeuralNetwork:
        """Return the network that has the weights to start from."""
        return NeuralNetwork(PIXELS, self.hidden_nodes, LABELS, RATE, seed=1, **options)

    def examples(self) -> Examples:
        """Return the examples."""
        return read_csv(self.path, self.count)


Result = tuple[Seconds, Floats | None, Floats | None]  # of all examples together; wih, who


def book_with_text(work: Work) -> Iterator[Result]:
    """Give the times of the book's real loop: the text of the whole file in memory, parsed line by line."""
    with work.path.open(encoding="ascii") as file:
        lines = file.readlines()
    start = work.network()
    while True:
        book = Book(start.wih, start.who)
        before = time.process_time()
        for line in lines[: work.count]:
            fields = line.split(",")
            inputs = np.array(fields[1:], dtype=float) / 255.0 * 0.99 + 0.01
            targets = np.zeros(LABELS) + 0.01
            targets[int(fields[0])] = 0.99
            book.train(inputs, targets)
        yield time.process_time() - before, book.wih, book.who


def book_with_inputs(work: Work) -> Iterator[Result]:
    """Give the times of the book's loop alone: its inputs and targets are ready."""
    examples, start = work.examples(), work.network()
    while True:
        book, seconds = Book(start.wih, start.who), 0.0
        for first in range(0, len(examples), 500):  # all at once would not fit a Pi Zero
            ready = [(inputs, targets_for(label)) for inputs, label in examples[first : first + 500]]
            before = time.process_time()
            for inputs, targets in ready:
                book.train(inputs, targets)
            seconds += time.process_time() - before
        yield seconds, book.wih, book.who


def mynn_with(**options: Any) -> Callable[[Work], Iterator[Result]]:
    """Return the way of `fit`; whether it is compiled is for MYNN_KERNEL to say."""

    def way(work: Work) -> Iterator[Result]:
        examples = work.examples()
        while True:
            network = work.network(**options)
            before = time.process_time()
            network.fit(examples)
            yield time.process_time() - before, network.wih, network.who

    return way


def scikit_learn(work: Work) -> Iterator[Result]:
    """Give the times of MLPClassifier; its outputs compete (softmax) and have biases, so its weights are others."""
    from sklearn.neural_network import MLPClassifier

    examples = work.examples()
    inputs = np.array([inputs for inputs, _ in examples[:1000]])
    labels = examples.labels[:1000]
    while True:
        before, done = time.process_time(), 0
        network = MLPClassifier(
            (work.hidden_nodes,),
            activation="logistic",
            solver="sgd",
            batch_size=1,
            learning_rate_init=RATE,
            momentum=0.0,
            alpha=0.0,
            shuffle=False,
            random_state=1,
        )
        while done < min(work.count, 5000):
            network.partial_fit(inputs, labels, classes=range(LABELS))
            done += len(inputs)
        yield (time.process_time() - before) / done * work.count, None, None


def pytorch(work: Work) -> Iterator[Result]:
    """Give the times of a plain PyTorch loop, whose automatic gradient must come to what our gradient rule does."""
    import torch

    torch.set_num_threads(1)
    examples, start = work.examples()[:5000], work.network(rule="gradient")
    while True:
        wih, who = (torch.tensor(weights.T.copy(), requires_grad=True) for weights in (start.wih, start.who))
        descent, seconds = torch.optim.SGD([wih, who], lr=RATE), 0.0
        for inputs, label in examples:
            given, targets = torch.from_numpy(inputs), torch.from_numpy(targets_for(label))
            before = time.process_time()
            descent.zero_grad()
            outputs = torch.sigmoid(torch.sigmoid(given @ wih) @ who)
            loss = 0.5 * ((targets - outputs) ** 2).sum()
            loss.backward()
            descent.step()
            seconds += time.process_time() - before
        ours = work.network(rule="gradient")
        ours.fit(examples)
        difference = float(np.abs(wih.detach().numpy().T - ours.wih).max())
        if difference > 1e-9:
            raise SystemExit(f"PyTorch's gradient is not ours: the weights differ by {difference}")
        yield seconds / len(examples) * work.count, None, None


# The book's loop in C, as anybody would write it: each weight is visited, background or not.
C_LOOP = """
#include <math.h>
void train(double *wih, double *who, int inputs, int hidden, int outputs, const unsigned char *pixels, long apart,
           const unsigned char *labels, long count, double rate) {
    double x[inputs], h[hidden], back[hidden];
    for (long n = 0; n < count; n++) {
        for (int i = 0; i < inputs; i++) x[i] = pixels[n * apart + i] / 255.0 * 0.99 + 0.01;
        for (int j = 0; j < hidden; j++) {
            double sum = 0;
            for (int i = 0; i < inputs; i++) sum += wih[j * inputs + i] * x[i];
            h[j] = 1 / (1 + exp(-sum));
            back[j] = 0;
        }
        for (int k = 0; k < outputs; k++) {
            double sum = 0, *row = who + k * hidden;
            for (int j = 0; j < hidden; j++) sum += row[j] * h[j];
            double output = 1 / (1 + exp(-sum)), error = (k == labels[n] ? 0.99 : 0.01) - output;
            double step = rate * error * output * (1 - output);
            for (int j = 0; j < hidden; j++) back[j] += row[j] * error;
            for (int j = 0; j < hidden; j++) row[j] += step * h[j];
        }
        for (int j = 0; j < hidden; j++) {
            double step = rate * back[j] * h[j] * (1 - h[j]);
            for (int i = 0; i < inputs; i++) wih[j * inputs + i] += step * x[i];
        }
    }
}
"""


def loop_in_c(work: Work) -> Iterator[Result]:
    """Give the times of the book's loop in C, compiled here, for this very processor."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "loop.so")
        flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", "-x", "c", "-o", str(library), "-", "-lm"]
        subprocess.run(["cc", *flags], input=C_LOOP, text=True, check=True)
        train = ctypes.CDLL(str(library)).train
    examples, place = work.examples(), ctypes.c_void_p
    pixels, labels = np.array(examples.pixels), np.array(examples.labels)
    while True:
        start = work.network()
        before = time.process_time()
        train(
            *(place(start.wih.ctypes.data), place(start.who.ctypes.data), PIXELS, work.hidden_nodes, LABELS),
            *(place(pixels.ctypes.data), ctypes.c_long(PIXELS), place(labels.ctypes.data)),
            *(ctypes.c_long(len(labels)), ctypes.c_double(RATE)),
        )
        yield time.process_time() - before, start.wih, start.who


def _libfann() -> ctypes.CDLL | None:
    with suppress(OSError):
        return ctypes.CDLL("libdoublefann.so.2")  # Debian's libfann2
    return None


def fann(work: Work) -> Iterator[Result]:
    """Give the times of FANN, one example at a time; its layers have biases, so its weights are others."""
    library = _libfann()
    if not library:
        raise SystemExit("there is no libdoublefann.so.2; install Debian's libfann2")
    library.fann_create_standard_array.restype = ctypes.c_void_p
    layers = (ctypes.c_uint * 3)(PIXELS, work.hidden_nodes, LABELS)
    network = ctypes.c_void_p(library.fann_create_standard_array(3, layers))
    sigmoid, one_by_one, squared = 3, 0, 0  # fann_data.h's numbers
    library.fann_set_activation_function_hidden(network, sigmoid)
    library.fann_set_activation_function_output(network, sigmoid)
    library.fann_set_training_algorithm(network, one_by_one)
    library.fann_set_train_error_function(network, squared)
    library.fann_set_learning_rate(network, ctypes.c_float(RATE))
    examples = work.examples()[:1000]
    inputs = np.array([inputs for inputs, _ in examples])
    targets = np.array([targets_for(label) for label in examples.labels])
    pairs = [tuple(ctypes.c_void_p(row.ctypes.data) for row in pair) for pair in zip(inputs, targets, strict=True)]
    while True:
        before, done = time.process_time(), 0
        while done < min(work.count, 5000):
            for pair in pairs:
                library.fann_train(network, *pair)
            done += len(pairs)
        yield (time.process_time() - before) / done * work.count, None, None


WAYS: dict[str, Callable[[Work], Iterator[Result]]] = {
    "the book's loop": book_with_text,
    "the book's loop, inputs parsed": book_with_inputs,
    "mynn, numpy": mynn_with(),
    "mynn, compiled": mynn_with(),
    "mynn, compiled, float32": mynn_with(dtype=np.float32),
    "a plain loop in C": loop_in_c,
    "FANN, one by one": fann,
    "scikit-learn, batches of 1": scikit_learn,
    "PyTorch, one by one": pytorch,
}
REAL, PARSED, COMPILED = "the book's loop", "the book's loop, inputs parsed", "mynn, compiled"


def ways() -> list[str]:
    """Return the names of the ways that this computer has."""
    missing = {
        "scikit": importlib.util.find_spec("sklearn") is None,
        "PyTorch": importlib.util.find_spec("torch") is None,
        "compiled": not kernel.READY,
        "loop in C": shutil.which("cc") is None,
        "FANN": _libfann() is None,
    }
    return [way for way in WAYS if not any(word in way for word, gone in missing.items() if gone)]


def bench(data: Path, count: int, hidden_nodes: tuple[int, ...], say: Callable[[str], None]) -> list[Row]:
    """Measure each way with each number of hidden nodes; `say` is called with a line for each.

    data is the folder of the CSVs, count how many of the training digits to take.
    """
    path, rows = data / "mnist_train.csv", []
    if len(read_csv(path, count)) < count:
        raise DataError(f"{path}: it has not the {count} digits that are needed; fetch it again")
    with tempfile.TemporaryDirectory() as folder:
        for hidden in hidden_nodes:
            weights = {way: Path(folder, f"{hidden}-{number}.npz") for number, way in enumerate(ways())}
            measured = {}
            for way, file in weights.items():
                say(f"{way}, {hidden} hidden nodes")
                measured[way] = _in_a_process(way, hidden, count, path, file)
            for way, file in weights.items():
                rows.append(Row(way, hidden, *measured[way], _difference(file, weights[PARSED])))
    return rows


def _in_a_process(way: str, hidden: int, count: int, path: Path, weights: Path) -> tuple[float, float]:
    environment = {**os.environ, **_ONE_THREAD, "MYNN_KERNEL": "off" if way == "mynn, numpy" else "on"}
    command = [sys.executable, "-m", "mynn.experiments.bench", way, str(hidden), str(count), str(path), str(weights)]
    run = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if run.returncode:
        raise DataError(f"{way}: it failed ({(run.stderr.splitlines() or ['without a word'])[-1]})")
    microseconds, peak = json.loads(run.stdout)
    return microseconds, peak


def _difference(one: Path, other: Path) -> float | None:
    if not one.exists():
        return None
    with np.load(one) as ours, np.load(other) as theirs:
        return max(float(np.abs(ours[name] - theirs[name]).max()) for name in ("wih", "who"))


def table(rows: list[Row]) -> str:
    """Return the rows as lines of text, with how many times as quick as the book's loops they are."""
    lines = [
        f"One thread of {platform.machine()}, numpy {np.__version__}, the kernel: {kernel.STATE}.",
        "Times are of the processor, for one example; 'quicker' is than the book's loop, and than it without parsing.",
        "",
        f"{'hidden':>6}  {'way':<31} {'us':>9} {'quicker':>8} {'and':>7} {'peak MiB':>9}  largest difference",
    ]
    times = {(row.way, row.hidden_nodes): row.microseconds for row in rows}
    for row in rows:
        quicker = [times[way, row.hidden_nodes] / row.microseconds for way in (REAL, PARSED)]
        difference = "" if row.difference is None else f"{row.difference:.1e}"
        lines.append(
            f"{row.hidden_nodes:>6}  {row.way:<31} {row.microseconds:>9.2f} {quicker[0]:>8.1f} {quicker[1]:>7.1f} "
            f"{row.peak_mib:>9.0f}  {difference:>18}"
        )
    return "\n".join(lines)


def _main() -> None:
    """Be one row's process."""
    way, hidden, count, path, weights = sys.argv[1:]
    runs: list[Result] = []
    for run in WAYS[way](Work(Path(path), int(count), int(hidden))):
        runs.append(run)
        if len(runs) == _RUNS or sum(seconds for seconds, *_ in runs) > _ENOUGH:
            break
    peak = peak_mib()
    _, wih, who = runs[-1]
    if wih is not None and who is not None:
        np.savez(weights, wih=wih, who=who)
    print(json.dumps([float(np.median([seconds for seconds, *_ in runs])) / int(count) * 1e6, peak]))


if __name__ == "__main__":
    _main()
