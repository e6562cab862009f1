import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

PROJECT = Path(__file__).resolve().parents[2]

# What the tests start, kernels for one, is to import mynn and our plugins from this tree.
os.environ["PYTHONPATH"] = f"{PROJECT}:{PROJECT}/collections"

# A network of ours is too small to be worth a second thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# With its compiled part, wherever there is a compiler: up to date before anything imports it. pytest-xdist's workers
# start after this, and find it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=PROJECT, check=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may look into; pytest's tmp_path is for one only."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def browser_page() -> Iterator["Page"]:
    """A page of a browser."""
    from tests.support.browser import open_browser

    with open_browser(20_000) as browser:
        yield browser.pages[0]


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder of MNIST: MNIST_DIR if it holds the CSVs, else one that the role mnist fills."""
    folder = Path(os.environ.get("MNIST_DIR") or "nowhere")
    if all((folder / name).is_file() for name in ("mnist_train.csv", "mnist_test.csv")):
        return folder
    folder = PROJECT / "build/mnist"
    _run_role("mnist", {"mnist_folder": str(folder)})
    return folder


@pytest.fixture(scope="session")
def small_mnist(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a little of MNIST: 500 digits to train on, and 200 to test on."""
    folder = tmp_path_factory.mktemp("small_mnist")
    for name, count in (("mnist_train.csv", 500), ("mnist_test.csv", 200)):
        with (mnist / name).open() as file:
            (folder / name).write_text("".join(next(file) for _ in range(count)))
    return folder


def _run_role(name: str, settings: dict[str, str]) -> None:
    """Run a role on this computer."""
    ansible = (Path(sys.executable).with_name("ansible"), "localhost", "--playbook-dir", "playbooks")
    role = (*ansible, "-m", "include_role", "-a", f"name={name}", "-e", json.dumps(settings))
    (PROJECT / "build").mkdir(exist_ok=True)
    with (PROJECT / f"build/{name}.lock").open("w") as lock:  # pytest-xdist's workers come here side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(role, cwd=PROJECT, check=True)


@pytest.fixture(scope="session")
def networks(mnist: Path) -> Path:
    """The folder of the network on the card: NETWORKS_DIR if it is there, else one that the role networks fills.

    What is run from now on, a lesson for one, finds it.
    """
    folder = Path(os.environ.get("NETWORKS_DIR") or "nowhere")
    if not (folder / "digits.npz").is_file():
        folder = PROJECT / "build/networks"
        settings = {"networks_folder": str(folder), "networks_cache": str(PROJECT / "build/trained")}
        _run_role("networks", settings)
    os.environ["NETWORKS_DIR"] = str(folder)
    return folder


@pytest.fixture(params=["numpy", "kernel"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of doing the work, in turn."""
    from mynn import kernel

    chosen = str(request.param)
    if chosen == "numpy":
        monkeypatch.setattr(kernel, "READY", False)
    elif not kernel.READY:
        pytest.skip(f"no compiled kernel: {kernel.STATE}")
    return chosen
