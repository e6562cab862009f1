"""How near the compiled kernel comes to what this processor can do at most: limit.c, on the same digits.

    MNIST_DIR=FOLDER python -m tests.benchmarks.limit [--hidden 50 100 200] [--runs 25]

All take turns in one process, for each set of instructions that this processor has; the least time of each counts. So
the last columns may be compared, even on a busy computer. The limit loads and stores the weights by blocks of eight
examples, as the kernel does, and does nothing else; "one by one" does so for one example after the other.
"""

import argparse
import ctypes
import itertools
import math
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mynn import NeuralNetwork, kernel, mnist_folder, read_csv, scale
from mynn.mnist import PIXELS, Examples

COUNT = 2000  # as many as `fit` gives the kernel at once
LINE = 64  # bytes that come from memory at once
STRIP = 128  # bytes of a row of a strip, as in blocks.c
AHEAD = 4  # limit.c handles so many pixels at once
SETS = {3: ("AVX2", 32, 13), 4: ("AVX-512", 64, 28)}  # by level: bytes of a register, and how many can hold sums
KINDS = {"float64": "double", "float32": "float"}


def limits(folder: Path, level: int, dtype: str, hidden: int, examples: Examples) -> list[Callable[[], None]]:
    """Compile limit.c; return what runs its two functions on all the examples."""
    wide = math.ceil(hidden * np.dtype(dtype).itemsize / LINE) * LINE // np.dtype(dtype).itemsize
    library = compiled(folder / f"limit_{level}_{dtype}_{hidden}.so", level, dtype, wide)
    pixels = np.pad(examples.pixels, ((0, 0), (0, AHEAD)))
    inked = (examples.pixels != 0).sum(axis=1)
    for row, count in zip(pixels, inked, strict=True):
        row[PIXELS : PIXELS + -count % AHEAD] = 1  # a row for padding, as in blocks.c
    foreground = pixels != 0
    ink = (scale(pixels)[foreground] - scale(np.zeros(1, np.uint8))).astype(dtype)
    where = np.nonzero(foreground)[1].astype(np.intc).clip(max=PIXELS)
    inked = foreground.sum(axis=1, dtype=np.intc)
    v, sums = lined_up((PIXELS + 1) * wide, dtype), lined_up(8 * wide, dtype)
    v[:] = np.random.default_rng(1).normal(0, hidden**-0.5, v.shape)

    def run(function: Any) -> None:
        place, *places = (ctypes.c_void_p(array.ctypes.data) for array in (v, where, ink, inked, sums))
        sizes = ctypes.c_long(wide), ctypes.c_long(PIXELS + 1)
        function(place, *sizes, *places[:3], ctypes.c_long(len(inked)), places[3])

    return [partial(run, library.by_blocks), partial(run, library.one_by_one)]


def compiled(library: Path, level: int, dtype: str, wide: int) -> ctypes.CDLL:
    """Return limit.c, compiled for this level, with as large a tile as its registers hold."""
    _, size, registers = SETS[level]
    vectors = wide * np.dtype(dtype).itemsize // size
    tile = max(n for n in range(1, registers + 1) if vectors % n == 0)
    macros = [f"-DREAL={KINDS[dtype]}", f"-DVECTOR={size}", f"-DTILE={tile}", f"-DSTRIP={STRIP // size}"]
    command = ["cc", "-O3", f"-march=x86-64-v{level}", *macros, "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([*command, str(Path(__file__).with_suffix(".c"))], check=True)
    return ctypes.CDLL(str(library))


def lined_up(count: int, dtype: str) -> Any:
    """Return so many numbers, which begin where a line does."""
    room = np.zeros(count * np.dtype(dtype).itemsize + LINE, np.uint8)
    first = -room.ctypes.data % LINE
    return room[first : len(room) - LINE + first].view(dtype)


def ours(level: int, dtype: str, hidden: int, examples: Examples) -> Callable[[], None]:
    """Return what trains a network on all the examples, with the kernel for that level."""
    network = NeuralNetwork(PIXELS, hidden, 10, 0.1, seed=1, dtype=dtype)
    library = ctypes.CDLL(str(Path(kernel.__file__).with_name(f"_kernel_v{level}.so")))

    def one() -> None:
        kernel._library = library
        network.fit(examples)

    return one


def least(ways: list[Callable[[], None]], runs: int) -> list[float]:
    """Return the least seconds of each, which take turns."""
    seconds = [math.inf] * len(ways)
    for _ in range(runs):
        for n, way in enumerate(ways):
            before = time.perf_counter()
            way()
            seconds[n] = min(seconds[n], time.perf_counter() - before)
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[50, 100, 200], metavar="N")
    parser.add_argument("--runs", type=int, default=25, metavar="N")
    options = parser.parse_args()
    examples = read_csv(mnist_folder() / "mnist_train.csv", COUNT)
    print("instructions  numbers  hidden  limit, us  one by one, us  ours, us  ours of the limit")
    levels = range(3, kernel._library.mynn_level() + 1)
    with tempfile.TemporaryDirectory() as folder:
        for level, dtype, hidden in itertools.product(levels, KINDS, options.hidden):
            ways = [*limits(Path(folder), level, dtype, hidden, examples), ours(level, dtype, hidden, examples)]
            most, single, mine = (seconds / COUNT * 1e6 for seconds in least(ways, options.runs))
            print(
                f"{SETS[level][0]:<13} {dtype} {hidden:>7} {most:>10.2f} {single:>15.2f} {mine:>9.2f}"
                f" {most / mine:>18.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
