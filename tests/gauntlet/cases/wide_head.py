"""A masked language model that predicts every word, of which only the masked ones count in the loss."""

import torch
from clock import Clock, parser
from torch import nn

MASK, IGNORED = 0, -100


class Model(nn.Module):
    def __init__(self, words, width):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.mixer = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.head = nn.Linear(width, words)

    def states(self, ids):
        hidden = self.words(ids)
        return hidden + self.mixer(hidden.roll(1, 1) + hidden.roll(-1, 1))


def loss_of(model, ids, targets, only_masked):
    """Return the mean loss of the masked words; the others have the target IGNORED."""
    states, targets = model.states(ids).flatten(0, 1), targets.flatten()
    if only_masked:
        counted = targets != IGNORED
        states, targets = states[counted], targets[counted]
    return nn.functional.cross_entropy(model.head(states), targets, ignore_index=IGNORED)


def masked(text):
    """Return the text with 15 % of its words masked, and the targets."""
    chosen = torch.rand(text.shape) < 0.15
    return text.masked_fill(chosen, MASK), text.masked_fill(~chosen, IGNORED)


def main():
    args = parser(__doc__, words=8000, width=128).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = Model(args.words, args.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    corpus = torch.randint(1, args.words, (4000, 64))
    while True:
        ids, targets = masked(corpus[torch.randint(len(corpus), (8,))])
        optimizer.zero_grad()
        loss_of(model, ids, targets, args.fixed).backward()
        optimizer.step()
        clock.lap(len(ids))


if __name__ == "__main__":
    main()
