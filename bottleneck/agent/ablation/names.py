"""The experiments by the name an order gives."""

from __future__ import annotations

from .anomaly import Anomaly
from .arm import Arm, Refused, Setting
from .collector import Collector
from .evaluation import Evaluation
from .exchange import Collectives
from .inputs import Input
from .loader_alone import LoaderAlone
from .logs import Logging
from .resident import Transfer
from .saves import Checkpoint
from .slower import Slower
from .waits import Sync

_ARMS: dict[str, type[Arm]] = {
    "input": Input,
    "transfer": Transfer,
    "logging": Logging,
    "checkpoint": Checkpoint,
    "evaluation": Evaluation,
    "gc": Collector,
    "sync": Sync,
    "collectives": Collectives,
    "loader_alone": LoaderAlone,
    "anomaly": Anomaly,
    "slow": Slower,
}


def make_arm(name: str, setting: Setting) -> Arm:
    """Return the arm called ``name``; "slow:PHASE" names a phase.

    Raises:
        Refused: There is none.
    """
    found = _ARMS.get(name.partition(":")[0])
    if found is None:
        raise Refused(f"there is no experiment called {name}")
    return found(setting)
