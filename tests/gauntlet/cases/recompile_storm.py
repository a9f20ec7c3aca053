"""A compiled network whose noise falls from step to step: its strength follows a count in Python, a guard each time."""

import torch
import torch._dynamo
from clock import Clock, parser
from torch import nn
from torch.nn import functional

LIMIT = 100_000


class Denoiser(nn.Module):
    """Learns to take away noise that gets weaker while it trains."""

    def __init__(self, width, every, as_tensor):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(64, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 64)
        )
        self.every, self.stage = every, 0
        self.register_buffer("stages", torch.zeros(()))
        self.as_tensor = as_tensor

    def advance(self, step):
        self.stages.fill_(step // self.every)
        if not self.as_tensor:
            self.stage = step // self.every

    def forward(self, clean):
        stage = self.stages if self.as_tensor else self.stage
        noisy = clean + torch.randn_like(clean) / (1 + stage)
        return functional.mse_loss(self.body(noisy), clean)


def main():
    args = parser(__doc__, every=25, width=512, batch=256).parse_args()
    torch.manual_seed(0)
    torch._dynamo.config.recompile_limit = LIMIT  # so says the warning that comes after eight of them
    torch._dynamo.config.accumulated_recompile_limit = LIMIT
    clock = Clock(args)
    model = Denoiser(args.width, args.every, args.fixed)
    compiled = torch.compile(model, backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = 0
    while True:
        model.advance(step)
        loss = compiled(torch.randn(args.batch, 64).cumsum(dim=1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        clock.lap(args.batch)


if __name__ == "__main__":
    main()
