"""Output in a notebook through IPython, and elsewhere as text."""

from __future__ import annotations

import sys
from base64 import b64encode
from html import escape
from importlib import import_module
from typing import Any


def in_a_notebook() -> bool:
    """Return whether a Jupyter kernel runs this, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def show_markdown(text: str) -> None:
    """Display Markdown in a notebook, and print it elsewhere."""
    if not in_a_notebook():
        print(text)
        return
    ipython().display(ipython().Markdown(text))


def show_html(html: str, says: str, **how: Any) -> Any:
    """Display HTML; `says` is its plain-text alternative."""
    return ipython().display({"text/html": html, "text/plain": says}, raw=True, **how)


def show_svg(picture: str, alt: str = "", place: Any = None) -> Any:
    """Display an SVG in a notebook, in place of an earlier one if `place` is given; return the display handle.

    `alt` is the alternative text; empty if printed text says the same. Outside a notebook, nothing is displayed.
    """
    if not in_a_notebook():
        return None
    how = {"display_id": place.display_id, "update": True} if place else {"display_id": True}
    return show_html(svg_html(picture, alt), alt, **how)


def svg_html(picture: str, alt: str) -> str:
    """Return an SVG as HTML, with a data URL: an untrusted notebook shows no inline SVG."""
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{b64encode(picture.encode()).decode()}">'


def ipython() -> Any:
    """Return the module IPython.display. Every notebook has it, but its import is slow."""
    return import_module("IPython.display")
