"""Where the programs under test are, and how to import those that the roles copy to a Pi."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.files import locked

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE_PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))


def load(path: Path) -> Any:
    """Import a program and return its module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def run_playbook(
    *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 1800
) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook with these arguments, here. env: more of its environment."""
    command, env = [ANSIBLE_PLAYBOOK, *map(str, arguments)], os.environ | (env or {})
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )
    print(done.stdout[-20000:], done.stderr[-5000:])  # pytest shows it if the test fails
    return done


def build_kernel() -> None:
    """Build mynn's compiled kernel in this folder, where there is a compiler."""
    with locked(ROOT / "mynn"):  # two stages of tests may arrive here at the same time
        subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=ROOT, check=True)
