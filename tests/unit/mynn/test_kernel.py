"""The compiled kernel gives the same results as network.py: here, by blocks as on a Pi Zero, and on an emulated one."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mynn import Examples, NeuralNetwork, kernel, read_csv, scale, targets_for
from mynn.distort import Distortion
from mynn.network import RULES
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
        int32_t *fields = take(784 * 4 * m), *matrices = take(6 * 4 * n), *which = take(2 * 4 * n);
        uint8_t *pixels = take(784 * n), *to = malloc(784 * n);
        mynn_resample(pixels, matrices, fields, which, n, to);
        fwrite(to, 1, 784 * n, stdout);
    }
    return count != 4;
}
"""


@pytest.fixture(scope="module")
def training(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv")


@pytest.fixture(scope="module")
def testing(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_test.csv")


@pytest.fixture(scope="module", params=["as here", "by blocks"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The kernel as it is, and compiled for this computer, but training by blocks as on a Pi Zero."""
    if request.param == "as here":
        yield
        return
    name = tmp_path_factory.mktemp("blocks") / "_kernel.so"
    command = ["cc", *FLAGS, "-DBLOCKS", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", name, SOURCES / "kernel.c", SOURCES / "distort.c"], check=True)
    ordinary, probe = trained_once(), None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_library", ctypes.CDLL(str(name)))
        probe = trained_once()
        assert 0 < difference(ordinary, probe) < 1e-12, "blocks round otherwise: this is not the ordinary code"
        yield


def trained_once() -> NeuralNetwork:
    random = np.random.default_rng(5)
    network = NeuralNetwork(784, 50, 10, 0.1, seed=1)
    network.fit(Examples(random.integers(0, 10, 100, np.uint8), random.integers(0, 256, (100, 784), np.uint8)))
    return network


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("rule, rate", [("book", 0.1), ("gradient", 0.1), ("cross-entropy", 0.02)])
def test_many_digits_give_the_weights_of_network_py(
    training: Examples, testing: Examples, rule: str, rate: float
) -> None:
    """With cross-entropy at a rate of 0.1, a full epoch's difference is 1.6e-12."""
    fast, plain = (NeuralNetwork(784, 50, 10, rate, seed=1, rule=rule) for _ in range(2))
    fast.fit(training[:6000])
    for inputs, label in training[:6000]:
        plain.train(inputs, targets_for(label))
    assert 0 < difference(fast, plain) < 1e-12
    answers = [int(np.argmax(plain.query(inputs))) for inputs, _ in testing[:1000]]
    assert fast.predict(testing[:1000]).tolist() == answers
    assert fast.score(testing) > 0.75


@pytest.mark.usefixtures("library")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.tuples(
        st.sampled_from([1, 2, 7, 8, 9, 17, 784, 2040, 2041]), st.integers(1, 70), st.sampled_from([1, 2, 10, 256])
    ),
    count=st.integers(1, 40),
    kind=st.sampled_from(["paper", "dense", "strided", "inputs"]),
    rule=st.sampled_from(RULES),
    dtype=st.sampled_from([np.float64, np.float32]),
    seed=st.integers(0, 1000),
)
def test_networks_of_any_size_and_all_kinds_of_examples(
    sizes: tuple[int, int, int], count: int, kind: str, rule: str, dtype: Any, seed: int
) -> None:
    """Pixels that are mostly background or have none, or lie apart; and inputs, some of them zero or negative."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 256, (count, 2 * sizes[0] + 1)).astype(np.uint8)
    rows = rows[::-1, 1::2] if kind == "strided" else rows[:, 1 : sizes[0] + 1]  # as in an .npy, behind a label
    if kind == "paper":
        rows[random.random(rows.shape) < 0.8] = 0
    inputs = random.choice([0.01, 0.0, -1.0, 0.5], rows.shape) if kind == "inputs" else scale(rows)
    labels = random.integers(0, sizes[2], count)
    fast, plain = (NeuralNetwork(*sizes, 0.02, seed=2, rule=rule, dtype=dtype) for _ in range(2))
    pairs = list(zip(inputs, labels.tolist(), strict=True))
    fast.fit(pairs if kind == "inputs" else Examples(labels.astype(np.uint8), rows))
    for signals, label in pairs:
        plain.train(signals, targets_for(label, sizes[2]))
    tolerance = 1e-13 if dtype == np.float64 else 1e-4
    assert difference(fast, plain) < tolerance
    outputs = np.array([plain.query(signals) for signals in inputs])
    assert np.abs(fast.outputs(pairs) - outputs).max() < tolerance


@pytest.mark.usefixtures("library")
def test_inputs_that_are_unevenly_spaced_train_as_well() -> None:
    random, table = np.random.default_rng(4), np.linspace(0.01, 1, 256) ** 2
    pixels, labels = random.integers(0, 256, (30, 784), np.uint8), random.integers(0, 10, 30, np.uint8)
    fast, plain = (NeuralNetwork(784, 6, 10, 0.1, seed=1) for _ in range(2))
    kernel.train(fast.wih, fast.who, 0.1, "book", pixels, labels, table)
    for row, label in zip(table[pixels], labels, strict=True):
        plain.train(row, targets_for(label))
    assert difference(fast, plain) < 1e-13


@settings(deadline=None)
@given(total=st.floats(-1e30, 1e30) | st.floats(-800, 800) | st.floats(-40, 40), dtype=st.sampled_from([8, 4]))
def test_the_sigmoid_is_accurate_for_sums_of_any_size(total: float, dtype: int) -> None:
    """With one input, one hidden node and one output, a training step reveals the hidden node's signal."""
    network = NeuralNetwork(1, 1, 1, 1.0, seed=1, rule="cross-entropy", dtype=f"f{dtype}")
    network.wih[:], network.who[:] = total, 0.0
    network.fit([([1.0], 0)])  # the output is 0.5, so who changes by 0.49 times the signal
    signal, total = network.who.item() / 0.49, np.float64(np.dtype(f"f{dtype}").type(total))
    with np.errstate(over="ignore"):
        assert signal == pytest.approx(1 / (1 + np.exp(-total)), rel=1e-15 if dtype == 8 else 1e-6, abs=1e-34)


def test_nan_spreads_as_in_network_py() -> None:
    fast, plain = (NeuralNetwork(4, 3, 5, 0.1, seed=1) for _ in range(2))
    example: tuple[list[float], int] = ([0.1, 0.2, 0.3, 0.4], 2)
    for network in (fast, plain):
        network.wih[1, 2] = np.nan
    assert fast.predict([example]).tolist() == [plain.query(example[0]).argmax()]
    fast.fit([example])
    plain.train(example[0], targets_for(2, 5))
    assert (np.isnan(fast.wih) == np.isnan(plain.wih)).all() and np.isnan(fast.who).all()


def test_arrays_that_do_not_fit_are_refused() -> None:
    wih, who, table = np.zeros((3, 4)), np.zeros((2, 3)), np.zeros(256)
    rows, labels = np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8)
    kernel.train(wih, who, 0.1, "book", rows, labels, table)
    bad: list[tuple[Any, ...]] = [
        (wih, who, rows[:, :3], labels, table),
        (wih, who, rows[0], labels, table),
        (wih, who, rows, labels[:4], table),
        (wih, who, rows, labels + np.uint8(2), table),
        (wih, who, rows, labels.astype(int) - 1, table),
        (wih, who, rows, labels, table[:255]),
        (wih, np.zeros((2, 4)), rows, labels, table),
        (wih, who.astype(np.float32), rows, labels, table),
        (wih[:, ::2], who, rows[:, :2], labels, table),
        (wih.astype(int), who.astype(int), rows, labels, table),
        (np.zeros((0, 4)), np.zeros((2, 0)), rows, labels, table),
    ]
    for bad_wih, bad_who, bad_rows, bad_labels, bad_table in bad:
        with pytest.raises(ValueError):
            kernel.train(bad_wih, bad_who, 0.1, "book", bad_rows, bad_labels, bad_table)
    read_only = np.zeros((3, 4))
    read_only.flags.writeable = False
    assert kernel.fits(wih, who) and not kernel.fits(read_only, who)


def test_the_kernel_can_be_switched_off() -> None:
    command = [sys.executable, "-c", "from mynn import kernel; print(kernel.READY, kernel.STATE)"]
    run = subprocess.run(command, env={**os.environ, "MYNN_KERNEL": "off"}, stdout=subprocess.PIPE, text=True)
    assert run.stdout == "False numpy (MYNN_KERNEL is off)\n"


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


def test_a_pi_zero_reaches_the_same_weights_and_distorts_to_the_same_bytes(
    training: Examples, pi_zero: list[str]
) -> None:
    def run(*words: str, given: list[Any]) -> bytes:
        data = b"".join(np.ascontiguousarray(array).tobytes() for array in given)
        return subprocess.run([*pi_zero, *words], input=data, check=True, capture_output=True, timeout=120).stdout

    few, network = training[:500], NeuralNetwork(784, 50, 10, 0.1, seed=1)
    table = np.arange(256) / 255.0 * 0.99 + 0.01
    arrays = [network.wih, network.who, table, few.pixels, few.labels]
    weights = np.frombuffer(run("train", "500", "50", given=arrays))
    network.fit(few)
    expected = np.concatenate([network.wih.ravel(), network.who.ravel()])
    assert 0 < np.abs(weights - expected).max() < 1e-13

    random, pixels, distortion = np.random.default_rng(5), few.pixels[:200], Distortion()
    matrices, fields = distortion._matrices(200, random), distortion._fields(20, random)
    which = random.integers(0, 20, (200, 2), np.int32)
    distorted = run("distort", "200", "20", given=[fields, matrices, which, pixels])
    assert distorted == kernel.resample(pixels, matrices, fields, which).tobytes()
