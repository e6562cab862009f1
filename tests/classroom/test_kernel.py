"""What a teacher's settings change for a student's program. tests/provisioned tests the defaults."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import Classroom

IDLE = 15  # seconds after which an idle program is shut down


@pytest.fixture(scope="module")
def settings(classroom: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Apply HTTPS and a short idle timeout, and restore the defaults afterwards."""
    folder = tmp_path_factory.mktemp("settings")
    changed = {"jupyter_https": True, "jupyter_cull_seconds": IDLE, "jupyter_ca": str(folder / "ca")}
    changed |= {"report_folder": str(folder / "report"), "verify_results": str(folder / "work")}
    extra = ["-e", json.dumps(changed)]
    try:
        assert classroom.playbook("site", *extra).returncode == 0
        yield extra
    finally:
        restored = classroom.playbook("site")
    assert restored.returncode == 0


def test_https_is_verified(classroom: Classroom, settings: list[str]) -> None:
    """verify.yml succeeds over HTTPS too, with the classroom's certificate authority."""
    done = classroom.playbook("verify", *settings)
    assert done.returncode == 0
    report = Path(json.loads(settings[1])["report_folder"])
    assert f"https://{classroom.address}:8888" in (report / "index.html").read_text(encoding="utf-8")


def test_idle_program_is_shut_down(classroom: Classroom, settings: list[str]) -> None:
    """A busy program keeps running however long it takes; once idle, it is shut down."""
    authority = str(Path(json.loads(settings[1])["jupyter_ca"], "classroom-ca.crt"))
    server = NotebookServer(f"https://{classroom.address}:8888", authority)
    assert server.sign_in(classroom.password)
    with server.kernel() as kernel:
        output = kernel.run(f"import time; time.sleep({3 * IDLE}); print('done')")
        assert (output.text, output.error) == ("done\n", "")
        end = time.monotonic() + 4 * IDLE
        while any(one["id"] == kernel.identity for one in server.get("/api/kernels")):
            assert time.monotonic() < end, f"The program is still running after {4 * IDLE} idle seconds."
            time.sleep(1)
