"""A language model over characters whose attention is written out, scores, mask and softmax."""

import math

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional

CHARACTERS = 96


class Attention(nn.Module):
    def __init__(self, width, heads, length, fused):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.register_buffer("later", torch.ones(length, length).triu(1).bool())

    def mix(self, query, key, value):
        if self.fused:
            return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        return functional.softmax(scores.masked_fill(self.later, -math.inf), dim=-1) @ value

    def forward(self, x):
        batch, length, width = x.shape
        split = self.query_key_value(x).view(batch, length, 3, self.heads, -1)
        mixed = self.mix(*split.permute(2, 0, 3, 1, 4))
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads, length, fused):
        super().__init__()
        self.attention = Attention(width, heads, length, fused)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(self.first(x))
        return x + self.wide(self.second(x))


def main():
    args = parser(__doc__, width=128, heads=8, length=512, batch=2).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    blocks = [Block(args.width, args.heads, args.length, args.fixed) for _ in range(2)]
    embedding = nn.Embedding(CHARACTERS, args.width)
    model = nn.Sequential(embedding, *blocks, nn.Linear(args.width, CHARACTERS))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    text = torch.randint(CHARACTERS, (100_000,))
    while True:
        starts = torch.randint(len(text) - args.length - 1, (args.batch, 1))
        window = text[starts + torch.arange(args.length + 1)]
        logits = model(window[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(args.batch)


if __name__ == "__main__":
    main()
