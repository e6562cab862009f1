"""Whether this runs in a notebook, and how things are shown there."""

from __future__ import annotations

import sys
from base64 import b64encode
from html import escape
from importlib import import_module
from typing import Any


def in_a_notebook() -> bool:
    """Whether what is displayed is seen: a kernel runs this. IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def show(thing: Any) -> None:
    """Display something under the cell that runs."""
    ipython().display(thing)


def show_markdown(text: str) -> None:
    """Display Markdown in a notebook, and print it elsewhere."""
    if not in_a_notebook():
        print(text)
        return
    show(ipython().Markdown(text))


def show_html(html: str, says: str, **how: Any) -> Any:
    """Display HTML, and where only text is shown, what it says."""
    return ipython().display({"text/html": html, "text/plain": says}, raw=True, **how)


def show_svg(picture: str, alt: str = "", place: Any = None) -> Any:
    """Display a picture in a notebook, and nothing elsewhere; return its place, where a later call can put another.

    `alt` says what is to be seen; nothing, where what is printed says it.
    """
    if not in_a_notebook():
        return None
    source = b64encode(picture.encode()).decode()  # as a file: a notebook that is not trusted shows no other SVG
    html = f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{source}">'
    return show_html(html, alt, **({"display_id": place.display_id, "update": True} if place else {"display_id": True}))


def ipython() -> Any:
    """Return what displays things. It is there wherever a notebook is, and takes its time to load."""
    return import_module("IPython.display")
