"""How many digits a second the page /try/ learns from, beside Python.

    OPENBLAS_NUM_THREADS=1 MNIST_DIR=FOLDER python -m tests.benchmarks.browser [--hidden 50 100 200]

The page's own worker trains in Chromium, with its own files; it tests with one digit only. All ways take turns, with
the same 250 digits each time, in one thread. What counts is the processor's time, since other programs may run: of the
browser, that of its pages' processes. `times` is how many times as many digits as numpy's way.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
from playwright.sync_api import Page

from mynn import Examples, NeuralNetwork, kernel, mnist_folder, read_csv
from mynn.mnist import LABELS, PIXELS
from mynn_server.try_files import FILES
from tests.support.browser import open_browser
from tests.support.try_page import RECORD, serving

DIGITS, RATE = 250, 0.1  # as many as the page's full speed asks for at once
WARM = 10  # turns
BEGIN = """async ([hiddenNodes, learningRate, turned]) => {
  const worker = new Worker("worker.js", { type: "module" });
  const ask = (message) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.trouble ? reject(data.trouble) : resolve());
    worker.postMessage(message);
  });
  await ask({ begin: { hiddenNodes, learningRate, rule: "book", turned }, go: 0 });
  return ask;
}"""
Way = Callable[[], float]  # learns from the digits, and returns the seconds of the processor that it took


@contextmanager
def opened(examples: Examples) -> Iterator[Page]:
    """Open a page beside the worker, which gets these digits."""
    digits = np.column_stack([examples.labels, examples.pixels]).astype(np.uint8).tobytes()
    with tempfile.TemporaryDirectory() as folder:
        data = {name: Path(folder, f"{name}.gz") for name in ("digits.bin", "test.bin")}
        data["digits.bin"].write_bytes(gzip.compress(digits))
        data["test.bin"].write_bytes(gzip.compress(digits[:RECORD]))
        with mock.patch.dict(FILES, data), serving() as url, open_browser(offline=True) as browser:
            browser.pages[0].goto(f"{url}page.css")
            yield browser.pages[0]


def in_python(examples: Examples, hidden: int, compiled: bool) -> Way:
    """Return a way that trains with the compiled kernel, or with numpy alone."""
    network, has_kernel = NeuralNetwork(PIXELS, hidden, LABELS, RATE, seed=1), kernel.READY

    def train() -> float:
        kernel.READY = has_kernel and compiled
        before = time.process_time()
        network.fit(examples)
        seconds, kernel.READY = time.process_time() - before, has_kernel
        return seconds

    return train


def in_browser(page: Page, hidden: int, turned: bool) -> Way:
    """Return a way that trains in the page's worker."""
    ask = page.evaluate_handle(BEGIN, [hidden, RATE, turned])
    processes = [one for one in psutil.Process().children(recursive=True) if "--type=renderer" in one.cmdline()]

    def busy() -> float:
        return sum(float(times.user + times.system) for times in (process.cpu_times() for process in processes))

    def train() -> float:
        before = busy()
        ask.evaluate("(ask, go) => ask({ go })", DIGITS)
        return busy() - before

    return train


def speeds(ways: dict[str, Way], turns: int) -> dict[str, float]:
    """Return how many digits a second each way learns from. The first turns of each are to warm up."""
    seconds = [{name: way() for name, way in ways.items()} for _ in range(WARM + turns)][WARM:]
    return {name: turns * DIGITS / sum(some[name] for some in seconds) for name in ways}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[50, 100, 200], metavar="N", help="hidden nodes")
    parser.add_argument("--turns", type=int, default=100, metavar="N", help="turns of each way (%(default)s)")
    options = parser.parse_args()
    examples = read_csv(mnist_folder() / "mnist_train.csv", DIGITS)
    print("hidden  way                   digits/s   times")
    with opened(examples) as page:
        for hidden in options.hidden:
            ways = {"numpy": in_python(examples, hidden, False), "compiled": in_python(examples, hidden, True)}
            ways |= {"the browser": in_browser(page, hidden, False)}
            ways |= {"the browser, turned": in_browser(page, hidden, True)}
            found = speeds(ways, options.turns)
            for name, speed in found.items():
                print(f"{hidden:>6}  {name:<20} {speed:>9,.0f} {speed / found['numpy']:>7.2f}")


if __name__ == "__main__":
    main()
