"""Build the Pis' wheels on the control node, unless they were already built from the same sources.

    python -m mynn_control.wheels PROJECT ARCHITECTURE...
    python -m mynn_control.wheels PROJECT --to FOLDER

The first prints JSON: `wheels`, paths of mynn's wheels by Debian architecture; `plain`, the path of its wheel without
the compiled kernel, which runs everywhere; `slower`, a sentence for each architecture that only gets the plain wheel;
`server`, the path of mynn_server's wheel. The second writes files for a package index into FOLDER: mynn's wheels for
Linux on PCs and Pis, and its sources for other systems. (Not the plain wheel: a Mac or Windows would install it instead
of compiling the kernel.)

A wheel is in PROJECT/build/wheel/SUM, a hash of its sources and its compiler. It appears whole or not at all, so
several runs may build at once.
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

# Debian's architectures, and the prefixes of their compilers.
MACHINES = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "armel": "arm-linux-gnueabi",
    "armhf": "arm-linux-gnueabihf",
}
# A package's files; builds and editors leave others beside them.
SUFFIXES = (".css", ".html", ".js", ".mo", ".py", ".svg", ".typed")
README = "docs/teach/without-a-pi.md"  # of mynn, as in pyproject.toml


class CannotBuildError(Exception):
    """A wheel cannot be built; the message says why."""


def sources(project: Path, package: str, compiler: str = "") -> dict[str, Path]:
    """Return a wheel's source files, by place in the build. Without a compiler, the kernel is left out."""
    parts = {name: project / name for name in ("LICENSE", "pyproject.toml", README)}
    if package != "mynn":
        parts = {"LICENSE": parts["LICENSE"], "pyproject.toml": project / package / "pyproject.toml"}
        parts["mynn/__init__.py"] = project / "mynn/__init__.py"  # has the version
    kernel = [project / "setup.py", *(project / "mynn/kernel").glob("*.[ch]")] if compiler else []
    files = [path for path in (project / package).rglob("*") if path.suffix in SUFFIXES]
    named = {str(path.relative_to(project)): path for path in sorted([*files, *kernel])}
    return parts | {name: path for name, path in named.items() if "/." not in name}


def run(command: Sequence[str | Path], compiler: str, folder: Path | None = None) -> str:
    """Return a command's output. CannotBuildError: it failed; the message is the line that says why."""
    # All files in a wheel have the same time, so that the same sources make the same wheel.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}  # 1980, the earliest time in a zip file
    if compiler:
        environment["CC"] = compiler
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CannotBuildError(f"there is no {command[0]}") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it does not say why"]
        reasons = [line.strip().removeprefix("error: ") for line in lines if "error: " in line]
        raise CannotBuildError((reasons or lines)[-1])
    return done.stdout.strip()


def digest(files: dict[str, Path], compiler: str = "") -> str:
    """Return a hash of the sources and the compiler's version."""
    total = hashlib.sha256()
    if compiler:
        total.update(run([compiler, "--version"], compiler).encode() + b"\0")
    for name, path in files.items():
        total.update(name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def copy(files: dict[str, Path], folder: Path) -> None:
    """Copy files into a build folder: a build leaves more beside them, and would pack an earlier build's files."""
    for name, path in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def build(files: dict[str, Path], folder: Path, compiler: str) -> None:
    """Build a wheel in the folder `wheel` of a folder."""
    copy(files, folder / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    run([*pip, *offline, "--wheel-dir", folder / "wheel", folder / "source"], compiler)


def wheel(project: Path, package: str, compiler: str = "") -> Path:
    """Return the path of a package's wheel, which is built if it does not exist."""
    files, folder = sources(project, package, compiler), project / "build/wheel"
    built = folder / digest(files, compiler)
    if not built.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as temporary:
            build(files, Path(temporary), compiler)
            try:
                Path(temporary, "wheel").rename(built)
            except OSError:
                if not built.is_dir():  # otherwise another run was quicker
                    raise
    [path] = built.glob("*.whl")
    return path


def compiled(project: Path, architecture: str) -> Path:
    """Return the path of mynn's wheel for an architecture. CannotBuildError: why not, and what may help."""
    compiler = f"{MACHINES[architecture]}-gcc"
    if brought := list((project / "build/wheel" / architecture).glob("*.whl")):  # the desk's card has no compilers
        return brought[0]
    try:
        return wheel(project, "mynn", compiler)
    except CannotBuildError as error:
        packages = f"gcc-{MACHINES[architecture]} libc6-dev-{architecture}-cross".replace("_", "-")
        raise CannotBuildError(
            f"{architecture} Pis get mynn without its compiled kernel, so it learns more slowly there: {error}. On "
            f"Debian, `sudo apt install {packages}` installs a compiler; then run this again."
        ) from None


def distribute(project: Path, folder: Path) -> None:
    """Write mynn's wheels and its source archive into a folder, and print their paths."""
    compilers = [f"{MACHINES[architecture]}-gcc" for architecture in ("amd64", "arm64", "armhf")]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as temporary:
        source = Path(temporary, "source")
        copy(sources(project, "mynn", compilers[0]), source)
        run([sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", temporary], compilers[0], source)
        made = [*Path(temporary).glob("*.tar.gz"), *(wheel(project, "mynn", compiler) for compiler in compilers)]
        for path in made:
            print(shutil.copy(path, folder))


def main() -> None:
    """Find or build the wheels, and print their paths."""
    project = Path(sys.argv[1]).resolve()
    try:
        if sys.argv[2:3] == ["--to"]:
            distribute(project, Path(sys.argv[3]))
            return
        plain, server = wheel(project, "mynn"), wheel(project, "mynn_server")
    except CannotBuildError as error:
        sys.exit(f"The packages in {project} cannot be built: {error}")
    wheels, slower = {}, []
    for architecture in sys.argv[2:]:
        try:
            wheels[architecture] = str(compiled(project, architecture))
        except CannotBuildError as error:
            wheels[architecture] = str(plain)
            slower.append(str(error))
    print(json.dumps({"wheels": wheels, "plain": str(plain), "slower": slower, "server": str(server)}))


if __name__ == "__main__":
    main()
