"""The old name of mynn.widget: a student's own copy of a lesson may still have it."""

from mynn.widget import Pad as Pad
