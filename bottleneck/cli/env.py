"""``bottleneck env``: what can be measured on this machine, and how to enable the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .. import units
from ..collect.capability import Capability, capabilities
from ..collect.environment import describe


@click.command(name="env")
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The interpreter that trains, where it is another one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def env(python: Path | None, as_json: bool) -> None:
    """Show what can be measured on this machine, and how to enable the rest."""
    facts, able = describe(python), capabilities(python)
    if as_json:
        click.echo(json.dumps({"environment": facts, "capabilities": able}, indent=2, allow_nan=False))
        return
    for line in [*_machine(facts), "", *(line for entry in able for line in _lines(entry))]:
        click.echo(line)


def _machine(facts: dict[str, Any]) -> list[str]:
    """Return the machine in a few lines."""
    cpu, memory = facts["cpu"], facts["memory"]
    limit = memory["limit_bytes"]
    limited = f", limited to {units.size(limit)}" if limit else ""
    python = facts["python"]
    lines = [
        f"CPU      {cpu['model']}: {units.count(cpu['usable_cores'])} of {cpu['cores']} cores usable",
        f"Memory   {units.size(memory['total_bytes'])}{limited}",
        f"System   {facts['os']['name']}, kernel {facts['os']['kernel']}",
        f"Python   {python.get('version') or python.get('reason')}",
    ]
    if facts["container"]:
        lines.append(f"Inside   {facts['container']}")
    if facts["variables"]:
        lines.append("Set      " + ", ".join(f"{name}={value}" for name, value in facts["variables"].items()))
    return lines


def _lines(entry: Capability) -> list[str]:
    """Return one capability in one to three lines."""
    lines = [f"{'yes' if entry['available'] else 'no ':3}  {entry['what']}"]
    if not entry["available"]:
        lines.append(f"     {entry['reason']}")
        if entry["how_to_enable"]:
            lines.append(f"     to enable it: {entry['how_to_enable']}")
    return lines
