"""Only the head of a convolution net is in the optimizer; its backbone was never told to go without gradients."""

import torch
from clock import Clock, parser
from torch import nn


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(2 * width, 10)

    def forward(self, images):
        return self.head(self.backbone(images))


def main():
    args = parser(__doc__, width=24).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    net = Net(args.width)
    if args.fixed:
        net.backbone.requires_grad_(False)
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=1e-3)
    images = torch.randn(1_000, 3, 48, 48)
    labels = torch.randint(0, 10, (1_000,))
    data = torch.utils.data.TensorDataset(images, labels)
    while True:
        for batch, wanted in torch.utils.data.DataLoader(data, 32, shuffle=True):
            loss = nn.functional.cross_entropy(net(batch), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap(len(batch))


if __name__ == "__main__":
    main()
