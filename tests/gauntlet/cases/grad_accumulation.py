"""Healthy: a transformer that adds up the gradients of four micro-batches before each update."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

MICRO_BATCHES, VOCABULARY, LENGTH = 4, 200, 64


class Model(nn.Module):
    def __init__(self, width=192):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids):
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.head(self.encoder(self.embed(ids), mask, is_causal=True))


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    data = TensorDataset(torch.randint(0, VOCABULARY, (512, LENGTH + 1)))
    loader = DataLoader(data, batch_size=8, shuffle=True)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    seen = 0
    while True:
        for number, (ids,) in enumerate(loader, start=1):
            logits = model(ids[:, :-1])
            loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            (loss / MICRO_BATCHES).backward()
            seen += len(ids)
            if number % MICRO_BATCHES == 0:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
                optimizer.step()
                optimizer.zero_grad()
                clock.lap(seen)
                seen = 0


if __name__ == "__main__":
    main()
