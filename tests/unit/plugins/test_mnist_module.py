"""MNIST: packed on the control node, and unpacked on each Pi, here two folders on this computer."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from ansible_collections.mynn.pi.plugins.modules import mnist
from mynn import read_csv
from mynn.mnist import load
from tests.support.local_pis import NAMES, LocalPis
from tests.support.programs import ROOT
from tests.support.small_mnist import IMAGES, files_of, make_source


def test_the_projects_own_files_are_mnist(tmp_path: Path) -> None:
    """`pack` compares every file that it makes with the role's sums, which those of the published CSVs are."""
    files = yaml.safe_load((ROOT / "roles/mnist/vars/main.yml").read_text())["__mnist_files"]
    mnist.pack(ROOT / "roles/mnist/files", tmp_path / "mnist.tar.gz", files)
    assert mnist.is_good(tmp_path / "mnist.tar.gz", files)


class Pis(LocalPis):
    """Two Pis, and a copy of the role that ships the small MNIST."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = [folder / name / "srv/mynn/mnist" for name in NAMES]
        self.archive = folder / "cache/mnist.tar.gz"
        role = folder / "some roles/mnist"
        shutil.copytree(ROOT / "roles/mnist", role, ignore=shutil.ignore_patterns("files"))
        self.source = make_source(role / "files")
        self.files = files_of(self.source)
        settings = {
            "mnist_folder": f"{folder}/{{{{ inventory_hostname }}}}/srv/mynn/mnist",
            "mnist_cache": str(self.archive.parent),
            "__mnist_files": self.files,
        }
        super().__init__(folder, "mnist", settings, role.parent)

    def are_whole(self) -> bool:
        """Whether each Pi has all files and nothing else; a CSV's .npy is used, and has the same digits."""
        for data in self.data:
            assert sorted(path.name for path in data.iterdir()) == sorted(self.files)
            for name, content in mnist.contents(self.source):
                assert (data / name).read_bytes() == content, name
            for name in ("mnist_train.csv", "mnist_test.csv"):
                rows, read = load(data / name), read_csv(data / name)
                assert rows is not None and (rows[:, 0] == read.labels).all()
                assert (np.loadtxt(data / name, np.uint8, delimiter=",") == rows).all()
        return not any(mnist.wanted(data, self.files) for data in self.data)


@pytest.fixture
def pis(tmp_path: Path) -> Pis:
    return Pis(tmp_path)


@pytest.mark.slow
def test_check_mode_first_run_second_run_and_repair(pis: Pis) -> None:
    _, printed = pis.run("--check", "--diff")
    assert "mnist_train.csv unpacked" in printed
    assert not pis.archive.exists() and not pis.data[0].exists()

    pis.run()
    assert pis.are_whole()

    changes, printed = pis.run("-e", "mnist_cache=/nowhere")  # the cache is no longer needed
    assert changes == 0
    assert len(re.findall(r"ok: \[pi-01", printed)) == 2, "one task checks the settings here, and one runs on the Pi"
    assert pis.run("--check", "--diff")[0] == 0

    os.truncate(pis.data[0] / "mnist_train.csv", 1000)
    assert pis.run("--check", "--diff")[0] == 1
    assert pis.run()[0] == 2, "copied and unpacked, but not packed again"
    assert pis.are_whole()

    (pis.data[0] / "mnist_train.csv").unlink()
    pis.archive.write_bytes(pis.archive.read_bytes()[:-9])  # a damaged cache is made anew
    assert pis.run()[0] == 3
    assert pis.are_whole()


@pytest.mark.slow
def test_damage_and_a_full_disk_are_reported_in_a_sentence(pis: Pis, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, printed = pis.attempt("-e", f"mnist_cache={tmp_path}/file/mnist")
    assert code == 2 and "Traceback" not in printed
    assert f"MNIST: {tmp_path}/file/mnist cannot be written (Not a directory): make room there." in printed
    content = bytearray((pis.source / IMAGES).read_bytes())
    content[len(content) // 2] ^= 1
    (pis.source / IMAGES).write_bytes(content)
    code, printed = pis.attempt()
    assert code == 2 and not pis.archive.exists()
    assert re.search(
        r"some roles/mnist/files is damaged \(.+\): put it back with git checkout roles/mnist/files", printed
    )


@pytest.fixture
def data(pis: Pis) -> Path:
    """One Pi's folder, with all files."""
    mnist.pack(pis.source, pis.archive, pis.files)
    pis.data[0].mkdir(parents=True)
    mnist.unpack(pis.archive, pis.data[0], pis.files, list(pis.files))
    return pis.data[0]


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: os.truncate(path, path.stat().st_size - 1),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.chmod(0o666),
        lambda path: path.rename(path.with_name("elsewhere")) and path.symlink_to("elsewhere"),
    ],
    ids=["removed", "cut off", "overwritten", "open to all", "a link"],
)
def test_a_damaged_file_is_noticed_and_replaced(damage: Callable[[Path], object], data: Path, pis: Pis) -> None:
    damage(data / "mnist_test.csv")
    assert mnist.wanted(data, pis.files) == ["mnist_test.csv"]
    mnist.unpack(pis.archive, data, pis.files, ["mnist_test.csv"])
    assert mnist.wanted(data, pis.files) == []
    assert (data / "mnist_test.csv").read_bytes() == dict(mnist.contents(pis.source))["mnist_test.csv"]


@pytest.mark.parametrize("cut", [100, 20_000])
def test_a_damaged_archive_never_replaces_a_file(cut: int, data: Path, pis: Pis) -> None:
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    pis.archive.write_bytes(pis.archive.read_bytes()[:cut])
    with pytest.raises(mnist.DamagedError, match="came damaged to the Pi"):
        mnist.unpack(pis.archive, data, pis.files, list(pis.files))
    wrong = {name: content | {"sha256": "0" * 64} for name, content in pis.files.items()}
    mnist.pack(pis.source, pis.archive, pis.files)
    with pytest.raises(mnist.DamagedError, match=r"mnist_train\.csv came damaged to the Pi; run the play again"):
        mnist.unpack(pis.archive, data, wrong, list(wrong))
    assert {path.name: path.read_bytes() for path in data.glob("[!.]*")} == before
