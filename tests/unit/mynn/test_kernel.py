"""The compiled kernel gives the same results as network.py: here, with a Pi Zero's code, and on an emulated one."""

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
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mynn import Examples, NeuralNetwork, kernel, read_csv, scale, targets_for
from mynn.distort import Distortion
from mynn.network import RULES
from tests.unit.mynn.test_network import difference

SOURCES = Path(kernel.__file__).parent
FLAGS = ["-O3", "-fno-trapping-math"]
COMPILER, RUNNER = "arm-linux-gnueabi-gcc", "qemu-arm"

pytestmark = pytest.mark.skipif(not kernel.READY, reason=f"no compiled kernel: {kernel.STATE}")

# Train a network on the digits on stdin, and distort them; write the weights and the new digits to stdout.
PROGRAM = """
#include <stdint.h>
#include <stdio.h>
int mynn_train_double(double *, double *, int, int, int, const unsigned char *, long, const double *, const double *,
                      long, const unsigned char *, double, int);
void mynn_resample(const uint8_t *, const int32_t *, const int32_t *, const int32_t *, long, uint8_t *);
static struct {
    double wih[784 * 50], who[10 * 50], table[256];
    int32_t matrices[6 * 500], fields[784 * 20], which[2 * 500];
    uint8_t pixels[784 * 500], labels[500], to[784 * 500];
} all;
int main(void) {
    if (!fread(&all, 1, sizeof all, stdin)) return 3;
    mynn_train_double(all.wih, all.who, 784, 50, 10, all.pixels, 784, 0, all.table, 500, all.labels, 0.1, 0);
    mynn_resample(all.pixels, all.matrices, all.fields, all.which, 500, all.to);
    fwrite(&all, 1, sizeof all.wih + sizeof all.who, stdout);
    fwrite(all.to, 1, sizeof all.to, stdout);
}
"""


@pytest.fixture(scope="module", params=["as here", pytest.param("a Pi Zero's", marks=pytest.mark.slow)])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The kernel as it is, and compiled for this computer, but from the code that a Pi Zero has."""
    if request.param == "as here":
        yield
        return
    name = tmp_path_factory.mktemp("pi_zero") / "_kernel.so"
    command = ["cc", *FLAGS, "-DPI_ZERO", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", name, SOURCES / "kernel.c", SOURCES / "distort.c"], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_library", ctypes.CDLL(str(name)))
        yield


@pytest.mark.usefixtures("library")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
@example((784, 50, 10), 40, "paper", "book", np.float64, 1)  # a class's network
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
    fast, plain = (NeuralNetwork(*sizes, 0.02, seed=2, rule=rule, dtype=one) for one in (dtype, np.float64))
    pairs = list(zip(inputs, labels.tolist(), strict=True))
    fast.fit(pairs if kind == "inputs" else Examples(labels.astype(np.uint8), rows))
    for signals, label in pairs:
        plain.train(signals, targets_for(label, sizes[2]))
    tolerance = 1e-13 if dtype == np.float64 else 1e-4
    assert difference(fast, plain) < tolerance and fast.wih.dtype == fast.who.dtype == dtype
    outputs = np.array([plain.query(signals) for signals in inputs])
    assert np.abs(fast.outputs(pairs) - outputs).max() < tolerance


@pytest.mark.usefixtures("library")
@given(total=st.floats(-1e30, 1e30) | st.floats(-800, 800) | st.floats(-40, 40), dtype=st.sampled_from([8, 4]))
def test_the_sigmoid_is_accurate_for_sums_of_any_size(total: float, dtype: int) -> None:
    """With one input, one hidden node and one output, a training step reveals the hidden node's signal.

    The input is paper: then the weighted sum is one product, rounded alike with and without fused multiply-add.
    """
    network = NeuralNetwork(1, 1, 1, 1.0, seed=1, rule="cross-entropy", dtype=f"f{dtype}")
    network.wih[:], network.who[:] = total / 0.01, 0.0
    total = np.float64(network.wih.item() * network.wih.dtype.type(0.01))
    network.fit([([0.01], 0)])  # the output is 0.5, so who changes by 0.49 times the signal
    signal = network.who.item() / 0.49
    with np.errstate(over="ignore"):
        assert signal == pytest.approx(1 / (1 + np.exp(-total)), rel=1e-15 if dtype == 8 else 1e-6, abs=1e-34)


def test_arrays_that_do_not_fit_are_refused() -> None:
    wih, who, table = np.zeros((3, 4)), np.zeros((2, 3)), np.zeros(256)
    rows, labels = np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8)
    kernel.train(wih, who, 0.1, "book", rows, labels, table)
    bad: list[tuple[Any, ...]] = [
        (wih, who, rows[:, :3], labels, table),
        (wih, who, rows, labels[:4], table),
        (wih, who, rows, labels + np.uint8(2), table),
        (wih, who, rows, labels.astype(int) - 1, table),
        (wih, who, rows, labels, table[:255]),
        (wih, np.zeros((2, 4)), rows, labels, table),
        (wih, who.astype(np.float32), rows, labels, table),
        (np.frombuffer(bytes(96)).reshape(3, 4), who, rows, labels, table),  # read-only
        (np.zeros((0, 4)), np.zeros((2, 0)), rows, labels, table),
    ]
    for bad_wih, bad_who, *arrays in bad:
        with pytest.raises(ValueError):
            kernel.train(bad_wih, bad_who, 0.1, "book", *arrays)


def test_the_kernel_can_be_switched_off() -> None:
    command = [sys.executable, "-c", "from mynn import kernel; print(kernel.READY, kernel.STATE)"]
    run = subprocess.run(command, env={**os.environ, "MYNN_KERNEL": "off"}, stdout=subprocess.PIPE, text=True)
    assert run.stdout == "False numpy (MYNN_KERNEL is off)\n"


@pytest.mark.parametrize("with_sources", [True, False])
def test_a_kernel_of_an_earlier_version_is_not_used(with_sources: bool, tmp_path: Path) -> None:
    """A checkout has the kernel's sources beside it; an installed package has none."""
    package = tmp_path / "mynn"
    shutil.copytree(
        SOURCES.parent, package, ignore=shutil.ignore_patterns("*.so", *([] if with_sources else ["*.c", "*.h"]))
    )
    shutil.copy(SOURCES.parents[1] / "setup.py", tmp_path)
    old = "int mynn_level(void) { return 0; }"
    command = ["cc", "-shared", "-o", str(package / "kernel/_kernel.so"), "-xc", "-"]
    subprocess.run(command, input=old, check=True, text=True)
    shown = "from mynn import kernel; print(kernel.READY, kernel.STATE)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    state = subprocess.check_output([sys.executable, "-c", shown], cwd=tmp_path, env=environment, text=True)
    assert state.startswith("False numpy (_kernel.so is not of these sources: `python setup.py build_ext")


def test_the_kernel_is_built_anew_when_a_source_changes_whatever_its_time(tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text(
        '#!/bin/sh\necho x86_64-linux-gnu\n[ $# = 1 ] || echo "$@" >>"$(echo "$@" | sed "s/.* -o //; s/ .*//")"\n'
    )
    compiler.chmod(0o755)
    shutil.copytree(SOURCES, tmp_path / "mynn/kernel", ignore=shutil.ignore_patterns("*.so"))
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(SOURCES.parents[1] / name, tmp_path)
    source, library = tmp_path / "mynn/kernel/blocks.c", tmp_path / "mynn/kernel/_kernel.so"
    builds = []
    for change in ("", "", "/* a later version */"):
        source.write_text(source.read_text(encoding="utf-8") + change, encoding="utf-8")
        os.utime(source, (0, 0) if change else None)
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        subprocess.run(command, cwd=tmp_path, check=True, env={**os.environ, "CC": str(compiler)})
        builds.append(library.read_text(encoding="utf-8").count("\n"))
    assert builds == [1, 1, 2]


def test_it_uses_all_that_this_processor_can_do() -> None:
    features = Path("/proc/cpuinfo").read_text(encoding="ascii").split()
    level = "_v4" if "avx512vl" in features else "_v3" if "avx2" in features else ""
    command = [sys.executable, "-c", "from mynn import kernel; print(kernel._library._name)"]
    assert subprocess.check_output(command, text=True).endswith(f"/_kernel{level}.so\n")


@pytest.fixture(scope="module")
def pi_zero(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs PROGRAM, compiled for a Pi Zero with the flags of setup.py."""
    for program in (COMPILER, RUNNER):
        if not shutil.which(program):
            pytest.skip(f"{program} is missing: `make compilers image-tools` installs it")
    folder = tmp_path_factory.mktemp("arm")
    (folder / "program.c").write_text(PROGRAM, encoding="utf-8")
    setup = "import setuptools; setuptools.setup = lambda **_: None; import setup; print(*setup.flags())"
    environ = {"PATH": "/usr/bin", "CC": COMPILER}
    flags = subprocess.check_output([sys.executable, "-c", setup], cwd=SOURCES.parents[1], env=environ, text=True)
    plain = [flag for flag in flags.split() if flag not in ("-shared", "-fPIC")]
    sources = [folder / "program.c", SOURCES / "kernel.c", SOURCES / "distort.c"]
    subprocess.run([COMPILER, *plain, "-static", "-o", folder / "program", *sources], check=True)
    return [RUNNER, "-cpu", "arm1176", str(folder / "program")]


@pytest.mark.slow
def test_a_pi_zero_reaches_the_same_weights_and_distorts_to_the_same_bytes(mnist: Path, pi_zero: list[str]) -> None:
    few, network = read_csv(mnist / "mnist_train.csv", 500), NeuralNetwork(784, 50, 10, 0.1, seed=1)
    random, distortion = np.random.default_rng(5), Distortion()
    matrices, fields = distortion._matrices(500, random), distortion._fields(20, random)
    which = random.integers(0, 20, (500, 2), np.int32)
    table = np.arange(256) / 255.0 * 0.99 + 0.01
    given = [network.wih, network.who, table, matrices, fields, which, few.pixels, few.labels]
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in given)
    output = subprocess.run(pi_zero, input=data, check=True, capture_output=True, timeout=600).stdout
    size = network.wih.nbytes + network.who.nbytes
    network.fit(few)
    expected = np.concatenate([network.wih.ravel(), network.who.ravel()])
    assert 0 < np.abs(np.frombuffer(output[:size]) - expected).max() < 1e-13
    assert output[size:] == kernel.resample(few.pixels, matrices, fields, which).tobytes()
