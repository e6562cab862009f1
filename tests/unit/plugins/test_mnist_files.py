"""MNIST on a Pi, and the whole role as Ansible runs it, on this computer with the small MNIST."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ansible_collections.mynn.pi.plugins.modules import mnist_fetch, mnist_files
from mynn import Examples, mnist, read_csv
from tests.support.local_pis import NAMES, LocalPis
from tests.support.programs import ROOT
from tests.support.small_mnist import FILES, IDX, IMAGES, ON_A_PI, make_mirror


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive as the control node makes it."""
    folder = tmp_path_factory.mktemp("control")
    archive = folder / "mnist.tar.gz"
    mnist_fetch.ensure_archive(archive, [make_mirror(folder / "mirror")], IDX, FILES)
    return archive


@pytest.fixture
def data(tmp_path: Path, archive: Path) -> Path:
    """The data folder of a Pi, with the files in it."""
    folder = tmp_path / "srv" / "mnist"
    mnist_files.repair(folder, FILES, dry=False)
    mnist_files.unpack(archive, folder, FILES, list(FILES))
    assert is_whole(folder)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether a folder has the six files, readable by everybody, and nothing else."""
    modes = {path.stat().st_mode & 0o7777 for path in folder.iterdir()}
    return {path.name: path.read_bytes() for path in folder.iterdir()} == ON_A_PI and modes == {0o644}


def test_complete_files_are_left_alone(data: Path) -> None:
    assert mnist_files.wanted(data, FILES) == []
    assert mnist_files.repair(data, FILES, dry=False) == []


def test_mynn_reads_the_npy_files_instead_of_parsing_csv(data: Path) -> None:
    """They agree with the CSV files, and are no longer used once their CSV file has changed."""
    for name in ("mnist_train.csv", "mnist_test.csv"):
        rows = mnist.load(data / name)
        assert rows is not None
        found = read_csv(data / name)
        assert not found.pixels.flags.owndata
        content = b"".join(
            b"%d,%s\n" % (label, b",".join(b"%d" % byte for byte in pixels)) for label, pixels in digits(found)
        )
        assert content == ON_A_PI[name]
        np.save(data / f"by numpy {name}.npy", rows)
        assert (data / f"by numpy {name}.npy").read_bytes() == ON_A_PI[f"{name}.npy"]
        (data / name).touch()
        assert mnist.load(data / name) is None


def digits(examples: Examples) -> Iterator[tuple[int, list[int]]]:
    """Return each label with its pixels."""
    return zip(examples.labels.tolist(), examples.pixels.tolist(), strict=True)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"9")


def replace_with_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("damage", [Path.unlink, truncate, overwrite, replace_with_link])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_noticed_and_replaced(
    damage: Callable[[Path], None], name: str, data: Path, archive: Path
) -> None:
    damage(data / name)
    (data / "elsewhere").unlink(missing_ok=True)
    assert mnist_files.wanted(data, FILES) == [name]
    mnist_files.unpack(archive, data, FILES, [name])
    assert is_whole(data)


def test_modes_are_repaired_and_leftovers_are_removed(data: Path) -> None:
    (data / "mnist_train.csv").chmod(0o666)
    data.chmod(0o777)
    (data / ".mnist.tar.gz").write_bytes(b"half an archive")
    (data / "mnist_train.csv.cache").write_bytes(b"from an earlier release")
    before = mnist_files.repair(data, FILES, dry=True)
    assert len(before) == 4
    assert mnist_files.repair(data, FILES, dry=False) == before
    assert data.stat().st_mode & 0o7777 == 0o755
    assert is_whole(data)


@pytest.mark.parametrize("cut", [100, 20_000])
def test_a_damaged_archive_never_replaces_a_file(cut: int, data: Path, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.tar.gz").write_bytes(archive.read_bytes()[:cut])
    (data / "mnist_test_10.csv").unlink()
    with pytest.raises(mnist_files.UnpackError, match=r"cut\.tar\.gz is damaged"):
        mnist_files.unpack(tmp_path / "cut.tar.gz", data, FILES, list(FILES))
    for path in data.glob("[!.]*"):
        assert path.read_bytes() == ON_A_PI[path.name]


def test_an_unpacked_file_with_a_wrong_checksum_never_replaces_a_file(data: Path, archive: Path) -> None:
    wrong = FILES | {"mnist_test.csv": FILES["mnist_test.csv"] | {"sha256": "0" * 64}}
    with pytest.raises(mnist_files.UnpackError, match=f"{FILES['mnist_test.csv']['sha256']}, expected {'0' * 64}"):
        mnist_files.unpack(archive, data, wrong, ["mnist_test.csv"])
    mnist_files.repair(data, FILES, dry=False)
    assert is_whole(data)


# A sitecustomize.py that denies the network to each Python that Ansible starts; mitogen's Unix sockets still work.
NO_NETWORK = """
import sys
def refuse(event, values):
    lookup = event == "socket.getaddrinfo" and values[0] != "127.0.0.1"
    if lookup or (event == "socket.connect" and isinstance(values[1], tuple)):
        raise OSError("the network is cut off")
sys.addaudithook(refuse)
"""


class Pis(LocalPis):
    """Two Pis, and a copy of the role that ships the small MNIST. There is no network, and no mirror is set."""

    def __init__(self, folder: Path) -> None:
        self.data = [folder / name / "srv" / "mynn" / "mnist" for name in NAMES]
        self.cache = folder / "cache"
        self.role = folder / "some roles" / "mnist"
        shutil.copytree(ROOT / "roles/mnist", self.role, ignore=shutil.ignore_patterns("files"))
        make_mirror(self.role / "files")
        settings = {
            "mnist_folder": f"{folder}/{{{{ inventory_hostname }}}}/srv/mynn/mnist",
            "mnist_cache": str(self.cache),
            "__mnist_files": FILES,
            "__mnist_idx": IDX,
        }
        super().__init__(folder, "mnist", settings, self.role.parent)
        (folder / "sitecustomize.py").write_text(NO_NETWORK)
        self.environment["PYTHONPATH"] = str(folder)

    def are_whole(self) -> bool:
        return all(map(is_whole, self.data))


@pytest.fixture
def pis(tmp_path: Path) -> Pis:
    return Pis(tmp_path)


@pytest.mark.slow
def test_check_mode_first_run_second_run_and_repair(pis: Pis) -> None:
    changes, printed = pis.run("--check", "--diff")
    assert changes == 3
    assert "mnist_train.csv unpacked" in printed
    assert not pis.cache.exists(), "check mode fetches nothing"
    assert not pis.data[0].exists()

    assert pis.run()[0] == 4
    assert pis.are_whole()

    # Now neither a mirror nor the cache is needed, and one task runs on each Pi.
    changes, printed = pis.run("-e", '{"mnist_mirrors": [], "mnist_cache": "/nowhere"}')
    assert changes == 0
    assert len(re.findall(r"ok: \[pi-01", printed)) == 2, "one task checks the settings here, and one runs on the Pi"
    assert pis.run("--check", "--diff")[0] == 0

    truncate(pis.data[0] / "mnist_train.csv")
    assert pis.run("--check", "--diff")[0] == 1
    assert pis.run()[0] == 2, "copied and unpacked, but not fetched again"
    assert pis.are_whole()


def damage_own_copy(pis: Pis) -> None:
    """Damage one file of the repository's copy of MNIST."""
    overwrite(pis.role / "files" / f"{IMAGES}.xz")


@pytest.mark.slow
def test_a_damaged_copy_is_named_and_the_next_mirror_is_used(pis: Pis, tmp_path: Path) -> None:
    damage_own_copy(pis)
    good = make_mirror(tmp_path / "good")
    printed = pis.run("-e", json.dumps({"mnist_mirrors": ["{{ role_path }}/files", good]}))[1]
    assert f"MNIST mirror passed over: {pis.role}/files: {IMAGES}.xz has other contents" in printed
    assert pis.are_whole()


@pytest.mark.slow
def test_a_schools_own_mirror_comes_first(pis: Pis, tmp_path: Path) -> None:
    damage_own_copy(pis)
    pis.environment["MNIST_MIRRORS"] = f"{tmp_path}/none " + make_mirror(tmp_path / "school")
    printed = pis.run()[1]
    assert f"MNIST mirror passed over: {tmp_path}/none: " in printed
    assert f"{pis.role}/files" not in printed, "it was not needed"
    assert pis.are_whole()


@pytest.mark.slow
def test_if_no_mirror_is_good_each_is_named(pis: Pis) -> None:
    damage_own_copy(pis)
    code, printed = pis.attempt()
    assert code == 2
    assert f"- {pis.role}/files: {IMAGES}.xz has other contents" in printed
    named = re.findall(r"- (https?://\S+): train-\S+ cannot be read \(.*the network is cut off", printed)
    assert len(set(named)) == 4
    assert "git checkout roles/mnist/files" in printed


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_reported_in_one_sentence(pis: Pis, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, printed = pis.attempt("-e", f"mnist_cache={tmp_path}/file/mnist")
    assert code == 2
    assert f"MNIST's cache {tmp_path}/file/mnist cannot be used (Not a directory): make room" in printed
    assert "Traceback" not in printed


@pytest.mark.slow
def test_the_next_run_completes_one_that_was_killed_at_any_moment(pis: Pis) -> None:
    for seconds in (0.6, 0.9, 1.2, 1.5):
        run = subprocess.Popen(pis.command, env=pis.environment, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(seconds)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        for path in (path for data in pis.data if data.exists() for path in data.glob("[!.]*")):
            assert path.read_bytes() == ON_A_PI[path.name], "a Pi never sees half a file"
    pis.run()
    assert pis.are_whole()
    assert pis.run()[0] == 0
