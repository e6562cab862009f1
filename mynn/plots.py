"""The old name of mynn.plotting: a student's own copy of a lesson may still have it."""

from mynn.plotting import *  # noqa: F403
from mynn.plotting import backqueries as dreams  # noqa: F401
