"""A machine in the cluster, made by the commands that a person would type."""

from .layout import Layout


def make(layout: Layout) -> None:
    """Not yet."""
    raise NotImplementedError(layout)
