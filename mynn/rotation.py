"""The old name of mynn.distort: a student's own copy of a lesson may still have it."""

from mynn.distort import rotate as rotate
from mynn.distort import rotated as rotated
