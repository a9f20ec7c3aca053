"""Train a compiled convolutional language model on passages of Python's language reference."""

import torch
import torch._dynamo
from common import ConvolutionalModel, Passages, parse_arguments
from timing import Stopwatch
from torch.nn import functional
from torch.utils.data import DataLoader

torch._dynamo.config.cache_size_limit = 1000
torch._dynamo.config.accumulated_cache_size_limit = 1000


def main():
    args = parse_arguments(__doc__)
    torch.manual_seed(args.seed)
    model = ConvolutionalModel()
    compiled = torch.compile(model, backend="eager", dynamic=True)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=args.lr)
    watch = Stopwatch(args.timing)
    for step, ids in enumerate(DataLoader(Passages(args.seed), batch_size=None), start=1):
        logits = compiled(ids[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.lap()
        if step % 50 == 0:
            print(f"step {step} loss {loss.item():.3f}")
        if step == args.steps:
            break


if __name__ == "__main__":
    main()
