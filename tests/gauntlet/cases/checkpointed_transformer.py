"""A small language model that computes every block twice for memory it has plenty of, under plain AdamW."""

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.checkpoint import checkpoint

TOKENS, WIDTH, LENGTH, BATCH, BLOCKS = 256, 192, 128, 6, 4


class Model(nn.Module):
    def __init__(self, recomputed):
        super().__init__()
        self.tokens, self.places = nn.Embedding(TOKENS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(BLOCKS)
        )
        self.head = nn.Linear(WIDTH, TOKENS)
        self.recomputed = recomputed

    def forward(self, ids):
        x = self.tokens(ids) + self.places(torch.arange(LENGTH))
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
        for block in self.blocks:
            if self.recomputed:
                x = checkpoint(block, x, mask, is_causal=True, use_reentrant=False)
            else:
                x = block(x, mask, is_causal=True)
        return self.head(x)


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    text = torch.randint(TOKENS, (200_000,))
    model = Model(recomputed=not args.fixed)
    way = {"fused": True} if args.fixed else {"foreach": False}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **way)
    while True:
        starts = torch.randint(len(text) - LENGTH - 1, (BATCH, 1))
        window = text[starts + torch.arange(LENGTH + 1)]
        loss = nn.functional.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(BATCH)


if __name__ == "__main__":
    main()
