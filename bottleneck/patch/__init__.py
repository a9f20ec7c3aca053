"""From proved changes to the user's own script: text in, text out. Pure."""

from .permanent import changed_settings, make_permanent
from .result import Addition, Edit, Patch, Site

__all__ = ["Addition", "Edit", "Patch", "Site", "changed_settings", "make_permanent"]
