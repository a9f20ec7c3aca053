"""Run directory <-> record: the only reader and writer of run files."""

from .run import RUN_FILE, SCHEMA, load, read_json, write_json
from .trace import TraceTail, read_process

__all__ = ["RUN_FILE", "SCHEMA", "TraceTail", "load", "read_json", "read_process", "write_json"]
