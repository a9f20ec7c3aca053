"""Train an ensemble of small networks on handwritten digits."""

import torch
from common import MEMBERS, Ensemble, digit_loader, parse_arguments
from timing import Stopwatch
from torch.nn import functional


def main():
    args = parse_arguments(__doc__)
    torch.manual_seed(args.seed)
    loader = digit_loader()
    model = Ensemble()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, foreach=False)
    watch = Stopwatch(args.timing)
    step = 0
    for epoch in range(args.epochs):
        right = seen = 0
        for pixels, labels in loader:
            scores = model(pixels)
            loss = functional.cross_entropy(scores.flatten(0, 1), labels.repeat(MEMBERS))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            right += (scores.sum(dim=0).argmax(dim=1) == labels).sum()
            seen += len(labels)
            step += 1
            watch.lap()
            if step == args.steps:
                return
        print(f"epoch {epoch} loss {loss.item():.3f} accuracy {right.item() / seen:.3f}")


if __name__ == "__main__":
    main()
