"""The package's wheels, as the control node builds them for the Pis: roles/mynn/files/build.py."""

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
# A library's machine, as elf.h numbers it, and the flags that tell the two ARMs of Debian apart.
ELF = {"amd64": (62, 0), "arm64": (183, 0), "armel": (40, 0x200), "armhf": (40, 0x400)}
TAGS = {
    "amd64": "linux_x86_64",
    "arm64": "linux_aarch64",
    "armel": "linux_armv6l.linux_armv7l",
    "armhf": "linux_armv6l.linux_armv7l",
}


def compiler_for(architecture: str) -> str:
    """Return the compiler for an architecture of Debian's, or skip."""
    compiler = f"{MACHINES.get(architecture, 'no')}-gcc"
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler}: `make compilers` brings it")
    return compiler


@dataclass
class Project:
    """A copy of the package's sources, and a folder for its wheels."""

    folder: Path
    built: Path

    def wheels(self, *architectures: str, path: str | None = None) -> dict[str, Any]:
        """Return what build.py says; `path` is where it looks for compilers."""
        environment = os.environ if path is None else {**os.environ, "PATH": path}
        command = [sys.executable, str(BUILD), str(self.folder), str(self.built), *architectures]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def append(self, name: str, text: str) -> None:
        """Write something to the end of a file."""
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheels")


@pytest.fixture
def project(tmp_path: Path, built: Path) -> Project:
    folder = tmp_path / "project"
    left = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "mynn", folder / "mynn", ignore=left)
    for name in ("pyproject.toml", "LICENSE", "setup.py"):
        shutil.copy(ROOT / name, folder)
    return Project(folder, built)


def names(wheel: str) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def info(wheel: str, to: Path) -> dict[str, Any]:
    """Unpack a wheel and return what `mynn info` says there."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(to)
    environment = {**os.environ, "PYTHONPATH": str(to)}
    command = [sys.executable, "-m", "mynn", "info", "--json"]
    done = subprocess.run(command, cwd=to, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.slow
def test_the_wheel_for_this_machine_has_a_kernel_that_works(project: Project, tmp_path: Path) -> None:
    compiler_for(HERE)
    said = project.wheels(HERE)
    wheel = said["wheels"][HERE]
    assert said["slower"] == []
    assert wheel.endswith(f"-py3-none-{TAGS[HERE]}.whl")
    assert KERNEL in names(wheel)
    assert info(wheel, tmp_path / "installed")["kernel"].startswith("compiled")


def test_the_plain_wheel_works_too(project: Project, tmp_path: Path) -> None:
    said = project.wheels()
    assert said["wheels"] == {}
    assert said["plain"].endswith("-py3-none-any.whl")
    assert KERNEL not in names(said["plain"])
    assert info(said["plain"], tmp_path / "installed")["kernel"].startswith("numpy")


@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_each_architecture_gets_code_of_its_own(project: Project, architecture: str, tmp_path: Path) -> None:
    """And an ARMv6, as on the first Pi Zero, gets nothing that it cannot run, but its floating point is used."""
    compiler = compiler_for(architecture)
    wheel = project.wheels(architecture)["wheels"][architecture]
    assert wheel.endswith(f"-py3-none-{TAGS[architecture]}.whl")
    with zipfile.ZipFile(wheel) as archive:
        library = Path(archive.extract(KERNEL, tmp_path))
    head = library.read_bytes()[:40]
    machine, flags = int.from_bytes(head[18:20], "little"), int.from_bytes(head[36:40], "little")
    if machine == 40:
        command = [compiler.replace("-gcc", "-readelf"), "--arch-specific", str(library)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        assert "Tag_CPU_arch: v6" in said
        assert "Tag_FP_arch: VFPv2" in said
        assert (machine, flags & 0x600) == ELF[architecture]
    else:
        assert (machine, 0) == ELF[architecture]


def test_all_at_once_and_a_second_time_nothing_is_built(project: Project, built: Path) -> None:
    first = project.wheels(*MACHINES)
    files = {path: path.stat().st_ctime_ns for path in built.rglob("*")}
    assert project.wheels(*MACHINES) == first
    assert {path: path.stat().st_ctime_ns for path in built.rglob("*")} == files
    for architecture, machine in MACHINES.items():
        plain = first["wheels"][architecture] == first["plain"]
        assert plain != bool(shutil.which(f"{machine}-gcc")), first["slower"]


def test_without_a_compiler_the_plain_wheel_is_good_enough(project: Project, tmp_path: Path) -> None:
    said = project.wheels("amd64", "armel", path=str(tmp_path))
    assert said["wheels"] == {"amd64": said["plain"], "armel": said["plain"]}
    assert len(said["slower"]) == 2
    assert "armel Pis get mynn without" in said["slower"][1]
    assert "there is no arm-linux-gnueabi-gcc" in said["slower"][1]
    assert "`make compilers`" in said["slower"][1]


def test_a_kernel_that_cannot_be_compiled_is_no_failure(project: Project) -> None:
    compiler_for(HERE)
    project.append("mynn/kernel/kernel.c", "\nthis is not C\n")
    said = project.wheels(HERE)
    assert said["wheels"] == {HERE: said["plain"]}
    assert len(said["slower"]) == 1


def test_what_a_wheel_is_made_of_makes_it_another(project: Project) -> None:
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


def test_another_compiler_makes_another_wheel(project: Project, tmp_path: Path) -> None:
    compiler = compiler_for(HERE)
    newer = tmp_path / compiler
    newer.write_text('#!/bin/sh\necho "one of tomorrow"\n')
    newer.chmod(0o755)
    assert len({build.digest(project.folder, name) for name in ("", compiler, str(newer))}) == 3


def test_the_hour_of_a_build_does_not_show_in_the_wheel(project: Project) -> None:
    """An image keeps the wheel's sum, and two images of one commit are to be the same."""
    with zipfile.ZipFile(project.wheels()["plain"]) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_files_of_the_package_that_are_no_programs_come_along(project: Project) -> None:
    files = (path for path in (ROOT / "mynn").rglob("*.*") if path.suffix not in (".c", ".pyc", ".so"))
    data = {str(path.relative_to(ROOT)) for path in files}
    assert {"mynn/network.py", "mynn/cli/train.py", "mynn/lesson/number.js", "mynn/widget/pad.js"} <= data
    assert data <= names(project.wheels()["plain"])
    if HERE and shutil.which(f"{MACHINES[HERE]}-gcc"):
        assert data <= names(project.wheels(HERE)["wheels"][HERE])
