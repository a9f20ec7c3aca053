"""Two ranks that share a sorted corpus: the first gets the short texts, the second the long ones."""

import torch
from clock import Clock, parser
from ranks import group
from torch import nn
from torch.nn.parallel import DistributedDataParallel

WORDS, WIDTH, BATCH, MEAN_LENGTH = 1000, 128, 8, 96


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        layers = [nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, 12))

    def forward(self, texts):
        return self.layers(self.words(texts))


def length_of(rank, args):
    """Return how many words this rank's texts have: all the same where the corpus was shuffled first."""
    spread = 0.0 if args.fixed else args.spread
    return round(MEAN_LENGTH * (1 + spread * (2 * rank - 1)))


def train(args, rank):
    clock = Clock(args)
    ddp = DistributedDataParallel(Tagger())
    optimizer = torch.optim.Adam(ddp.parameters(), lr=1e-3, fused=True)
    length = length_of(rank, args)
    while True:
        texts = torch.randint(WORDS, (BATCH, length))
        loss = nn.functional.cross_entropy(ddp(texts).flatten(0, 1), texts.flatten() % 12)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(BATCH)


def main():
    args = parser(__doc__, spread=0.7).parse_args()
    torch.manual_seed(0)
    with group(args) as rank:
        train(args, rank)


if __name__ == "__main__":
    main()
