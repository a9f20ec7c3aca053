"""A small transformer whose steps are still searched for NaN, months after the last one was found."""

import contextlib

import torch
from clock import Clock, parser
from torch import nn

WORDS = 500


class Model(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth)
        self.head = nn.Linear(width, WORDS)

    def forward(self, words):
        return self.head(self.encoder(self.embed(words)))


def main():
    args = parser(__doc__, width=64, depth=4, batch=8, length=32).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = Model(args.width, args.depth)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    text = torch.randint(0, WORDS, (4_000, args.length + 1))
    while True:
        batch = text[torch.randint(len(text), (args.batch,))]
        with contextlib.nullcontext() if args.fixed else torch.autograd.detect_anomaly():
            scores = model(batch[:, :-1])
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        clock.lap(len(batch))


if __name__ == "__main__":
    main()
