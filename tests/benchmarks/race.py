"""How soon networks read 97, 98 and 99 % of the test digits, from the files: ours and others, on one core.

    MNIST_DIR=FOLDER taskset -c 0 python -m tests.benchmarks.race [--seeds 3] [--kann FOLDER] [--only NAME ...]

Each training is a process of its own, with one thread. Seconds are of the processor, for reading the files and
training, but not for testing. They are compared with those of a small convolutional network in PyTorch, in the same
run. All settings were chosen on training digits that were held out (`--held-out 10000`); a training ends where its
recipe says, whatever it reads.

What is not installed is left out, and named: PyTorch and scikit-learn come from `pip install torch scikit-learn`, FANN
from Debian's package libfann-dev, KANN from its sources, in the folder that `--kann` names.
"""

import argparse
import ctypes
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mynn import Examples, NeuralNetwork, mnist_folder, read_csv, targets_for
from mynn.arrays import Bytes, Floats
from mynn.experiments import record
from mynn.experiments.jobs import Digits
from mynn.mnist import LABELS, PIXELS, SIDE
from mynn.network import sigmoid
from tests.benchmarks.training import ONE_THREAD

LEVELS = (0.97, 0.98, 0.99)
RIVAL = "PyTorch, convolutional"

Answer = Callable[[Bytes], Floats]  # pixels, (n, 784), to outputs, (n, 10): the strongest is the answer
Scores = list[tuple[float, float]]  # after so many seconds, what part was read (0..1)
Way = Callable[[Examples, int], Iterator[Answer]]  # training digits and a seed: now and then, how it answers by then


def by_recipe(recipe: record.Recipe) -> Way:
    """Return the way of `mynn experiment`, epoch by epoch."""

    def way(training: Examples, seed: int) -> Iterator[Answer]:
        network, digits = None, Given(training=training)
        for number in range(recipe.epochs):
            network = record._epoch(record.Epoch(recipe, seed, number, network, digits)).network
            yield answers_of(network, recipe)

    return way


def answers_of(network: NeuralNetwork, recipe: record.Recipe | None = None) -> Answer:
    """Return how this network answers."""

    def answer(pixels: Bytes) -> Floats:
        examples = Examples(np.zeros(len(pixels), np.uint8), pixels)
        return network.outputs(recipe.normalised(examples) if recipe else examples)

    return answer


@dataclass(frozen=True)
class Given(Digits):
    """Digits that are in memory already, and none to test on."""

    training: Any = None

    def read(self) -> tuple[Examples, Examples]:
        return self.training, self.training[:0]


def as_in_the_book(training: Examples, seed: int) -> Iterator[Answer]:
    """Train as `mynn train --hidden 200` does."""
    network = NeuralNetwork(PIXELS, 200, LABELS, 0.1, seed=seed, dtype=np.float32)
    for _ in range(5):
        network.fit(training)
        yield answers_of(network)


def by_minibatches(training: Examples, seed: int) -> Iterator[Answer]:
    """Train a network as ours on 32 digits at a time, by numpy's products of matrices."""
    random, network = np.random.default_rng(seed), NeuralNetwork(PIXELS, 300, LABELS, 0.1, seed=seed, dtype=np.float32)
    wih, who, inputs = network.wih, network.who, inked(training.pixels)
    targets = np.eye(LABELS, dtype=np.float32)[training.labels]
    for epoch in range(epochs := 10):
        rate = np.float32(1.0 * (1 - epoch / epochs) / 32)
        for batch in np.split(random.permutation(len(training)), range(32, len(training), 32)):
            hidden = sigmoid(inputs[batch] @ wih.T)  # (32, 784) @ (784, 300) -> (32, 300)
            errors = targets[batch] - sigmoid(hidden @ who.T)  # (32, 10)
            steps = errors @ who * hidden * (1 - hidden)  # (32, 300)
            who += rate * (errors.T @ hidden)
            wih += rate * (steps.T @ inputs[batch])
        yield lambda pixels: network.outputs(inked(pixels))


def inked(pixels: Bytes) -> Floats:
    """Return pixels as the others like them: 0 to 1."""
    return pixels / np.float32(255)


def convolutional(training: Examples, seed: int) -> Iterator[Answer]:
    """Train a small convolutional network in PyTorch."""
    torch = importlib.import_module("torch")
    torch.manual_seed(seed)
    nn = torch.nn
    network = nn.Sequential(
        *(nn.Unflatten(1, (1, SIDE, SIDE)), nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, LABELS)),
    ).to(memory_format=torch.channels_last)  # which is quicker
    yield from by_torch(torch, network, training, epochs=2, rate=0.05)


def perceptron(training: Examples, seed: int) -> Iterator[Answer]:
    """Train a network of three layers in PyTorch."""
    torch = importlib.import_module("torch")
    torch.manual_seed(seed)
    nn = torch.nn
    network = nn.Sequential(nn.Linear(PIXELS, 300), nn.ReLU(), nn.Linear(300, LABELS))
    yield from by_torch(torch, network, training, epochs=10, rate=0.1)


def by_torch(torch: Any, network: Any, training: Examples, *, epochs: int, rate: float) -> Iterator[Answer]:
    """Train a network in PyTorch: momentum, batches of 64, and a rate that first rises and then falls."""
    torch.set_num_threads(1)
    inputs, labels = torch.from_numpy(standardised(training.pixels)), torch.from_numpy(training.labels.astype(np.int64))
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9, nesterov=True)
    total = epochs * math.ceil(len(labels) / 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total, pct_start=0.2, cycle_momentum=False)
    done = 0
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
            done += 1
            if done % 200 == 0 or done == total:
                yield lambda pixels: network(torch.from_numpy(standardised(pixels))).detach().numpy()


def standardised(pixels: Bytes) -> Floats:
    """Return pixels with a mean of 0 and a standard deviation of 1."""
    return (inked(pixels) - np.float32(0.1307)) / np.float32(0.3081)


def by_scikit_learn(training: Examples, seed: int) -> Iterator[Answer]:
    """Train scikit-learn's MLPClassifier."""
    network = importlib.import_module("sklearn.neural_network").MLPClassifier((300,), batch_size=64, random_state=seed)
    inputs = inked(training.pixels)
    for _ in range(10):
        network.partial_fit(inputs, training.labels, classes=range(LABELS))
        yield lambda pixels: network.predict_proba(inked(pixels))


def by_kann(training: Examples, seed: int) -> Iterator[Answer]:
    """Train a network of KANN's."""
    kann = ctypes.CDLL(os.environ["KANN"])
    for name in ("kann_layer_input", "kann_layer_dense", "kad_relu", "kann_layer_cost", "kann_new", "kann_apply1"):
        getattr(kann, name).restype = ctypes.c_void_p
    ctypes.c_int.in_dll(kann, "kann_verbose").value = 0
    kann.kad_srand(None, ctypes.c_uint64(seed))
    layer = pointer(kann.kann_layer_input(PIXELS))
    layer = pointer(kann.kad_relu(pointer(kann.kann_layer_dense(layer, 100))))
    network = pointer(kann.kann_new(pointer(kann.kann_layer_cost(layer, LABELS, 2)), 0))  # 2: softmax
    inputs, targets = inked(training.pixels), np.eye(LABELS, dtype=np.float32)[training.labels]
    rows = [places(inputs), places(targets)]
    for _ in range(10):
        kann.kann_train_fnn1(
            *(network, ctypes.c_float(0.001), 64, 1, 1, ctypes.c_float(0), len(inputs)), *map(place, rows)
        )
        yield lambda pixels: outputs_of(inked(pixels), lambda inputs: kann.kann_apply1(network, inputs))


def by_fann(training: Examples, _: int) -> Iterator[Answer]:
    """Train a network of FANN's, one example at a time. It takes no seed."""
    fann = ctypes.CDLL(find_library("floatfann"))
    fann.fann_create_standard.restype = fann.fann_run.restype = ctypes.c_void_p
    network = pointer(fann.fann_create_standard(3, PIXELS, 100, LABELS))
    fann.fann_set_training_algorithm(network, 0)
    fann.fann_set_learning_rate(network, ctypes.c_float(0.1))
    inputs = inked(training.pixels)
    targets = np.array([targets_for(label) for label in range(LABELS)], np.float32)
    for _ in range(5):
        for row, label in zip(places(inputs).tolist(), training.labels.tolist(), strict=True):
            fann.fann_train(network, pointer(row), place(targets[label]))
        yield lambda pixels: outputs_of(inked(pixels), lambda inputs: fann.fann_run(network, inputs))


def pointer(place: int) -> ctypes.c_void_p:
    """Return what a library in C gave, as it takes it."""
    return ctypes.c_void_p(place)


def place(array: Any) -> ctypes.c_void_p:
    """Return where an array lies."""
    return ctypes.c_void_p(array.ctypes.data)


def places(rows: Floats) -> Any:
    """Return where each row lies, (n,)."""
    return rows.ctypes.data + rows.strides[0] * np.arange(len(rows), dtype=np.uintp)


def outputs_of(inputs: Floats, ask: Callable[[ctypes.c_void_p], int]) -> Floats:
    """Return the outputs, (n, 10), for inputs (n, 784) that are asked about row by row."""
    rows = (ctypes.cast(ask(pointer(row)), ctypes.POINTER(ctypes.c_float)) for row in places(inputs).tolist())
    return np.array([row[:LABELS] for row in rows])


WAYS: dict[str, Way] = {
    RIVAL: convolutional,
    "mynn, sprint": by_recipe(record.SPRINT),
    "mynn, overnight": by_recipe(record.OVERNIGHT),
    "mynn, as in the book": as_in_the_book,
    "minibatches in numpy": by_minibatches,
    "PyTorch, perceptron": perceptron,
    "scikit-learn": by_scikit_learn,
    "KANN": by_kann,
    "FANN": by_fann,
}


def missing(kann: Path | None) -> dict[str, str]:
    """Return what cannot be run, and what it wants."""
    wanted = {name: "pip install torch" for name in WAYS if "PyTorch" in name and not found("torch")}
    if not found("sklearn"):
        wanted["scikit-learn"] = "pip install scikit-learn"
    if not find_library("floatfann"):
        wanted["FANN"] = "Debian's package libfann-dev"
    if kann is None:
        wanted["KANN"] = "--kann FOLDER, with its kann.c and kautodiff.c"
    return wanted


def found(module: str) -> bool:
    """Whether there is such a module."""
    return importlib.util.find_spec(module) is not None


def compiled(kann: Path, folder: str) -> str:
    """Compile KANN; return its library."""
    library = f"{folder}/libkann.so"
    sources = [str(kann / name) for name in ("kann.c", "kautodiff.c")]
    subprocess.run(["cc", "-O3", "-march=native", "-shared", "-fPIC", *sources, "-lm", "-o", library], check=True)
    return library


def one(name: str, seed: int, held_out: int, cap: float) -> Scores:
    """Train one of them in this process: after so many seconds, what part it reads (0..1)."""
    if "PyTorch" in name:
        importlib.import_module("torch")
    if name == "scikit-learn":
        importlib.import_module("sklearn.neural_network")
    seconds, scores, before = 0.0, [], time.process_time()
    training = read_csv(mnist_folder() / "mnist_train.csv")
    if held_out:
        training, testing = training[:-held_out], training[-held_out:]
    else:
        testing = read_csv(mnist_folder() / "mnist_test.csv")
    for answer in WAYS[name](training, seed):
        seconds += time.process_time() - before
        parts = [answer(testing.pixels[first : first + 500]).argmax(axis=1) for first in range(0, len(testing), 500)]
        scores.append((seconds, float((np.concatenate(parts) == testing.labels).mean())))
        if seconds > cap:
            break
        before = time.process_time()
    return scores


def run(name: str, seed: int, more: list[str], environment: dict[str, str]) -> Scores:
    """Return what `one` does, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.race", "--one", name, "--seed", str(seed), *more]
    answer = subprocess.run(
        command, env={**os.environ, **ONE_THREAD, **environment}, check=True, stdout=subprocess.PIPE
    )
    scores: Scores = json.loads(answer.stdout)
    return scores


def reached(scores: Scores, level: float) -> float:
    """Return the seconds to this level; infinite if it was not reached."""
    return min((seconds for seconds, score in scores if score >= level), default=math.inf)


def table(runs: dict[str, list[Scores]]) -> str:
    """Return the lines of the table: means, `-` where one was not enough for a level, and each one's last score."""
    means = {
        name: [float(np.mean([reached(one, level) for one in some])) for level in LEVELS] for name, some in runs.items()
    }
    rival = means[RIVAL][-1] if RIVAL in means else math.nan
    lines = [f"{'':<24}    97 %    98 %    99 %     end  times: 99 %     end     last"]
    for name, some in runs.items():
        end, last = np.mean([one[-1] for one in some], axis=0)
        seconds = "".join(number(one, 8, 1) for one in (*means[name], end))
        times = number(means[name][-1] / rival, 13, 2) + number(end / rival, 8, 2)
        lines.append(f"{name:<24}{seconds}{times}{last:>9.2%}: " + ", ".join(f"{one[-1][1]:.2%}" for one in some))
    return "\n".join(lines)


def number(value: float, wide: int, digits: int) -> str:
    """Return a number as text; what is not finite as a dash."""
    return f"{value:>{wide}.{digits}f}" if math.isfinite(value) else f"{'-':>{wide}}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--seeds", type=int, default=3, metavar="N", help="trainings of each (%(default)s)")
    option("--only", choices=WAYS, nargs="+", default=list(WAYS), metavar="NAME", help="these: " + "; ".join(WAYS))
    option(
        "--held-out", type=int, default=0, metavar="N", help="test on the last N training digits, and leave them out"
    )
    option("--cap", type=float, default=60.0, metavar="S", help="end a training after so many seconds (%(default)s)")
    option("--kann", type=Path, metavar="FOLDER", help="where KANN's sources are")
    option("--one", choices=WAYS, help=argparse.SUPPRESS)
    option("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.seed, options.held_out, options.cap)))
        return
    wanted = missing(options.kann)
    for name in set(options.only) & set(wanted):
        print(f"{name} is left out: it needs {wanted[name]}")
    more = ["--held-out", str(options.held_out), "--cap", str(options.cap)]
    runs: dict[str, list[Scores]] = {name: [] for name in options.only if name not in wanted}
    with tempfile.TemporaryDirectory() as folder:
        environment = {"KANN": compiled(options.kann, folder)} if options.kann else {}
        for seed in range(options.seeds):  # in turn: the computer may be busy now and then
            for name, some in runs.items():
                some.append(run(name, seed, more, environment))
                print(f"seed {seed}, {name}: {some[-1][-1]}", file=sys.stderr, flush=True)
    print(table(runs))


if __name__ == "__main__":
    main()
