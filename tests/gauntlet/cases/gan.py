"""Healthy: a generator and a discriminator with an optimizer each, trained in turn."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional

NOISE, BATCH = 64, 32


def generator():
    return nn.Sequential(
        nn.Linear(NOISE, 64 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1), nn.Tanh(),
    )  # fmt: skip


def discriminator():
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 3, padding=1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(128 * 7 * 7, 1),
    )  # fmt: skip


class Gan:
    def __init__(self):
        self.make, self.judge = generator(), discriminator()
        self.of_make = torch.optim.Adam(self.make.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
        self.of_judge = torch.optim.Adam(self.judge.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)

    def judge_step(self, real):
        made = self.make(torch.randn(len(real), NOISE)).detach()
        loss = functional.softplus(-self.judge(real)).mean() + functional.softplus(self.judge(made)).mean()
        self.of_judge.zero_grad()
        loss.backward()
        self.of_judge.step()

    def make_step(self, number):
        loss = functional.softplus(-self.judge(self.make(torch.randn(number, NOISE)))).mean()
        self.of_make.zero_grad()
        loss.backward()
        self.of_make.step()


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock, gan = Clock(args), Gan()
    images = torch.rand(1024, 1, 28, 28) * 2 - 1
    while True:
        for rows in torch.randperm(len(images)).split(BATCH):
            gan.judge_step(images[rows])
            gan.make_step(len(rows))
            clock.lap(len(rows))


if __name__ == "__main__":
    main()
