"""Run directory <-> record: the only reader and writer of run files."""

from .deep import ROOFLINE
from .files import read_json, write_json, write_text
from .run import RUN_FILE, SCHEMA, load
from .trace import TraceTail, read_process

__all__ = [
    "ROOFLINE",
    "RUN_FILE",
    "SCHEMA",
    "TraceTail",
    "load",
    "read_json",
    "read_process",
    "write_json",
    "write_text",
]
