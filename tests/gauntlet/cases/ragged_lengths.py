"""Sentences of very different lengths, padded to the longest of their batch; the model is the limit."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

SENTENCES, WORDS, BATCH = 2048, 2000, 16


def sentences():
    lengths = torch.randint(8, 97, (SENTENCES,)).tolist()
    return [(torch.randint(1, WORDS, (length,)), length % 3) for length in lengths]


def collate(samples):
    tokens, labels = zip(*samples, strict=True)
    return pad_sequence(list(tokens), batch_first=True), torch.tensor(labels)


class Classifier(nn.Module):
    def __init__(self, width=192):
        super().__init__()
        self.words = nn.Embedding(WORDS, width, padding_idx=0)
        self.block = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True)
        self.head = nn.Linear(width, 3)

    def forward(self, tokens):
        padding = tokens == 0
        state = self.block(self.words(tokens), src_key_padding_mask=padding)
        state = state.masked_fill(padding[:, :, None], 0)
        return self.head(state.sum(dim=1) / (~padding).sum(dim=1, keepdim=True))


def train_epoch(model, loader, optimizer, clock):
    total = 0.0
    for tokens, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(tokens), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        clock.lap(len(labels))
    print(f"loss {total / len(loader):.3f}", flush=True)


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    loader = DataLoader(sentences(), BATCH, shuffle=True, collate_fn=collate)
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        train_epoch(model, loader, optimizer, clock)


if __name__ == "__main__":
    main()
