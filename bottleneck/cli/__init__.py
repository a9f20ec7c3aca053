"""Arguments, printing, exit codes; no decisions."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import BottleneckError
from ..version import __version__
from .compare import compare
from .diagnose import diagnose
from .env import env
from .output import printable
from .prove import prove
from .report import report
from .rules import rules
from .tune import tune

# From click 8.2 on a group without a command raises its help text; before, click prints it itself.
_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
COMMANDS = (diagnose, report, prove, tune, compare, env, rules)


class _InOrder(click.Group):
    """Lists its commands as they are used, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names in the order in which they were added."""
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="bottleneck")
def cli() -> None:
    """Find out why a PyTorch training is slow, what would fix it, and by how much.

    \b
    bottleneck diagnose train.py --epochs 3      run and diagnose an unmodified script
    bottleneck diagnose -- torchrun --nproc-per-node 2 train.py
    bottleneck report RUN                        diagnose a saved run again
    bottleneck report trace.json.gz              diagnose a torch.profiler trace
    bottleneck prove RUN                         try its advice, in fair pairs
    bottleneck tune train.py --epochs 3          find the fastest settings by stacking what is proved
    bottleneck compare BEFORE AFTER              two runs side by side: what became faster
    """


for command in COMMANDS:
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error a user can act on is one line on stderr."""
    _fill_closed_streams()
    try:
        cli.main(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as error:
        if isinstance(error, _NO_ARGUMENTS):
            click.echo(error.format_message(), err=True)
        else:
            say_error(error.format_message())
        sys.exit(2)
    except BottleneckError as error:
        say_error(str(error))
        sys.exit(error.exit_code)


def _fill_closed_streams() -> None:
    """Give a null device to the standard streams we were started without, so that no file of ours takes a
    number of theirs. The script does not inherit it: its streams stay closed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def say_error(text: str) -> None:
    """Print one line on stderr, whatever its encoding."""
    line = printable(" ".join(f"bottleneck: {text}".split()))
    encoding = sys.stderr.encoding or "ascii"
    sys.stderr.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
