"""What pyproject.toml cannot say: the package has a compiled kernel, wherever there is a compiler to build it.

`python setup.py build_ext --inplace` puts the kernel beside its source, for work on the project itself.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from setuptools import setup

if TYPE_CHECKING:
    from cffi import FFI

COMPILER = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")

# What kernel.py calls; what each means is said in kernel.c.
PARSING = """
long mynn_parse(const unsigned char *text, long length, int numbers, int labels, unsigned char *rows, long most);
"""
TRAINING = """
size_t mynn_room_{real}(int inputs, int hidden);
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
    ffi.set_source(
        "mynn._kernel",
        '#include "kernel.c"',
        include_dirs=["mynn"],
        depends=["mynn/kernel.c"],
        extra_compile_args=flags(),
        libraries=["m"],
    )
    return ffi


def flags() -> list[str]:
    """Return how the kernel is compiled for the machine that the compiler makes programs for.

    Nothing here lets it change a result, as -ffast-math would.
    """
    command = [*COMPILER, "-dumpmachine"]
    machine = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    chosen = ["-O3"]
    if machine.startswith("arm") and machine.endswith("gnueabi"):
        # Debian armel is made for processors without floating point, but the Pi Zero has it: use it, and hand
        # numbers over as the system's other programs do.
        chosen += ["-mcpu=arm1176jzf-s", "-marm", "-mfpu=vfp", "-mfloat-abi=softfp"]
    return chosen


def why_not() -> str:
    """Return why nothing can be compiled here, or nothing if it can."""
    try:
        import cffi  # noqa: F401
    except ImportError:
        return "cffi is not installed"
    headers = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "trial.c"), Path(folder, "trial.so")
        source.write_text("#include <Python.h>\n#include <math.h>\n", encoding="ascii")
        command = [*COMPILER, *headers, "-shared", "-fPIC", "-o", str(result), str(source)]
        try:
            run = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        except OSError:
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
        setup(cffi_modules=["setup.py:builder"], options={"bdist_wheel": {"py_limited_api": "cp311"}})
