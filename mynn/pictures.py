"""The old name of mynn.images: a student's own copy of a lesson may still have it."""

from mynn.images import frame as frame
from mynn.images import read_image as read_picture  # noqa: F401
