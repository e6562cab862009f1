from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.jupyter_server import pi_venv


@pytest.fixture(scope="module")
def venv() -> Iterator[Path]:
    """A virtual environment like a Pi's."""
    with pi_venv() as folder:
        yield folder
