"""Find out why a PyTorch training is slow, what would fix it, and by how much."""

from .version import __version__

__all__ = ["__version__"]
