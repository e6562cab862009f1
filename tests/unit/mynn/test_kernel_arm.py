"""The kernel for a Pi Zero: training by blocks of eight examples (blocks.c), and the compiled code under QEMU."""

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mynn import Examples, NeuralNetwork, kernel, read_csv, targets_for
from mynn.distort import Distortion
from tests.support.networks import difference

SOURCES = Path(kernel.__file__).parent
FLAGS = ["-O3", "-fno-trapping-math"]
COMPILER, RUNNER = "arm-linux-gnueabi-gcc", "qemu-arm"

pytestmark = pytest.mark.skipif(not kernel.READY, reason=f"no compiled kernel: {kernel.STATE}")

# Train on the digits on stdin, or distort them, and write the result to stdout. Arguments: train or distort, two sizes.
PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int mynn_train_double(double *, double *, int, int, int, const unsigned char *, long, const double *, const double *,
                      long, const unsigned char *, double, int);
void mynn_smooth(const int8_t *, const int32_t *, int32_t, long, int32_t *);
void mynn_resample(const uint8_t *, const int32_t *, const int32_t *, const int32_t *, long, uint8_t *);
static void *take(size_t bytes) {
    void *at = malloc(bytes);
    if (fread(at, 1, bytes, stdin) != bytes) exit(3);
    return at;
}
int main(int count, char **words) {
    int n = atoi(words[2]), m = atoi(words[3]);
    if (!strcmp(words[1], "train")) {
        double *wih = take(784 * m * 8), *who = take(10 * m * 8), *table = take(256 * 8);
        unsigned char *pixels = take(784 * n), *labels = take(n);
        if (mynn_train_double(wih, who, 784, m, 10, pixels, 784, 0, table, n, labels, 0.1, 0)) return 1;
        fwrite(wih, 8, 784 * m, stdout);
        fwrite(who, 8, 10 * m, stdout);
    } else {
        int8_t *noise = take(784 * m);
        int32_t *smooth = take(784 * 4), *matrices = take(6 * 4 * n), *which = take(2 * 4 * n);
        uint8_t *pixels = take(784 * n), *to = malloc(784 * n);
        int32_t *fields = malloc(784 * 4 * m);
        mynn_smooth(noise, smooth, 82565, m, fields);
        mynn_resample(pixels, matrices, fields, which, n, to);
        fwrite(to, 1, 784 * n, stdout);
    }
    return count != 4;
}
"""


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv", limit=6000)


@pytest.fixture(scope="module")
def by_blocks(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The kernel, compiled for this computer, but training by blocks as on a Pi Zero."""
    library = tmp_path_factory.mktemp("blocks") / "_kernel.so"
    command = ["cc", *FLAGS, "-DBLOCKS", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", library, SOURCES / "kernel.c", SOURCES / "distort.c"], check=True)
    return ctypes.CDLL(str(library))


@pytest.fixture
def blocks(by_blocks: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(kernel, "_library", by_blocks)
        yield


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("rule, rate", [("book", 0.1), ("gradient", 0.1), ("cross-entropy", 0.02)])
@pytest.mark.parametrize("hidden_nodes", [50, 7])
def test_many_examples_give_the_weights_of_network_py(
    digits: Examples, hidden_nodes: int, rule: str, rate: float
) -> None:
    fast, plain = (NeuralNetwork(784, hidden_nodes, 10, rate, seed=1, rule=rule) for _ in range(2))
    fast.fit(digits)
    for inputs, label in digits:
        plain.train(inputs, targets_for(label))
    assert 0 < difference(fast, plain) < 1e-12
    assert fast.score(digits) > 0.5


def test_blocks_round_differently_from_the_ordinary_kernel(digits: Examples, by_blocks: ctypes.CDLL) -> None:
    """So these tests do not run the ordinary code of kernel.c by mistake."""
    one, other = (NeuralNetwork(784, 50, 10, 0.1, seed=1) for _ in range(2))
    one.fit(digits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_library", by_blocks)
        other.fit(digits)
    assert 0 < difference(one, other) < 1e-12


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-14), (np.float32, 1e-5)])
@pytest.mark.parametrize("sizes", [(784, 50, 10), (9, 1, 1), (1, 3, 2), (17, 9, 256), (8, 4, 4), (2040, 5, 3)])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 40])
@pytest.mark.parametrize("sparse", [True, False])
def test_networks_of_any_size_and_any_number_of_digits(
    sizes: tuple[int, int, int], count: int, sparse: bool, dtype: Any, tolerance: float
) -> None:
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (count, sizes[0] + 1)).astype(np.uint8)
    if sparse:
        pixels[random.random(pixels.shape) < 0.8] = 0
    else:
        pixels[0] = 255
    examples = Examples(random.integers(0, sizes[2], count).astype(np.uint8), pixels[:, 1:])  # as in an .npy
    fast, plain = (NeuralNetwork(*sizes, 0.02, seed=2, dtype=dtype) for _ in range(2))
    fast.fit(examples)
    for inputs, label in examples:
        plain.train(inputs, targets_for(label, sizes[2]))
    assert difference(fast, plain) < tolerance


@pytest.mark.parametrize(
    "table, inputs", [(np.linspace(0.01, 1, 256) ** 2, 784), (np.linspace(0.01, 1, 256), 2041)], ids=["uneven", "many"]
)
def test_inputs_that_do_not_suit_blocks_are_trained_one_by_one(table: Any, inputs: int, by_blocks: ctypes.CDLL) -> None:
    random = np.random.default_rng(4)
    pixels, labels = random.integers(0, 256, (30, inputs), np.uint8), random.integers(0, 10, 30, np.uint8)
    one, other = (NeuralNetwork(inputs, 6, 10, 0.1, seed=1) for _ in range(2))
    kernel.train(one.wih, one.who, 0.1, 0, pixels, labels, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_library", by_blocks)
        kernel.train(other.wih, other.who, 0.1, 0, pixels, labels, table)
    assert difference(one, other) < 1e-13
    plain = NeuralNetwork(inputs, 6, 10, 0.1, seed=1)
    for row, label in zip(table[pixels], labels, strict=True):
        plain.train(row, targets_for(label))
    assert difference(other, plain) < 1e-13


@pytest.fixture(scope="module")
def pi_zero(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs PROGRAM, compiled for a Pi Zero with the flags of setup.py."""
    for program in (COMPILER, RUNNER):
        if not shutil.which(program):
            pytest.skip(f"{program} is missing")
    folder = tmp_path_factory.mktemp("arm")
    (folder / "program.c").write_text(PROGRAM, encoding="utf-8")
    setup = "import setuptools; setuptools.setup = lambda **_: None; import setup; print(*setup.flags())"
    flags = subprocess.run(
        [sys.executable, "-c", setup],
        cwd=SOURCES.parents[1],
        env={"PATH": "/usr/bin", "CC": COMPILER},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    plain = [flag for flag in flags if flag not in ("-shared", "-fPIC")]
    assert "-mfpu=vfp" in plain
    sources = [folder / "program.c", SOURCES / "kernel.c", SOURCES / "distort.c"]
    subprocess.run([COMPILER, *plain, "-static", "-o", folder / "program", *sources], check=True)
    return [RUNNER, "-cpu", "arm1176", str(folder / "program")]


def run(command: list[str], *arrays: Any) -> bytes:
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return subprocess.run(command, input=data, check=True, capture_output=True, timeout=120).stdout


def test_a_pi_zero_reaches_the_same_weights(digits: Examples, pi_zero: list[str]) -> None:
    few, network = digits[:500], NeuralNetwork(784, 50, 10, 0.1, seed=1)
    table = np.arange(256) / 255.0 * 0.99 + 0.01
    weights = np.frombuffer(
        run([*pi_zero, "train", "500", "50"], network.wih, network.who, table, few.pixels, few.labels)
    )
    network.fit(few)
    expected = np.concatenate([network.wih.ravel(), network.who.ravel()])
    assert 0 < np.abs(weights - expected).max() < 1e-13


def test_a_pi_zero_distorts_digits_to_the_same_bytes(digits: Examples, pi_zero: list[str]) -> None:
    from mynn import distort

    random, pixels = np.random.default_rng(5), digits.pixels[:200]
    noise, smoothing = random.integers(-127, 128, (20, 784), np.int8), distort._smoothing(4.0)
    matrices = Distortion()._matrices(200, random)
    which = random.integers(0, 20, (200, 2), np.int32)
    expected = distort._resample(pixels, matrices, distort._smooth(noise, smoothing, 82565), which)
    assert run([*pi_zero, "distort", "200", "20"], noise, smoothing, matrices, which, pixels) == expected.tobytes()
