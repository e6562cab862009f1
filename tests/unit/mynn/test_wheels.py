"""The wheels that the control node builds for the Pis."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mynn_control.wheels import MACHINES, digest, sources
from tests.support.programs import ROOT

HERE = next((name for name, machine in MACHINES.items() if machine == sysconfig.get_config_var("MULTIARCH")), "")
KERNEL = "mynn/kernel/_kernel.so"
# The machine and the flags in a library's ELF header, as in elf.h. The flags tell Debian's two ARM ports apart.
ELF = {"amd64": (62, 0), "arm64": (183, 0), "armel": (40, 0x200), "armhf": (40, 0x400)}
TAGS = {"amd64": "linux_x86_64", "arm64": "linux_aarch64"} | dict.fromkeys(
    ("armel", "armhf"), "linux_armv6l.linux_armv7l"
)
# What builds, editors and Jupyter leave beside the sources; git ignores it.
LEFTOVERS = ("mynn/kernel/_kernel.so", "mynn_server/page/page.js~", "mynn/.ipynb_checkpoints/network.py")


def compiler_for(architecture: str) -> str:
    """Return the compiler for one of Debian's architectures, or skip the test."""
    compiler = f"{MACHINES.get(architecture, 'no')}-gcc"
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is missing: `make test-all` installs it")
    return compiler


def build(project: Path, *architectures: str, path: str | None = None) -> dict[str, Any]:
    """Build the wheels; `path` is where it looks for compilers."""
    environment = os.environ if path is None else {**os.environ, "PATH": path}
    command = [sys.executable, "-m", "mynn_control.wheels", str(project), *architectures]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    output: dict[str, Any] = json.loads(done.stdout)
    return output


def append(path: Path, text: str) -> None:
    """Append text to a file, which need not exist."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages' sources, with what is left beside them; what is built is kept for the next test."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for package in ("mynn", "mynn_server"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    for name in ("pyproject.toml", "LICENSE", "setup.py"):
        shutil.copy(ROOT / name, tmp_path)
    for name in LEFTOVERS:
        append(tmp_path / name, "left by something else")
    (tmp_path / "build").symlink_to(tmp_path_factory.getbasetemp())
    return tmp_path


def files_in(wheel: str) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def info(wheel: str, to: Path) -> dict[str, Any]:
    """Unpack a wheel, and return the output of its `mynn info`."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(to)
    command = [sys.executable, "-m", "mynn", "info", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(to)}
    done = subprocess.run(command, cwd=to, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    output: dict[str, Any] = json.loads(done.stdout)
    return output


@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_each_wheel_has_code_for_its_architecture(project: Path, architecture: str, tmp_path: Path) -> None:
    """On ARM the code also runs on ARMv6, as in the first Pi Zero, and uses its floating-point unit."""
    compiler = compiler_for(architecture)
    output = build(project, architecture)
    wheel = output["wheels"][architecture]
    assert output["slower"] == []
    if architecture == HERE:
        assert info(wheel, tmp_path / "installed")["kernel"].startswith("compiled")
    assert wheel.endswith(f"-py3-none-{TAGS[architecture]}.whl")
    with zipfile.ZipFile(wheel) as archive:
        library = Path(archive.extract(KERNEL, tmp_path / "unpacked"))
    head = library.read_bytes()[:40]
    machine, flags = int.from_bytes(head[18:20], "little"), int.from_bytes(head[36:40], "little")
    if machine == 40:
        command = [compiler.replace("-gcc", "-readelf"), "--arch-specific", str(library)]
        attributes = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        assert "Tag_CPU_arch: v6" in attributes and "Tag_FP_arch: VFPv2" in attributes
        assert (machine, flags & 0x600) == ELF[architecture]
    else:
        assert (machine, 0) == ELF[architecture]


def test_without_a_compiler_the_plain_wheel_is_used(project: Path, tmp_path: Path) -> None:
    """It works without the kernel. The wheels have our sources and nothing else, and are not built again."""
    output = build(project, "amd64", "armel", path=str(tmp_path))
    assert output["wheels"] == {"amd64": output["plain"], "armel": output["plain"]}
    assert "armel Pis get mynn without" in output["slower"][1]
    assert (
        "there is no arm-linux-gnueabi-gcc" in output["slower"][1]
        and "apt install gcc-arm-linux-gnueabi libc6-dev-armel-cross" in output["slower"][1]
    )
    assert output["plain"].endswith("-py3-none-any.whl")
    assert info(output["plain"], tmp_path / "installed")["kernel"].startswith("numpy")
    built = {path: path.stat().st_ctime_ns for path in map(Path, (output["plain"], output["server"]))}
    assert build(project, "amd64", "armel", path=str(tmp_path)) == output
    assert {path: path.stat().st_ctime_ns for path in built} == built

    ours = subprocess.run(["git", "ls-files", "mynn", "mynn_server"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    expected = {name for name in ours.stdout.split() if not name.endswith((".c", ".toml"))}
    packed = files_in(output["plain"]) | files_in(output["server"])
    assert {name for name in packed if ".dist-info/" not in name} == expected


def test_without_a_kernel_that_compiles_the_plain_wheel_is_used(project: Path) -> None:
    compiler_for(HERE)
    append(project / "mynn/kernel/kernel.c", "\nthis is not C\n")
    output = build(project, HERE)
    assert output["wheels"] == {HERE: output["plain"]}
    assert len(output["slower"]) == 1


def test_changed_sources_change_the_wheels_digest(project: Path, tmp_path: Path) -> None:
    """And so does another compiler."""
    compiler = compiler_for(HERE)

    def sums(compiler: str = compiler) -> list[str]:
        plain, server = (digest(sources(project, package)) for package in ("mynn", "mynn_server"))
        return [digest(sources(project, "mynn", compiler), compiler), plain, server]

    before = sums()
    c = [f"mynn/kernel/{name}.c" for name in ("kernel", "blocks", "distort")]
    for names, changed in (
        (["setup.py", *c], [True, False, False]),
        (["mynn/network.py", "pyproject.toml", "mynn/widget/new.js"], [True, True, False]),
        (["mynn_server/serve.py", "mynn_server/pyproject.toml", "mynn_server/page/page.css"], [False, False, True]),
        (LEFTOVERS, [False, False, False]),
    ):
        for name in names:
            append(project / name, "\n")
            after = sums()
            assert [one != other for one, other in zip(before, after, strict=True)] == changed, name
            before = after
    newer = tmp_path / "newer-gcc"
    newer.write_text('#!/bin/sh\necho "version 99"\n')
    newer.chmod(0o755)
    assert sums(str(newer))[0] != before[0]


def test_the_wheels_are_reproducible(project: Path) -> None:
    """An image contains the wheels' hashes, and two images of the same commit must be equal."""
    output = build(project)
    for name in ("plain", "server"):
        with zipfile.ZipFile(output[name]) as archive:
            assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
