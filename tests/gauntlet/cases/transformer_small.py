"""A small language model as one would write it: fused attention, fused AdamW, clipping, a schedule."""

import torch
from clock import Clock, parser
from torch import nn

TOKENS, WIDTH, LENGTH, BATCH = 256, 192, 128, 8


class Block(nn.Module):
    def __init__(self, heads=4):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query_key_value, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH))

    def attend(self, x):
        batch, length, _ = x.shape
        parts = self.query_key_value(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, WIDTH))

    def forward(self, x):
        x = x + self.attend(self.first(x))
        return x + self.wide(self.second(x))


class Trainer:
    def __init__(self, args):
        self.clock = Clock(args)
        self.model = nn.Sequential(nn.Embedding(TOKENS, WIDTH), Block(), Block(), nn.Linear(WIDTH, TOKENS))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min(1, (step + 1) / 100)
        )

    def step(self, inputs, targets):
        loss = nn.functional.cross_entropy(self.model(inputs).flatten(0, 1), targets.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.clock.lap(len(inputs))

    def fit(self, text):
        while True:
            starts = torch.randint(len(text) - LENGTH - 1, (BATCH, 1))
            window = text[starts + torch.arange(LENGTH + 1)]
            self.step(window[:, :-1], window[:, 1:])


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    Trainer(args).fit(torch.randint(TOKENS, (200_000,)))


if __name__ == "__main__":
    main()
