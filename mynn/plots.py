"""The old name of mynn.plotting: a student's own copy of a lesson may still have it."""

from mynn.plotting import backqueries, confusion, curves, damage_curve, digit, digits, weights

dreams = backqueries

__all__ = ["confusion", "curves", "damage_curve", "digit", "digits", "dreams", "weights"]
