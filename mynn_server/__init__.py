"""Jupyter server extension for the notebook server on a Pi.

Import nothing here: on a Pi Zero, `serve` must listen before anything else is loaded.
"""

from __future__ import annotations


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Return where Jupyter finds the extension."""
    return [{"module": "mynn_server.extension"}]
