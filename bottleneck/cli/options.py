"""Options that several commands share, said once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from .. import rulebook
from ..rulebook import Rulebook

rules_option = click.option(
    "--rules",
    "rule_folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Add or override rules by those in this folder; may be given several times.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
price_option = click.option(
    "--price-per-hour",
    "price",
    type=click.FloatRange(min=0),
    metavar="P",
    help="Price of an hour of the machine: the report says what is lost, and what a step costs.",
)
module_option = click.option(
    "-m", "module", metavar="MODULE", help="Run a module, as `python -m MODULE` would."
)
python_option = click.option(
    "--python", metavar="PATH", help="Interpreter for the script; it needs torch, not this tool."
)


def rules_of(folders: Iterable[Path]) -> Rulebook:
    """Return the shipped rules with those in ``folders`` on top.

    Raises:
        RuleError: A rule file is wrong; nothing was started yet.
    """
    return rulebook.load([rulebook.shipped(), *folders])
