#!/usr/bin/env python3
"""Build the package's wheels on the control node, unless they were built before of these very sources.

    build.py PROJECT FOLDER ARCHITECTURE...

Prints JSON: `wheels`, by Debian's name of each architecture the path of its wheel; `plain`, the path of the one without
the compiled kernel, which runs everywhere; `slower`, a sentence for each architecture that must do with that one.

A wheel lies in FOLDER/SUM, of its sources and its compiler. It appears whole or not at all, so several runs may build
at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# How Debian names the machines that its compilers make programs for.
MACHINES = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "armel": "arm-linux-gnueabi",
    "armhf": "arm-linux-gnueabihf",
}


class CannotBuildError(Exception):
    """Why there is no wheel."""


def sources(project: Path, compiler: str) -> list[Path]:
    """Return what a wheel is made of; without a compiler, the plain one."""
    package = [path.relative_to(project) for path in sorted((project / "mynn").rglob("*")) if path.is_file()]
    left_by_builds = (".c", ".o", ".pyc", ".so")
    ours = [
        project / path
        for path in package
        if path.suffix not in left_by_builds and not any(part.startswith(".") for part in path.parts)
    ]
    kernel = [project / "setup.py", *sorted((project / "mynn/kernel").glob("*.c"))] if compiler else []
    return [project / "pyproject.toml", project / "LICENSE", *ours, *kernel]


def run(command: Sequence[str | Path], folder: Path, compiler: str) -> str:
    """Return what a command prints; CannotBuildError has the line that says why it failed."""
    # The files in the wheel have one time, whenever it is built, so that the same sources make the same wheel.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}  # 1980: a zip knows nothing earlier
    if compiler:
        environment["CC"] = compiler
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it does not say why"]
        reasons = [line.strip().removeprefix("error: ") for line in lines if "error: " in line]
        raise CannotBuildError((reasons or lines)[-1])
    return done.stdout.strip()


def build(project: Path, folder: Path, compiler: str) -> None:
    """Build in a copy: a build leaves files beside the sources, and would pack what an earlier one left."""
    copy = folder / "source"
    for path in sources(project, compiler):
        target = copy / path.relative_to(project)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    run([*pip, *offline, "--wheel-dir", folder / "wheel", copy], folder, compiler)


def digest(project: Path, compiler: str = "") -> str:
    """Return what stands for the sources and the compiler; without a compiler, for the plain wheel's sources."""
    total = hashlib.sha256()
    if compiler:
        total.update(run([compiler, "--version"], project, compiler).encode() + b"\0")
    for path in sources(project, compiler):
        total.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def wheel(project: Path, folder: Path, compiler: str = "") -> Path:
    """Return where the wheel is, found or built; without a compiler, the plain one."""
    built = folder / digest(project, compiler)
    if not built.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as temporary:
            build(project, Path(temporary), compiler)
            try:
                Path(temporary, "wheel").rename(built)
            except OSError:
                if not built.is_dir():  # otherwise another run was quicker
                    raise
    [found] = built.glob("*.whl")
    return found


def compiled(project: Path, folder: Path, architecture: str) -> Path:
    """Return where the wheel for an architecture is, or say why it cannot be built, and what may help."""
    compiler = f"{MACHINES[architecture]}-gcc"
    try:
        if not shutil.which(compiler):
            raise CannotBuildError(f"there is no {compiler}")
        return wheel(project, folder, compiler)
    except CannotBuildError as error:
        raise CannotBuildError(
            f"{architecture} Pis get mynn without its compiled kernel, so it learns more slowly there: {error} (where "
            "that is missing, `make compilers` brings it)."
        ) from None


def main() -> None:
    """Find or build the wheels, and print where they are."""
    project, folder = (Path(argument).resolve() for argument in sys.argv[1:3])
    try:
        plain = wheel(project, folder)
    except CannotBuildError as error:
        sys.exit(f"build.py: the package {project} cannot be built: {error}")
    wheels, slower = {}, []
    for architecture in sys.argv[3:]:
        try:
            wheels[architecture] = str(compiled(project, folder, architecture))
        except CannotBuildError as error:
            wheels[architecture] = str(plain)
            slower.append(str(error))
    print(json.dumps({"wheels": wheels, "plain": str(plain), "slower": slower}))


if __name__ == "__main__":
    main()
