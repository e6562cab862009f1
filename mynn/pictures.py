"""The old name of mynn.images: a student's own copy of a lesson may still have it."""

from mynn.images import frame, read_image

read_picture = read_image

__all__ = ["frame", "read_picture"]
