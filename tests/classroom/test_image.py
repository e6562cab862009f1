"""The SD card image that `make image` builds: what a Pi Zero's firmware, its kernel and a teacher find in it.

The first build on a machine takes about 21 minutes. If what it is made of has not changed, it is kept.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mynn_control.image_release import MANIFEST, repository
from tests.provisioned.test_python import SCIENCE
from tests.support.classroom import ROOT
from tests.support.image import faults
from tests.support.image_build import ImageBuild, make_image
from tests.support.imager import downloaded, serving

MOST_PACKED, MOST_FILES = 250_000_000, 880_000_000
# What matplotlib asks of the packages of which the image leaves out parts; and pip may install what is left out.
PARTS = """
import importlib.util, io, matplotlib.pyplot, mpl_toolkits.mplot3d, scipy.optimize, scipy.stats
from ipykernel.debugger import _is_debugpy_available
matplotlib.pyplot.title("Größe $x^2$")
for form in "pdf", "svg", "ps":
    matplotlib.pyplot.savefig(io.StringIO() if form == "ps" else io.BytesIO(), format=form)
assert _is_debugpy_available and not importlib.util.find_spec("sympy")
"""


def test_the_firmware_finds_its_files_and_there_are_no_secrets(image_build: ImageBuild) -> None:
    assert faults(image_build.root) == []


def test_apt_has_the_default_sources(image_build: ImageBuild, tmp_path: Path) -> None:
    """They are those that mmdebstrap writes by default."""
    argv = ["mmdebstrap", "--quiet", "--variant=custom", "--architectures=armel", "--components=main,non-free-firmware"]
    argv += ["--skip=update,check/qemu,cleanup/apt", "trixie", str(tmp_path / "root")]
    subprocess.run(argv, check=True)
    default = (tmp_path / "root/etc/apt/sources.list").read_text(encoding="utf-8")
    assert len(default.splitlines()) == 3
    assert (image_build.root / "etc/apt/sources.list").read_text(encoding="utf-8") == default


def test_it_is_small(image_build: ImageBuild, record_property: Callable[[str, object], None]) -> None:
    packed = image_build.packed.stat().st_size
    used = sum(path.lstat().st_size for path in image_build.root.rglob("*") if not path.is_symlink() and path.is_file())
    print(f"packed {packed / 1e6:.0f} MB, files {used / 1e6:.0f} MB")
    record_property("packed", packed)
    record_property("files", used)
    assert packed <= MOST_PACKED
    assert used <= MOST_FILES


def test_nothing_imports_what_the_image_leaves_out(image_build: ImageBuild) -> None:
    """The check of verify.yml, and what would be too slow on a Pi, under emulation."""
    chroot = ROOT / "roles/image/files/chroot"
    python = ["env", "HOME=/tmp", "QEMU_CPU=arm1176", "PYDEVD_DISABLE_FILE_VALIDATION=1", "/opt/mynn/venv/bin/python"]
    python += ["-B", "-c", SCIENCE + PARTS]
    done = subprocess.run([chroot, image_build.root, *python], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_python_packages_with_files_left_out_can_be_updated(image_build: ImageBuild) -> None:
    """An update compiles all files that a package lists, and fails if one is missing."""
    root, reduced = image_build.root, []
    for listed in (root / "var/lib/dpkg/info").glob("python3-*.list"):
        files = [line for line in listed.read_text(encoding="utf-8").splitlines() if line.endswith(".py")]
        if not all((root / file[1:]).exists() for file in files):
            reduced.append(listed.stem.partition(":")[0])
    assert {"python3-numpy", "python3-sympy"} <= set(reduced)
    compile_all = ["sh", "-c", 'for package; do py3compile -p "$package" || echo "$package"; done', "sh", *reduced]
    chroot = [str(ROOT / "roles/image/files/chroot"), str(root), *compile_all]
    done = subprocess.run(chroot, capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout == "", done.stderr


def test_the_initramfs_has_what_repairs_a_torn_superblock(image_build: ImageBuild) -> None:
    """The script that tests/unit/image/test_power_cut.py runs, and the programs that it calls."""
    chroot = [str(ROOT / "roles/image/files/chroot"), str(image_build.root)]
    argv = [*chroot, "sh", "-c", "lsinitramfs /boot/firmware/initrd.img-*"]
    listed = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=True).stdout.split()
    assert "scripts/panic/mynn-pi" in listed
    assert {"e2fsck", "dd", "reboot"} <= {name.rpartition("/")[2] for name in listed}


def test_an_update_will_report_no_edited_files(image_build: ImageBuild) -> None:
    """It reports every file that has a .dpkg-dist beside it."""
    assert list((image_build.root / "etc").rglob("*.dpkg-dist")) == []


def test_everything_is_compiled_and_no_file_is_newer_than_the_commit(image_build: ImageBuild) -> None:
    """Otherwise Python would compile at every start, as it may not write there."""
    site = image_build.root / "opt/mynn/venv/lib/python3.13/site-packages"
    for package in ("notebook", "jupyter_server", "mynn"):
        for source in (site / package).glob("*.py"):
            compiled = source.with_name("__pycache__") / f"{source.stem}.cpython-313.pyc"
            when = int.from_bytes(compiled.read_bytes()[8:12], "little")
            assert when == int(source.stat().st_mtime), source
    epoch = int(subprocess.check_output(["git", "log", "-1", "--format=%ct"], cwd=ROOT))
    late = [path for path in (image_build.root / "usr").rglob("*.py") if path.lstat().st_mtime > epoch]
    assert late == []


def test_imager_gets_this_image_from_a_release(image_build: ImageBuild, tmp_path: Path) -> None:
    """It is the one that test_board.py boots."""
    version = image_build.disk.stem.rpartition("-")[2]
    with serving(image_build.folder) as address:
        told = repository(image_build.folder, version, f"{address}/")
        manifest = image_build.folder / MANIFEST.format(version)
        manifest.write_text(told, encoding="utf-8")
        [image] = downloaded(f"{address}/{manifest.name}", tmp_path).values()
    subprocess.run(["cmp", image, image_build.disk], check=True)
    shutil.rmtree(tmp_path)  # more than a gigabyte


@pytest.mark.long
def test_a_second_build_gives_the_same_bytes(image_build: ImageBuild) -> None:
    """From the same first stage and commit, some minutes or days later. The unit tests do this with a small root."""
    epoch = int((image_build.root / "etc/.updated").stat().st_mtime)
    make_image(image_board="zero", __image_commit=epoch)
    subprocess.run(["cmp", image_build.disk, ROOT / "build/image" / image_build.disk.name], check=True)
