"""Times on the command line: 90s, 10m, 1.5h."""

from __future__ import annotations

import re

import click

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def duration(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Return the seconds that an option's ``value`` stands for; a usage error for what is no time."""
    found = _FORM.fullmatch(value.strip().lower())
    if found is None or found.group(2) not in _UNITS or not float(found.group(1)) > 0:
        raise click.BadParameter(f"{value!r} is no time; write 90s, 10m or 1.5h", ctx, param)
    return float(found.group(1)) * _UNITS[found.group(2)]
