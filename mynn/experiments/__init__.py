"""Experiments that train and compare many networks: sweeps, the blog's figures (ladder) and the best accuracy."""
