import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.digits import copy_digits, mnist_folder, run_role
from tests.support.programs import ROOT, build_kernel

if TYPE_CHECKING:
    from playwright.sync_api import Page

# What a shell, sudo or a teacher's settings leave here would change what is tested.
for name in [*os.environ]:
    if re.match("LANG|(SUDO|LC|MNIST|NETWORKS|ANSIBLE|XDG|JUPYTER)_|MYNN_(?!CACHE)", name):
        del os.environ[name]
os.environ["LANG"] = "C.UTF-8"

# Programs that tests start, such as kernels, import mynn and our plugins from this tree.
os.environ["PYTHONPATH"] = f"{ROOT}:{ROOT}/collections"

# A busy computer is slow now and then. What is slow by itself, a benchmark shows.
hypothesis.settings.register_profile("same-cases", deadline=None, derandomize=True)
hypothesis.settings.register_profile("new-cases", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("same-cases")

# Our networks are too small to be worth a second thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# Before anything imports it. The workers of pytest-xdist start afterwards, and find it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    build_kernel()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what only root can do, if another account runs the tests."""
    if item.get_closest_marker("root") and os.geteuid():
        pytest.skip("only root can do this: `make test` runs it with sudo")


@pytest.fixture(scope="session")
def venv() -> Iterator[Path]:
    """A virtual environment like a Pi's."""
    from tests.support.jupyter_server import pi_venv

    with pi_venv() as folder:
        yield folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may read; pytest's tmp_path is readable by one only."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def chromium() -> None:
    """Skip a test where there is no browser."""
    from tests.support.browser import CHROMIUM

    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser {CHROMIUM}: `make test` installs it")


@pytest.fixture(scope="module")
def browser_page() -> Iterator["Page"]:
    """A page in a browser."""
    from tests.support.browser import open_browser

    with open_browser() as browser:
        yield browser.pages[0]


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder of MNIST."""
    return mnist_folder()


@pytest.fixture(scope="session")
def small_mnist(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small part of MNIST: 500 digits to train on, and 200 to test on."""
    return copy_digits(mnist, tmp_path_factory.mktemp("small_mnist"), training=500, testing=200)


@pytest.fixture(scope="session")
def networks(mnist: Path) -> Path:
    """The folder of the networks on the card: NETWORKS_DIR if it has them, otherwise one that the role mynn fills.

    Programs that are started from now on, such as lessons, find it.
    """
    folder = Path(os.environ.get("NETWORKS_DIR") or "nowhere")
    if not (folder / "try/network.bin.gz").is_file():
        folder = ROOT / "build/networks"
        run_role("mynn", {"__networks_folder": str(folder), "__mynn_networks": str(ROOT / "build/trained")}, "network")
    os.environ["NETWORKS_DIR"] = str(folder)
    return folder


@pytest.fixture(params=["numpy", "kernel"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test twice: with numpy, and with the compiled kernel."""
    from mynn import kernel

    chosen = str(request.param)
    if chosen == "numpy":
        monkeypatch.setattr(kernel, "READY", False)
    elif not kernel.READY:
        pytest.skip(f"no compiled kernel: {kernel.STATE}")
    return chosen
