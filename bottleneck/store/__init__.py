"""Run directory <-> record: the only reader and writer of run files."""

from .deep import ROOFLINE
from .files import read_json, write_json, write_text
from .recipe import RECIPE, read_recipe, write_recipe
from .run import RUN_FILE, SCHEMA, load
from .trace import TraceTail, read_process
from .trials import read_trials, write_trials

__all__ = [
    "RECIPE",
    "ROOFLINE",
    "RUN_FILE",
    "SCHEMA",
    "TraceTail",
    "load",
    "read_json",
    "read_process",
    "read_recipe",
    "read_trials",
    "write_json",
    "write_recipe",
    "write_text",
    "write_trials",
]
