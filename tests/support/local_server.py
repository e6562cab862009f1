# mypy: untyped-calls-exclude=nbformat
# (nbformat says that it is typed, and a few of its functions are not.)
"""A notebook server on this computer, and notebooks for it, for tests of what a browser shows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import nbformat

from tests.support.ports import free_port

START = 180  # seconds, with a busy computer


def write_notebook(path: Path, cells: Iterable[str]) -> None:
    """Write a notebook with these cells of code."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


@contextmanager
def notebook_server(folder: Path) -> Iterator[str]:
    """Serve the notebooks of a folder at this URL, with the token `test`; its own files go beside the folder."""
    port = free_port()
    own = {f"JUPYTER_{name}_DIR": str(folder.parent / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [
        *(sys.executable, "-m", "notebook", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--IdentityProvider.token=test", f"--ServerApp.root_dir={folder}", "--ServerApp.port_retries=0"),
    ]
    log = folder.parent / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env={**os.environ, **own}, stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/api?token=test").close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # ended while its page asks for something, it may wait for a thread for ever
            process.kill()
            process.wait()
