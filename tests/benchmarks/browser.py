"""How many digits a second the page /try/ trains with, beside Python.

    MNIST_DIR=FOLDER python -m tests.benchmarks.browser [--examples 10000] [--hidden 50 100 200]

All begin with the same weights and take the same digits in the same order, in one thread. `times` is how many times as
many digits as numpy's way; `difference` is the largest of any weight from it. The best of three runs counts.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
import time
from pathlib import Path
from typing import Any

from mynn import Examples, NeuralNetwork, kernel, mnist_folder, read_csv
from mynn.mnist import LABELS, PIXELS
from tests.support.browser import import_modules, open_browser
from tests.unit.mynn.test_network import difference

RUNS = 3
TRAIN = """async ([file, labels, pixels]) => {
  const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const { Network, scale, targetsFor } = ours;
  const network = await Network.load(bytesOf(file));
  const [wanted, ink] = [bytesOf(labels), bytesOf(pixels)];
  const before = performance.now();
  wanted.forEach((label, index) => {
    network.train(scale(ink.subarray(784 * index, 784 * (index + 1))), targetsFor(label));
  });
  const seconds = (performance.now() - before) / 1000;
  return [seconds, btoa(network.save().reduce((text, byte) => text + String.fromCharCode(byte), ""))];
}"""


def encoded(content: bytes) -> str:
    """Return bytes as the browser gets them."""
    return base64.b64encode(content).decode()


def in_python(examples: Examples, hidden: int, compiled: bool) -> tuple[float, NeuralNetwork]:
    """Return the seconds, and the network."""
    kernel.READY, ready = kernel.READY and compiled, kernel.READY
    network = NeuralNetwork(PIXELS, hidden, LABELS, 0.1, seed=1)
    before = time.perf_counter()
    network.fit(examples)
    seconds, kernel.READY = time.perf_counter() - before, ready
    return seconds, network


def in_browser(page: Any, examples: Examples, hidden: int, path: Path) -> tuple[float, NeuralNetwork]:
    """Return the seconds, and the network."""
    NeuralNetwork(PIXELS, hidden, LABELS, 0.1, seed=1).save(path)
    given = [path.read_bytes(), examples.labels.tobytes(), examples.pixels.tobytes()]
    seconds, file = page.evaluate(TRAIN, [encoded(one) for one in given])
    path.write_bytes(base64.b64decode(file))
    return seconds, NeuralNetwork.load(path)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=10_000, metavar="N", help="train on so many (%(default)s)")
    parser.add_argument("--hidden", type=int, nargs="+", default=[50, 100, 200], metavar="N")
    options = parser.parse_args()
    examples = read_csv(mnist_folder() / "mnist_train.csv", options.examples)
    print("hidden  way           digits/s   times  difference")
    with open_browser(offline=True) as browser, tempfile.TemporaryDirectory() as folder:
        page, path = browser.pages[0], Path(folder, "network.npz")
        import_modules(page, "network.js")
        for hidden in options.hidden:
            numpy = min((in_python(examples, hidden, False) for _ in range(RUNS)), key=lambda run: run[0])
            compiled = min((in_python(examples, hidden, True) for _ in range(RUNS)), key=lambda run: run[0])
            browsers = min((in_browser(page, examples, hidden, path) for _ in range(RUNS)), key=lambda run: run[0])
            for way, (seconds, network) in {"numpy": numpy, "compiled": compiled, "the browser": browsers}.items():
                speed, times = len(examples) / seconds, numpy[0] / seconds
                print(f"{hidden:>6}  {way:<12} {speed:>9,.0f} {times:>7.2f}  {difference(network, numpy[1]):.1e}")


if __name__ == "__main__":
    main()
