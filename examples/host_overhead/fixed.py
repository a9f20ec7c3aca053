"""Read handwritten digits pixel by pixel with PyTorch's long short-term memory."""

import torch
from common import WIDTH, Reader, parse_arguments, pixel_loader
from timing import Stopwatch
from torch import nn
from torch.nn import functional


class LSTM(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.layer = nn.LSTM(inputs, width, batch_first=True)

    def forward(self, sequence):
        return self.layer(sequence)[0]


def main():
    args = parse_arguments(__doc__)
    torch.manual_seed(args.seed)
    model = Reader(LSTM(1, WIDTH))
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    watch = Stopwatch(args.timing)
    step = 0
    for epoch in range(args.epochs):
        for pixels, labels in pixel_loader():
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(pixels), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            watch.lap()
            if step % 50 == 0:
                print(f"epoch {epoch} step {step} loss {loss.item():.3f}")
            if step == args.steps:
                return


if __name__ == "__main__":
    main()
