"""The wheels that the control node builds for the Pis."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mynn_control.wheels import MACHINES, README, digest, sources, wheel
from tests.support.jupyter_server import pi_venv
from tests.support.programs import ROOT

HERE = next((name for name, machine in MACHINES.items() if machine == sysconfig.get_config_var("MULTIARCH")), "")
KERNEL = "mynn/kernel/_kernel.so"
# A wheel's tag, and what readelf says of its kernel.
ARM = ("Tag_CPU_arch: v6", "Tag_FP_arch: VFPv2")
CODE = {
    "amd64": ("manylinux_2_17_x86_64.musllinux_1_1_x86_64", "X86-64"),
    "arm64": ("manylinux_2_17_aarch64.musllinux_1_1_aarch64", "AArch64"),
    "armel": ("linux_armv6l.linux_armv7l", "soft-float ABI", *ARM),
    "armhf": ("manylinux_2_17_armv7l.musllinux_1_1_armv7l.linux_armv6l", "hard-float ABI", *ARM),
}
# What is made of locale/, as far as it is made.
TRANSLATED = {f"mynn/catalogs/de.{kind}" for kind in ("js", "mo")} | {
    f"mynn_server/page/de/{name}.html" for name in ("index", "try/own")
}
# What builds, editors and Jupyter leave beside the sources; git ignores it.
LEFTOVERS = ("mynn/kernel/_kernel.so", "mynn_server/page/page.js~", "mynn/.ipynb_checkpoints/network.py")


def compiler_for(architecture: str) -> str:
    """Return the compiler for one of Debian's architectures, or skip the test."""
    compiler = f"{MACHINES.get(architecture, 'no')}-gcc"
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is missing: `make compilers` installs it")
    return compiler


def run(command: list[str], folder: Path, **environment: str) -> dict[str, Any]:
    """Run a Python module that prints JSON."""
    environ = {**os.environ, **environment}
    command = [sys.executable, "-m", *command]
    done = subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    output: dict[str, Any] = json.loads(done.stdout)
    return output


def build(project: Path, *architectures: str, **environment: str) -> dict[str, Any]:
    """Build the wheels."""
    return run(["mynn_control.wheels", str(project), *architectures], ROOT, **environment)


def append(path: Path, text: str) -> None:
    """Append text to a file, which need not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages' sources, with what is left beside them; what is built is kept for the next test."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "catalogs", "[a-z][a-z]")
    for package in ("mynn", "mynn_server"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    (tmp_path / README).parent.mkdir(parents=True)
    for name in ("pyproject.toml", "LICENSE", "setup.py", README):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in (*TRANSLATED, *LEFTOVERS):
        append(tmp_path / name, "made by something else")
    (tmp_path / "build").symlink_to(tmp_path_factory.getbasetemp())
    return tmp_path


def info(path: str, to: Path) -> dict[str, Any]:
    """Unpack a wheel, and return the output of its `mynn info`."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(to)
    return run(["mynn", "info", "--json"], to, PYTHONPATH=str(to))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_each_wheel_has_code_for_its_architecture(project: Path, architecture: str, tmp_path: Path) -> None:
    """On ARM the code also runs on ARMv6, as in the first Pi Zero, and uses its floating-point unit.

    It runs with any libc: it needs no library, and four functions that they all have.
    """
    compiler = compiler_for(architecture)
    tag, *words = CODE[architecture]
    output = build(project, architecture)
    wheel = output["wheels"][architecture]
    assert output["slower"] == [] and wheel.endswith(f"-py3-none-{tag}.whl")
    if architecture == HERE:
        assert info(wheel, tmp_path / "installed")["kernel"].startswith("compiled")
    with zipfile.ZipFile(wheel) as archive:
        library = Path(archive.extract(KERNEL, tmp_path / "unpacked"))
    command = [compiler.replace("-gcc", "-readelf"), "-hAW", "--dyn-syms", "--dynamic", str(library)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert [word for word in words if word not in said] == []
    assert set(re.findall(r" UND (\w.*)", said)) <= {"aligned_alloc", "free", "memcpy", "memset"}
    assert "(NEEDED)" not in said
    names = "import setuptools; setuptools.setup = lambda **_: None; import setup; print(*setup.EXPORTED)"
    on_windows = subprocess.check_output([sys.executable, "-c", names], cwd=ROOT, text=True).split()
    assert sorted(on_windows) == sorted(re.findall(r"FUNC +GLOBAL .* (mynn_\w+)", said))


@pytest.mark.slow
def test_an_index_takes_the_wheels_and_anybody_can_install_the_sources(project: Path, tmp_path: Path) -> None:
    """With the same compiler, the wheel is the same."""
    for architecture in ("amd64", "arm64", "armhf"):
        compiler_for(architecture)
    dist, module = tmp_path / "dist", [sys.executable, "-m"]
    subprocess.run([*module, "mynn_control.wheels", project, "--to", dist], cwd=ROOT, check=True)
    [sources], linux = dist.glob("*.tar.gz"), list(dist.glob("*.whl"))
    assert len(linux) == 3
    for path in linux:
        shown = json.loads(subprocess.check_output([*module, "auditwheel", "show", "--json", path]))
        assert shown["overall_tag"].startswith("manylinux") and not shown["external_libs"]
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path / "built")]
    one = {**os.environ, "CC": compiler_for("arm64")}  # which compiles one library, and not three
    subprocess.run([*module, "pip", "wheel", *options, str(sources)], env=one, check=True)
    [built] = (tmp_path / "built").iterdir()
    assert zipfile.ZipFile(built).namelist() == zipfile.ZipFile(dist / built.name).namelist()


def test_without_a_compiler_the_plain_wheel_is_used(project: Path, tmp_path: Path) -> None:
    """Or with one that fails. It has our sources and nothing else, and is not built again."""
    output = build(project, "amd64", "armel", PATH=str(tmp_path))
    assert output["wheels"] == {"amd64": output["plain"], "armel": output["plain"]}
    assert "no arm-linux-gnueabi-gcc" in output["slower"][1]
    assert "apt install gcc-arm-linux-gnueabi" in output["slower"][1]
    assert output["plain"].endswith("-py3-none-any.whl")
    assert info(output["plain"], tmp_path / "installed")["kernel"].startswith("numpy")
    built = {path: path.stat().st_ctime_ns for path in map(Path, (output["plain"], output["server"]))}
    assert build(project, "amd64", "armel", PATH=str(tmp_path)) == output
    assert {path: path.stat().st_ctime_ns for path in built} == built

    ours = subprocess.run(["git", "ls-files", "mynn", "mynn_server"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    expected = {name for name in ours.stdout.split() if not name.endswith((".c", ".h", ".toml"))}
    packed = {name for wheel in built for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected | TRANSLATED

    compiler_for(HERE)
    append(project / "mynn/kernel/kernel.c", "\nthis is not C\n")
    output = build(project, HERE)
    assert output["wheels"] == {HERE: output["plain"]} and len(output["slower"]) == 1


def test_changed_sources_change_the_wheels_digest(project: Path, tmp_path: Path) -> None:
    """And so does another compiler."""
    compiler = compiler_for(HERE)

    def sums(compiler: str = compiler) -> list[str]:
        plain, server = (digest(sources(project, package)) for package in ("mynn", "mynn_server"))
        return [digest(sources(project, "mynn", compiler), compiler), plain, server]

    before = sums()
    for names, changed in (
        (["setup.py", "mynn/kernel/kernel.c"], [True, False, False]),
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


def test_on_a_machine_that_nobody_thought_of_the_wheel_is_for_this_python() -> None:
    program = (
        "import setuptools; setuptools.setup = lambda **_: None\n"
        "import setup; setup.machine = lambda: 'riscv64-linux-gnu'\n"
        "of = setuptools.Distribution({'ext_modules': [setuptools.Extension('kernel', [])]})\n"
        "wheel = setup.Wheel(of); wheel.ensure_finalized(); print(*wheel.get_tag())"
    )
    said = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    assert said == ["py3", "none", sysconfig.get_platform().replace("-", "_")]


@pytest.mark.root
def test_on_a_pi_the_distribution_mynn_becomes_mynn_pi(tmp_path: Path) -> None:
    """Both have the same files, which must be there afterwards."""
    with pi_venv() as venv:
        [new] = venv.glob("lib/python3*/site-packages/mynn_pi-*.dist-info")
        old = new.rename(new.with_name(new.name.replace("_pi", "")))
        for file in (old / "METADATA", old / "RECORD"):
            file.write_text(file.read_text().replace("mynn-pi", "mynn").replace(new.name, old.name))
        wheels = [shutil.copy(wheel(ROOT, name), tmp_path) for name in ("mynn", "mynn_server")]
        script = ROOT / "roles/mynn/files/install.sh"
        subprocess.run(["sh", script, venv, "mynn-stamp", *wheels], check=True)
        names = {path.name.partition("-")[0] for path in old.parent.glob("mynn*.dist-info")}
        assert names == {"mynn_pi", "mynn_server"}
        subprocess.run([venv / "bin/python", "-c", "import mynn.network"], cwd=tmp_path, check=True)
