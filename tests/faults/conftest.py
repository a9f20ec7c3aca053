"""One real training with hostile names and secrets, recorded once for all tests that damage or search it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .runs import Ran, diagnose, write

SECRETS = ("ARGSECRET1", "ARGSECRET2", "ARGSECRET3", "ARGSECRET4", "ENVSECRET5", "ENVSECRET6", "LINESECRET7")
ARGUMENTS = (
    "--token=ARGSECRET1", "--api-key", "ARGSECRET2", "PASSWORD=ARGSECRET3",
    "https://user:ARGSECRET4@example.org/x", "--private-key=-----BEGIN KEY-----\nLINESECRET7\n-----END KEY-----",
    "</script><script>document.title='PWNED'</script>", "<img src=x onerror=alert(1)>",
    "\x1b]0;title\x07\x1b[31mred\r[red]\u2028",
)  # fmt: skip
VARIABLES = {"HF_TOKEN": "ENVSECRET5", "WANDB_API_KEY": "ENVSECRET6", "AWS_SECRET_ACCESS_KEY": "ENVSECRET6"}
HOSTILE = (
    "</script><script>document.title='PWNED'</script><img src=x onerror=alert(1)>\x1b[31m\x07\r\u2028[red]\""
)
SCRIPT = f"""
    import time, torch
    from torch import nn
    from torch.utils.data import DataLoader

    Net = type({HOSTILE!r}, (nn.Linear,), {{}})
    Sgd = type({HOSTILE!r}, (torch.optim.SGD,), {{}})
    Times = type({HOSTILE!r}, (), {{"__call__": lambda self, x: x * 2}})
    class Data(list):
        def __getitem__(self, i):
            return self.transforms[0](list.__getitem__(self, i))
    Data.__name__ = {HOSTILE!r}

    def main():
        model = Net(4, 2)
        optimizer = Sgd(model.parameters(), lr=0.1)
        data = Data(torch.randn(160, 4))
        data.transforms = [Times()]
        for x in DataLoader(data, batch_size=4, num_workers=1):
            time.sleep(0.01)
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()
        torch.save(model.state_dict(), "model.pt")

    if __name__ == "__main__":
        main()
"""


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return the run; treat it as read-only."""
    work = write(tmp_path_factory.mktemp("recorded"), {"train <b>\x1b[31m.py": SCRIPT})
    ran = diagnose(["train <b>\x1b[31m.py", *ARGUMENTS], work, VARIABLES, ("--full",))
    assert ran.code == 0, ran.err
    return ran


@pytest.fixture
def run(recorded: Ran, tmp_path: Path) -> Path:
    """Return a copy of the recorded run, to be damaged."""
    assert recorded.run is not None
    return Path(shutil.copytree(recorded.run, tmp_path / "run"))
