"""What goes wrong, as one sentence for a person."""


class VirtualError(Exception):
    """A sentence: what was wrong, where, and what to do."""
