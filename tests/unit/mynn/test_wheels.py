"""The wheels that the control node builds for the Pis: roles/mynn/files/build.py."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import ROOT, load

BUILD = ROOT / "roles/mynn/files/build.py"
build = load(BUILD)
MACHINES: Mapping[str, str] = build.MACHINES
HERE = next((name for name, machine in MACHINES.items() if machine == sysconfig.get_config_var("MULTIARCH")), "")
KERNEL = "mynn/kernel/_kernel.so"
# The machine and the flags in a library's ELF header, as in elf.h. The flags tell Debian's two ARM ports apart.
ELF = {"amd64": (62, 0), "arm64": (183, 0), "armel": (40, 0x200), "armhf": (40, 0x400)}
TAGS = {
    "amd64": "linux_x86_64",
    "arm64": "linux_aarch64",
    "armel": "linux_armv6l.linux_armv7l",
    "armhf": "linux_armv6l.linux_armv7l",
}


def compiler_for(architecture: str) -> str:
    """Return the compiler for one of Debian's architectures, or skip the test."""
    compiler = f"{MACHINES.get(architecture, 'no')}-gcc"
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is missing: `make compilers` installs it")
    return compiler


@dataclass
class Project:
    """A copy of the package's sources, and a folder for its wheels."""

    folder: Path
    built: Path

    def wheels(self, *architectures: str, path: str | None = None) -> dict[str, Any]:
        """Return the output of build.py; `path` is where it looks for compilers."""
        environment = os.environ if path is None else {**os.environ, "PATH": path}
        command = [sys.executable, str(BUILD), str(self.folder), str(self.built), *architectures]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        output: dict[str, Any] = json.loads(done.stdout)
        return output

    def append(self, name: str, text: str) -> None:
        """Append text to a file."""
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheels")


@pytest.fixture
def project(tmp_path: Path, built: Path) -> Project:
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "mynn", folder / "mynn", ignore=ignored)
    for name in ("pyproject.toml", "LICENSE", "setup.py"):
        shutil.copy(ROOT / name, folder)
    return Project(folder, built)


def files_in(wheel: str) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def info(wheel: str, to: Path) -> dict[str, Any]:
    """Unpack a wheel, and return the output of its `mynn info`."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(to)
    environment = {**os.environ, "PYTHONPATH": str(to)}
    command = [sys.executable, "-m", "mynn", "info", "--json"]
    done = subprocess.run(command, cwd=to, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    output: dict[str, Any] = json.loads(done.stdout)
    return output


@pytest.mark.slow
def test_the_wheel_for_this_machine_has_a_working_kernel(project: Project, tmp_path: Path) -> None:
    compiler_for(HERE)
    output = project.wheels(HERE)
    wheel = output["wheels"][HERE]
    assert output["slower"] == []
    assert wheel.endswith(f"-py3-none-{TAGS[HERE]}.whl")
    assert KERNEL in files_in(wheel)
    assert info(wheel, tmp_path / "installed")["kernel"].startswith("compiled")


def test_the_plain_wheel_works_without_a_kernel(project: Project, tmp_path: Path) -> None:
    output = project.wheels()
    assert output["wheels"] == {}
    assert output["plain"].endswith("-py3-none-any.whl")
    assert KERNEL not in files_in(output["plain"])
    assert info(output["plain"], tmp_path / "installed")["kernel"].startswith("numpy")


@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_each_wheel_has_code_for_its_architecture(project: Project, architecture: str, tmp_path: Path) -> None:
    """On ARM the code also runs on ARMv6, as in the first Pi Zero, and uses its floating-point unit."""
    compiler = compiler_for(architecture)
    wheel = project.wheels(architecture)["wheels"][architecture]
    assert wheel.endswith(f"-py3-none-{TAGS[architecture]}.whl")
    with zipfile.ZipFile(wheel) as archive:
        library = Path(archive.extract(KERNEL, tmp_path))
    head = library.read_bytes()[:40]
    machine, flags = int.from_bytes(head[18:20], "little"), int.from_bytes(head[36:40], "little")
    if machine == 40:
        command = [compiler.replace("-gcc", "-readelf"), "--arch-specific", str(library)]
        attributes = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        assert "Tag_CPU_arch: v6" in attributes
        assert "Tag_FP_arch: VFPv2" in attributes
        assert (machine, flags & 0x600) == ELF[architecture]
    else:
        assert (machine, 0) == ELF[architecture]


def test_without_a_compiler_the_plain_wheel_is_used(project: Project, tmp_path: Path) -> None:
    output = project.wheels("amd64", "armel", path=str(tmp_path))
    assert output["wheels"] == {"amd64": output["plain"], "armel": output["plain"]}
    assert len(output["slower"]) == 2
    assert "armel Pis get mynn without" in output["slower"][1]
    assert "there is no arm-linux-gnueabi-gcc" in output["slower"][1]
    assert "`make compilers`" in output["slower"][1]


def test_changed_sources_change_the_wheels_digest(project: Project) -> None:
    compiler = compiler_for(HERE)
    seen = {build.digest(project.folder, compiler)}
    compiled = ("setup.py", *(f"mynn/kernel/{name}.c" for name in ("kernel", "blocks", "distort")))
    for name in (*compiled, "mynn/network.py", "pyproject.toml", "mynn/widget/new.js"):
        plain = build.digest(project.folder)
        project.append(name, "\n")
        assert (build.digest(project.folder) == plain) == (name in compiled), name
        kernel = build.digest(project.folder, compiler)
        assert kernel not in seen, name
        seen.add(kernel)
    for name in ("mynn/kernel/_kernel.so", "mynn/__pycache__/network.cpython-313.pyc", "mynn/.hidden"):
        (project.folder / name).parent.mkdir(exist_ok=True)
        project.append(name, "\n")
        assert build.digest(project.folder, compiler) == kernel, name


def test_the_wheel_is_reproducible(project: Project) -> None:
    """An image contains the wheel's hash, and two images of the same commit must be equal."""
    with zipfile.ZipFile(project.wheels()["plain"]) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_wheels_include_data_files(project: Project) -> None:
    files = (path for path in (ROOT / "mynn").rglob("*.*") if path.suffix not in (".c", ".pyc", ".so"))
    data = {str(path.relative_to(ROOT)) for path in files}
    assert {"mynn/network.py", "mynn/cli/train.py", "mynn/lesson/number.js", "mynn/widget/pad.js"} <= data
    assert data <= files_in(project.wheels()["plain"])
    if HERE and shutil.which(f"{MACHINES[HERE]}-gcc"):
        assert data <= files_in(project.wheels(HERE)["wheels"][HERE])
