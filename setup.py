"""What pyproject.toml cannot say: the package has a compiled kernel, wherever there is a compiler to build it.

On Windows that is Microsoft's, as setuptools finds it; elsewhere it is `cc`.

`python setup.py build_ext --inplace` puts the kernel beside its source, for work on the project itself. The variable CC
may name a compiler for another machine (`CC=arm-linux-gnueabi-gcc pip wheel .`): the wheel is for that one then, and
there is none if it cannot be compiled.
"""

from __future__ import annotations

import functools
import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

KERNEL = Path(__file__).with_name("mynn") / "kernel"
SOURCES = runpy.run_path(str(KERNEL / "_built.py"))["sources_of"](KERNEL)
# By how the name of the compiler's machine begins, what pip calls it. The kernel needs nothing of a libc but four
# functions that each has, so one wheel is for old and new Linux with glibc (manylinux) and for those with musl.
PLATFORMS = {
    "x86_64": "manylinux_2_17_x86_64.musllinux_1_1_x86_64",
    "aarch64": "manylinux_2_17_aarch64.musllinux_1_1_aarch64",
    "arm-linux-gnueabihf": "manylinux_2_17_armv7l.musllinux_1_1_armv7l.linux_armv6l",
    "arm-linux-gnueabi": "linux_armv6l.linux_armv7l",
}
WINDOWS = sys.platform == "win32" and "CC" not in os.environ
# What a library for Windows must name: the kernel's functions.
EXPORTED = ["mynn_level", "mynn_moments", "mynn_resample", SOURCES]
EXPORTED += [f"mynn_{verb}_{real}" for verb in ("train", "query") for real in ("double", "float")]
FOR_WINDOWS = {
    "extra_compile_args": ["/O2", "/std:c11", "/FImsvc.h", f"/DMYNN_SOURCES={SOURCES}"],
    "include_dirs": ["mynn/kernel"],
    "export_symbols": EXPORTED,
}


def run_compiler(*arguments: str) -> str:
    """Return what the compiler prints; a CompileError has the first line of what it complains of."""
    command = [*shlex.split(os.environ.get("CC", "cc")), *arguments]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        raise CompileError(f"there is no compiler {command[0]}") from None
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error: " in line] or ["it does not say why"]
        raise CompileError(f"{command[0]} cannot build the kernel: {lines[0]}") from None


@functools.cache
def machine() -> str:
    """Return which machine the compiler makes programs for, in its own words: "arm-linux-gnueabi"."""
    return "windows" if WINDOWS else run_compiler("-dumpmachine")


def flags() -> list[str]:
    """Return how the kernel is compiled for the machine that the compiler makes programs for.

    Nothing here lets it change a result, as -ffast-math would. (That nobody waits for a signal at a division by zero is
    true anyhow, and lets the compiler do several numbers at once where there is a comparison in between.)
    """
    common = ["-O3", "-fno-trapping-math", "-shared", "-fPIC"]
    if not machine().startswith("arm-linux-gnueabi"):
        return common
    pi_zero = [*common, "-mcpu=arm1176jzf-s", "-marm", "-mfpu=vfp"]
    # Debian armel is made for processors without floating point, but the Pi Zero has it: use it, and hand numbers over
    # as the system's other programs do.
    return pi_zero if machine().endswith("hf") else [*pi_zero, "-mfloat-abi=softfp"]


class Kernel(build_ext):
    """A plain library, which Python opens through ctypes."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return its name in the package, which is the same for every Python."""
        return f"{fullname.replace('.', '/')}.so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """Return what it says, without what a module for Python itself would have."""
        return ext.export_symbols

    def build_extension(self, ext: Extension) -> None:
        """Compile it, without the flags that this computer's Python was compiled with."""
        if WINDOWS:
            super().build_extension(ext)
            return
        library = Path(self.get_ext_fullpath(ext.name))
        library.parent.mkdir(parents=True, exist_ok=True)
        if not library.exists() or SOURCES.encode() not in library.read_bytes():
            # Bound to no libc: Python has those four functions. Nor is there what Debian's compiler for armhf would add
            # to the start of every library, for later processors than the Pi Zero's. libgcc knows what a PC's can do.
            libraries = ["-nostdlib", "-lgcc"] if "linux" in machine() else []
            options = [*flags(), *ext.extra_compile_args, f"-DMYNN_SOURCES={SOURCES}"]
            run_compiler(*options, "-o", str(library), *ext.sources, *libraries)


class Wheel(bdist_wheel):
    """A wheel for every Python 3 on the compiler's machine."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return Python, its binary interface and the machine, as a wheel's name has them."""
        known = [tag for name, tag in PLATFORMS.items() if machine().startswith(name) and "linux" in machine()]
        return "py3", "none", (known or super().get_tag()[2:])[0]


try:
    machine()
except CompileError as error:
    if "CC" in os.environ:
        raise
    print(f"mynn: built without its compiled kernel, so it is slower ({error})", file=sys.stderr)
    setup()
else:
    # One wheel is for every PC: there the kernel is built for each level of processors, and the best one is loaded.
    levels = {"": []} | {f"_v{n}": [f"-march=x86-64-v{n}"] for n in (3, 4) if machine().startswith("x86_64")}
    kernels = [
        Extension(
            f"mynn.kernel._kernel{level}",
            ["mynn/kernel/kernel.c", "mynn/kernel/distort.c"],
            depends=["mynn/kernel/blocks.c", "mynn/kernel/msvc.h"],  # part of what is handed out
            optional="CC" not in os.environ,
            **(FOR_WINDOWS if WINDOWS else {"extra_compile_args": more}),
        )
        for level, more in levels.items()
    ]
    setup(ext_modules=kernels, cmdclass={"build_ext": Kernel, "bdist_wheel": Wheel})
