"""Build of mynn's compiled kernel, which pyproject.toml cannot express. Without a compiler, the kernel is left out.

On Windows, setuptools finds Microsoft's compiler; elsewhere the compiler is `cc`.

`python setup.py build_ext --inplace` puts the kernel beside its source, for development. The variable CC may name a
compiler for another machine (`CC=arm-linux-gnueabi-gcc pip wheel .`): the wheel is then for that machine, and the build
fails if the kernel cannot be compiled.
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
# pip's platform tags, by the beginning of the compiler's machine name. The kernel needs only four functions, which
# every libc has, so one wheel suits old and new Linux with glibc (manylinux) and with musl.
PLATFORMS = {
    "x86_64": "manylinux_2_17_x86_64.musllinux_1_1_x86_64",
    "aarch64": "manylinux_2_17_aarch64.musllinux_1_1_aarch64",
    "arm-linux-gnueabihf": "manylinux_2_17_armv7l.musllinux_1_1_armv7l.linux_armv6l",
    "arm-linux-gnueabi": "linux_armv6l.linux_armv7l",
}
WINDOWS = sys.platform == "win32" and "CC" not in os.environ
# The kernel's functions, which a library for Windows must name.
EXPORTED = ["mynn_level", "mynn_resample", SOURCES]
EXPORTED += [f"mynn_{verb}_{real}" for verb in ("train", "query") for real in ("double", "float")]
FOR_WINDOWS = {
    "extra_compile_args": ["/O2", "/std:c11", "/FImsvc.h", f"/DMYNN_SOURCES={SOURCES}"],
    "include_dirs": ["mynn/kernel"],
    "export_symbols": EXPORTED,
}


def run_compiler(*arguments: str) -> str:
    """Return the compiler's output. CompileError: it failed; the message is its first error."""
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
    """Return the compiler's target machine in its own words, such as "arm-linux-gnueabi"; or "windows"."""
    return "windows" if WINDOWS else run_compiler("-dumpmachine")


def flags() -> list[str]:
    """Return the compiler's options for its target machine.

    None of them changes a result, as -ffast-math would. (-fno-trapping-math promises that nobody waits for a signal at
    a division by zero, which is true; then loops with a comparison can be vectorised.)
    """
    common = ["-O3", "-fno-trapping-math", "-shared", "-fPIC"]
    if not machine().startswith("arm-linux-gnueabi"):
        return common
    pi_zero = [*common, "-mcpu=arm1176jzf-s", "-marm", "-mfpu=vfp"]
    # Debian armel is built for processors without floating point, but the Pi Zero has it: use it, and pass numbers as
    # the system's other programs do.
    return pi_zero if machine().endswith("hf") else [*pi_zero, "-mfloat-abi=softfp"]


class Kernel(build_ext):
    """Build of a plain library, which Python opens with ctypes."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the library's name in the package, which is the same for every Python."""
        return f"{fullname.replace('.', '/')}.so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """Return the kernel's functions, without the init function of a Python extension module."""
        return ext.export_symbols

    def build_extension(self, ext: Extension) -> None:
        """Compile the kernel, without the flags that this computer's Python was compiled with."""
        if WINDOWS:
            super().build_extension(ext)
            return
        library = Path(self.get_ext_fullpath(ext.name))
        library.parent.mkdir(parents=True, exist_ok=True)
        if not library.exists() or SOURCES.encode() not in library.read_bytes():
            # No libc is linked: Python has those four functions. This also leaves out the start code of Debian's armhf
            # compiler, for later processors than the Pi Zero's. libgcc detects what a PC's processor can do.
            libraries = ["-nostdlib", "-lgcc"] if "linux" in machine() else []
            options = [*flags(), *ext.extra_compile_args, f"-DMYNN_SOURCES={SOURCES}"]
            run_compiler(*options, "-o", str(library), *ext.sources, *libraries)


class Wheel(bdist_wheel):
    """A wheel for every Python 3 on the compiler's machine."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags in a wheel's name: Python, its ABI and the platform."""
        known = [tag for name, tag in PLATFORMS.items() if machine().startswith(name) and "linux" in machine()]
        return "py3", "none", (known or super().get_tag()[2:])[0]


try:
    machine()
except CompileError as error:
    if "CC" in os.environ:
        raise
    print(f"mynn: built without its compiled kernel, and therefore slower ({error})", file=sys.stderr)
    setup()
else:
    # One wheel for every PC: the kernel is built for each level of x86-64, and mynn loads the best one.
    levels = {"": []} | {f"_v{n}": [f"-march=x86-64-v{n}"] for n in (3, 4) if machine().startswith("x86_64")}
    kernels = [
        Extension(
            f"mynn.kernel._kernel{level}",
            ["mynn/kernel/kernel.c", "mynn/kernel/distort.c"],
            depends=["mynn/kernel/blocks.c", "mynn/kernel/msvc.h"],  # also packed into the source archive
            optional="CC" not in os.environ,
            **(FOR_WINDOWS if WINDOWS else {"extra_compile_args": more}),
        )
        for level, more in levels.items()
    ]
    setup(ext_modules=kernels, cmdclass={"build_ext": Kernel, "bdist_wheel": Wheel})
