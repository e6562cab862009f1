"""Canaries: each private part of another project that docs/develop/private-parts.md lists is there, as it is used."""

import importlib
import inspect
import re
import sys
from functools import cache
from pathlib import Path

import notebook
import pytest

from tests.support.programs import ROOT

PAGE = (ROOT / "docs/develop/private-parts.md").read_text(encoding="utf-8")
ROWS = re.findall(r"\| `([\w./]+): ?([\w.-]+)(?:\((.*?)\))?` \| `(.*?)` \| .*? \| (.*?) \|", PAGE)
# What our pages name of Jupyter's: classes and properties, commands, plugins, elements.
NAMED = r'--jp-[\w-]+|(?<=\.)jp-[\w-]+|(?<=act\(")[\w-]+|(?<=")@jupyter[\w-]*/[\w:-]+|(?<=#)\w+-panel-\w+'


@pytest.mark.parametrize(("module", "name", "parameters", "where", "without"), ROWS, ids=lambda text: text[-40:])
def test_a_private_part_is_as_it_is_used(module: str, name: str, parameters: str, where: str, without: str) -> None:
    assert len(ROWS) == PAGE.count("\n| `"), "a row is not as the others are"
    *outer, last = name.split(".")
    said = f"{module}:{name} is not what {where} takes it for: {without}."
    assert last in (ROOT / where).read_text(encoding="utf-8"), f"{where} does not use {name}: remove its row."
    if "/" in module:
        assert name in pages_of_jupyter(), said
        return
    if last == "_process_rpc_queue" and sys.version_info < (3, 12):
        pytest.skip("ansible-core 2.19, the last one for Python 3.11, has none: run it with a later Python")
    part = importlib.import_module(module)
    for one in outer:
        part = getattr(part, one)
    if not hasattr(part, last):  # what each object has of its own
        assert re.search(rf"\bself\.{last}\b.* = ", inspect.getsource(part)), said
    elif parameters:
        there = [one for one in inspect.signature(getattr(part, last)).parameters if one != "self"]
        assert there[: parameters.count(",") + 1] == parameters.split(", "), said


def test_what_pages_name_of_jupyters_is_there() -> None:
    paths = [
        *(ROOT / "mynn").rglob("*.[cj]s*"),
        *(ROOT / "mynn_server").rglob("*.[cj]s*"),
        ROOT / "mynn_server/extension.py",
    ]
    named = {name: path.name for path in paths for name in re.findall(NAMED, path.read_text(encoding="utf-8"))}
    assert len(named) > 30
    assert {name: where for name, where in named.items() if name not in pages_of_jupyter()} == {}


@cache
def pages_of_jupyter() -> str:
    """Return what Notebook's pages are made of."""
    folders = [Path(notebook.__file__).parent, Path(sys.prefix, "share/jupyter/labextensions/@jupyter-notebook")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".js", ".json", ".py"}]
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
