"""Tell assignments from other statements by their characters, in short epochs."""

import torch
from common import BATCH, STEPS_PER_EPOCH, StatementNet, Statements, parse_arguments
from timing import Stopwatch
from torch import nn
from torch.utils.data import DataLoader


def main():
    args = parse_arguments(__doc__)
    torch.manual_seed(args.seed)
    loader = DataLoader(Statements(BATCH * STEPS_PER_EPOCH), BATCH, shuffle=True, num_workers=2)
    model = StatementNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.BCEWithLogitsLoss()
    watch = Stopwatch(args.timing)
    step = 0
    for epoch in range(args.epochs):
        total = 0.0
        for text, assigns in loader:
            optimizer.zero_grad()
            loss = criterion(model(text), assigns.float())
            loss.backward()
            optimizer.step()
            total += loss.item()
            step += 1
            watch.lap()
            if step == args.steps:
                return
        print(f"epoch {epoch} loss {total / len(loader):.3f}")


if __name__ == "__main__":
    main()
