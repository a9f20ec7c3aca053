"""``bottleneck env``: what can be measured on this machine, and how to enable the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .. import units
from ..collect.capability import Capability, capabilities
from ..collect.environment import describe
from ..collect.probes import roofline


@click.command(name="env")
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The interpreter that trains, where it is another one.",
)
@click.option("--probe", is_flag=True, help="Measure what this machine can do (some seconds) and keep it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def env(python: Path | None, probe: bool, as_json: bool) -> None:
    """Show what can be measured on this machine, and how to enable the rest."""
    facts, able = describe(python), capabilities(python)
    roofs = roofline(python, fresh=True) if probe else None
    if as_json:
        found = {"environment": facts, "capabilities": able, **({"roofline": roofs} if roofs else {})}
        click.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    probed = _roofs(roofs) if roofs else []
    for line in [*_machine(facts), *probed, "", *(line for entry in able for line in _lines(entry))]:
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


def _roofs(found: dict[str, Any]) -> list[str]:
    """Return what the probes found in a few lines."""
    if "reason" in found:
        return [f"Probes   not measured: {found['reason']}"]
    lines = []
    for device, name in (("cpu", "CPU"), ("cuda", "GPU")):
        probed = found["all"].get(device)
        if probed is None:
            continue
        rates = ", ".join(f"{dtype} {rate / 1e9:,.0f}" for dtype, rate in probed["flops_per_s"].items())
        where = f"{name}, {found['all']['threads']} threads" if device == "cpu" else name
        lines.append(f"Probes   {where}: matrix products in GFLOP/s: {rates}")
        launch = units.seconds(probed["launch_s"])
        lines.append(f"         memory {probed['bytes_per_s'] / 1e9:,.1f} GB/s; smallest operator {launch}")
    return lines


def _lines(entry: Capability) -> list[str]:
    """Return one capability in one to three lines."""
    lines = [f"{'yes' if entry['available'] else 'no ':3}  {entry['what']}"]
    if not entry["available"]:
        lines.append(f"     {entry['reason']}")
        if entry["how_to_enable"]:
            lines.append(f"     to enable it: {entry['how_to_enable']}")
    return lines
