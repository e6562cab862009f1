# mypy: untyped-calls-exclude=nbformat
# (nbformat says that it is typed, and a few of its functions are not.)
"""Run a lesson, and look at its outputs."""

import base64
import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.image
import nbformat
import numpy as np
from nbclient import NotebookClient

from tests.support.programs import ROOT

LESSONS = ROOT / "notebooks"
MEMORY_MIB = 200  # of a Pi Zero's 427, for one lesson: kernel, numpy and pyplot included

# Appended to a lesson: prints the requested values and its peak memory as JSON.
PROBE = """
import json, pathlib
values = {VALUES}
peak = int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"peak": peak, **values}, default=lambda array: array.tolist()))
"""


def _try(cells: list[Any], exercise: str, answers: tuple[str, str]) -> None:
    """Insert copies of an exercise after it, with answers in place of the dots."""
    (place,) = [index for index, cell in enumerate(cells) if cell.id == exercise]
    for name, answer in zip(("right", "wrong"), answers, strict=True):
        source = cells[place].source.replace("= ...", f"= {answer}", 1)
        assert source != cells[place].source, f"{exercise} has no dots"
        cells.insert(place + 1, nbformat.v4.new_code_cell(source, id=f"{exercise}-{name}"))


class Run:
    """A lesson that has run: the outputs of its cells by id, and values at its end."""

    def __init__(
        self, name: str, values: str, mnist: Path, folder: Path, tries: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        """Run a lesson. `tries` has a right answer and a wrong one for each exercise, by the id of its cell.

        The outputs of the checks are those of the cells ID-right and ID-wrong.
        """
        notebook = nbformat.read(LESSONS / name, as_version=4)
        for cell, answers in (tries or {}).items():
            _try(notebook.cells, cell, answers)
        notebook.cells.append(nbformat.v4.new_code_cell(PROBE.replace("VALUES", values), id="probe"))
        client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
        client.execute(env={**os.environ, "MNIST_DIR": str(mnist)})
        self.folder, self.stem, self.exercises = folder, Path(name).stem, list(tries or ())
        self.outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
        self.values: dict[str, Any] = json.loads(self.text("probe"))

    def text(self, cell: str) -> str:
        """Return the text that a cell printed."""
        return "".join(output.text for output in self.outputs[cell] if output.output_type == "stream")

    def assert_is_whole(self, score: float | None = None) -> None:
        """Assert that the lesson fits a Pi Zero, checks its exercises, draws its pictures, and saves this score."""
        assert self.values["peak"] < MEMORY_MIB
        for exercise in self.exercises:
            assert self.text(exercise).startswith("Not yet: write your answer in place of the dots"), exercise
            assert self.text(f"{exercise}-right") == "Right.\n", (exercise, self.text(f"{exercise}-right"))
            wrong = self.text(f"{exercise}-wrong")
            assert re.fullmatch(r"Not yet: .{20,}\n", wrong), (exercise, wrong)
        for cell, outputs in self.outputs.items():
            if any("image/png" in output.get("data", {}) for output in outputs):
                assert self.picture(cell).std() > 0.03, f"{cell} shows an empty picture"
        saved = json.loads((self.folder / "my_progress.json").read_text(encoding="utf-8"))["lessons"]
        assert list(saved) == [self.stem]
        found = saved[self.stem]["score"]
        assert (found is None) == (score is None) and abs((found or 0) - (score or 0)) < 0.001, found
        last = list(self.outputs)[-2]  # before the probe
        (message,) = [output.data["text/markdown"] for output in self.outputs[last] if "data" in output]
        assert "Well done" in message

    def picture(self, cell: str) -> np.ndarray:
        """Return the last picture of a cell: shape (height, width, channels), 0 to 1."""
        *_, data = [output.data["image/png"] for output in self.outputs[cell] if "image/png" in output.get("data", {})]
        picture: np.ndarray = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)))
        return picture

    def ink(self, cell: str) -> float:
        """Return the fraction of a cell's picture that is dark, 0 to 1."""
        return float((self.picture(cell)[..., :3].mean(axis=2) < 0.5).mean())
