"""What pyproject.toml cannot say: the package has a compiled kernel, wherever there is a compiler to build it.

`python setup.py build_ext --inplace` puts the kernel beside its source, for work on the project itself. The variable CC
may name a compiler for another machine (`CC=arm-linux-gnueabi-gcc pip wheel .`): the wheel is for that one then.
"""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

if TYPE_CHECKING:
    from cffi import FFI

COMPILER = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")

# By the first word of the compiler's machine, what pip calls it. The same 32-bit system runs on both ARMs.
PLATFORMS = {"x86_64": "linux_x86_64", "aarch64": "linux_aarch64", "arm": "linux_armv6l.linux_armv7l"}

# What the kernel needs to know of another machine's Python, told by the compiler itself.
FOREIGN_PYTHON = """
#define HAVE_SSIZE_T 1
#define SIZEOF_INT __SIZEOF_INT__
#define SIZEOF_LONG __SIZEOF_LONG__
#define SIZEOF_LONG_LONG __SIZEOF_LONG_LONG__
#define SIZEOF_SIZE_T __SIZEOF_SIZE_T__
#define SIZEOF_VOID_P __SIZEOF_POINTER__
#define SIZEOF_WCHAR_T __SIZEOF_WCHAR_T__
"""

# What kernel.py calls; what each means is said in kernel.c.
PARSING = """
long mynn_parse(const unsigned char *text, long length, int pixels, int outputs, unsigned char *labels,
                unsigned char *rows, long most);
"""
TRAINING = """
size_t mynn_room_{real}(int inputs, int hidden, int outputs);
void mynn_train_{real}({real} *wih, {real} *who, int inputs, int hidden, int outputs, {real} rate, int rule,
                       const unsigned char *pixels, const {real} *signals, const {real} *table,
                       const unsigned char *labels, long count, void *room);
void mynn_answer_{real}(const {real} *wih, const {real} *who, int inputs, int hidden, int outputs,
                        const unsigned char *pixels, const {real} *signals, const {real} *table,
                        unsigned char *answers, long count, void *room);
"""


def builder() -> FFI:
    """Return what cffi builds the module `mynn._kernel` of: cffi calls this."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(PARSING + "".join(TRAINING.format(real=real) for real in ("double", "float")))
    compiling, linking = flags()
    ffi.set_source(
        "mynn._kernel",
        '#include "kernel.c"',
        include_dirs=["mynn", *headers()],
        depends=["mynn/kernel.c"],
        extra_compile_args=compiling,
        extra_link_args=linking,
        libraries=["m"],
    )
    return ffi


@functools.cache
def machine() -> str:
    """Return which machine the compiler makes programs for, in its own words: "arm-linux-gnueabi"."""
    command = [*COMPILER, "-dumpmachine"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def headers() -> list[str]:
    """Return where Python's headers are, which are Debian's: one file says what is different on another machine."""
    here = Path(sysconfig.get_path("include"))
    folder = Path("build", "headers")
    if machine() != sysconfig.get_config_var("MULTIARCH"):
        sizes = folder / machine() / here.name / "pyconfig.h"
        sizes.parent.mkdir(parents=True, exist_ok=True)
        sizes.write_text(FOREIGN_PYTHON, encoding="ascii")
    return [str(folder), str(here), sysconfig.get_path("platinclude")]


def flags() -> tuple[list[str], list[str]]:
    """Return how the kernel is compiled, and linked, for the machine that the compiler makes programs for.

    Nothing here lets it change a result, as -ffast-math would. (That nobody waits for a signal at a division by zero is
    true anyhow, and lets the compiler do several numbers at once where there is a comparison in between.)
    """
    compiling, linking = ["-O3", "-g0", "-fno-trapping-math"], []
    if machine().startswith("arm-linux-gnueabi"):
        compiling += ["-mcpu=arm1176jzf-s", "-marm", "-mfpu=vfp"]
        if machine().endswith("hf"):
            # What Debian's compiler would add to the start of every library is for later processors than the Pi
            # Zero's. The kernel can do without.
            linking += ["-nostartfiles"]
        else:
            # Debian armel is made for processors without floating point, but the Pi Zero has it: use it, and hand
            # numbers over as the system's other programs do.
            compiling += ["-mfloat-abi=softfp"]
    return compiling, linking


class Kernel(build_ext):
    """The kernel, which needs none of the libraries that lie beside this machine's Python."""

    def finalize_options(self) -> None:
        """Leave out the folder of these: another machine's linker would stumble over it."""
        super().finalize_options()
        self.library_dirs = []


class Wheel(bdist_wheel):
    """A wheel that says which machine it is for: the compiler's."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return Python, its binary interface and the machine, as a wheel's name has them."""
        python, interface, platform = super().get_tag()
        processor, _, system = machine().partition("-")
        return python, interface, PLATFORMS.get(processor, platform) if "linux" in system else platform


def why_not() -> str:
    """Return why nothing can be compiled here, or nothing if it can."""
    try:
        import cffi  # noqa: F401
    except ImportError:
        return "cffi is not installed"
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "trial.c"), Path(folder, "trial.so")
        source.write_text("#define Py_LIMITED_API\n#include <Python.h>\n#include <math.h>\n", encoding="ascii")
        try:
            command = [*COMPILER, *(f"-I{path}" for path in headers())]
            command += ["-shared", "-fPIC", "-o", str(result), str(source)]
            run = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        except (OSError, subprocess.CalledProcessError):  # CalledProcessError: it does not even know its machine
            return f"there is no compiler {COMPILER[0]}"
    if run.returncode:
        return f"{COMPILER[0]} cannot build it: {(run.stderr.strip() or 'it does not say why').splitlines()[0]}"
    return ""


if __name__ == "__main__":
    reason = why_not()
    if reason:
        print(f"mynn: built without its compiled kernel, so it is slower ({reason})", file=sys.stderr)
        setup()
    else:
        # One wheel serves every Python from 3.11 on: the kernel uses only what they have in common.
        setup(
            cffi_modules=["setup.py:builder"],
            cmdclass={"build_ext": Kernel, "bdist_wheel": Wheel},
            options={"bdist_wheel": {"py_limited_api": "cp311"}},
        )
