"""Ink as a picture that a page shows at once."""

from __future__ import annotations

import io
from base64 import b64encode

from mynn.arrays import Bytes


def png_source(ink: Bytes) -> str:
    """Return the address of a picture, as of an `<img>`: ink 0..255 of shape (height, width), dark on white."""
    from PIL import Image  # here, as it takes a Pi Zero a second

    with io.BytesIO() as file:
        Image.fromarray(255 - ink).save(file, "PNG", compress_level=1)
        return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
