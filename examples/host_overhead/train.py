"""Read handwritten digits pixel by pixel with a long short-term memory written out as in the textbook."""

import torch
from common import WIDTH, Reader, parse_arguments, pixel_loader
from timing import Stopwatch
from torch import nn
from torch.nn import functional


class LSTM(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.width = width
        self.input_gate = nn.Linear(inputs + width, width)
        self.forget_gate = nn.Linear(inputs + width, width)
        self.cell_gate = nn.Linear(inputs + width, width)
        self.output_gate = nn.Linear(inputs + width, width)

    def forward(self, sequence):
        hidden = sequence.new_zeros(len(sequence), self.width)
        cell = torch.zeros_like(hidden)
        outputs = []
        for value in sequence.unbind(dim=1):
            joined = torch.cat([value, hidden], dim=1)
            keep = torch.sigmoid(self.forget_gate(joined))
            add = torch.sigmoid(self.input_gate(joined)) * torch.tanh(self.cell_gate(joined))
            cell = keep * cell + add
            hidden = torch.sigmoid(self.output_gate(joined)) * torch.tanh(cell)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1)


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
