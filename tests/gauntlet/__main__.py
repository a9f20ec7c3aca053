"""``python -m gauntlet`` in ``tests/``: diagnoses every case, measures what its fix gains, and writes RESULTS.md.

One process at a time: two would disturb each other's times. What is done is kept in .gauntlet and not done
again until the case changes; ``--again`` measures anew. Ctrl-C loses the case in hand and nothing else. What another
machine measured stays in results.json as it was judged there, as long as the case is the same.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence

from . import results
from .case import Case, cases
from .diagnosing import Failed
from .record import NotRun, row
from .truth import NoSteps

STAGES = ("diagnose", "truth", "prove", "tune", "traceml", "judge")


def main() -> int:
    args = _arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that what runs is ended too
    wanted = [(case, dose) for case in args.cases for dose in case.doses if args.dose in ("all", dose)]
    known = {(case.name, dose) for case in cases() for dose in case.doses}
    kept = {key: row for key, row in results.read().items() if key in known}
    failures, start = [], time.monotonic()
    for number, (case, dose) in enumerate(wanted, start=1):
        print(f"[{number}/{len(wanted)}] {case.name} {dose} ... ", end="", flush=True)
        try:
            found = row(case, dose, set(args.stages), args.again)
        except NotRun as why:
            print(why if results.outdated(kept, case, dose) else f"as results.json has it ({why})")
            continue
        except (Failed, NoSteps) as error:
            failures.append(f"{case.name} {dose}: {error}")
            print("FAILED", flush=True)
            continue
        kept[case.name, dose] = results.completed(found, kept)
        results.write(kept)
        print(results.line(found), flush=True)
    results.write(kept)
    print(f"{time.monotonic() - start:.0f} s; {results.RESULTS}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gauntlet", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CASE", help="default: all")
    parser.add_argument("--dose", default="all", choices=("all", "strong", "low", "again"))
    parser.add_argument(
        "--stages", default=",".join(STAGES[:2]), help=f"of {', '.join(STAGES)}; judge alone runs nothing"
    )
    parser.add_argument("--again", action="store_true", help="do the stages anew where they were done before")
    args = parser.parse_args()
    args.stages = args.stages.split(",")
    unknown = sorted(set(args.stages) - set(STAGES))
    if unknown:
        parser.error(f"--stages: no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
    try:
        args.cases = _sorted(cases(args.names))
    except KeyError as error:
        parser.error(str(error.args[0]))
    return args


def _sorted(found: Sequence[Case]) -> list[Case]:
    """Return ``found`` with the planted causes first."""
    return sorted(
        found, key=lambda case: (("cause", "compound", "decoy", "healthy").index(case.kind), case.name)
    )


if __name__ == "__main__":
    sys.exit(main())
