"""A deep perceptron that logs each layer's norms as lines of JSON, through the logging module, every step."""

import json
import logging
import tempfile
from pathlib import Path

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

logger = logging.getLogger("train")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; tensors become numbers."""

    def format(self, record):
        told = {key: self.plain(value) for key, value in record.figures.items()}
        return json.dumps({"time": self.formatTime(record), "event": record.getMessage(), **told})

    @staticmethod
    def plain(value):
        return round(value.item(), 6) if isinstance(value, torch.Tensor) else value


def log_to(path):
    handler = logging.FileHandler(path)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class DeepPerceptron(nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.head = nn.Linear(width, 10)

    def forward(self, hidden):
        for layer in self.layers:
            hidden = hidden + functional.gelu(layer(hidden))
        return self.head(hidden)


def log_norms(step, model, loss):
    logger.info("step", extra={"figures": {"step": step, "loss": loss}})
    for name, parameter in model.named_parameters():
        figures = {"step": step, "name": name, "weight": parameter.detach().norm(), "mean": parameter.mean()}
        if parameter.grad is not None:
            figures |= {"grad": parameter.grad.norm(), "largest": parameter.grad.abs().max()}
        logger.info("norms", extra={"figures": figures})


def train(args):
    clock = Clock(args)
    data = TensorDataset(torch.randn(4096, 256), torch.randint(0, 10, (4096,)))
    loader = DataLoader(data, batch_size=args.batch, shuffle=True, drop_last=True)
    model = DeepPerceptron(256, 12)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    step = 0
    while True:
        for inputs, labels in loader:
            loss = functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
            if not args.fixed and step % args.every == 0:
                log_norms(step, model, loss)
            optimizer.zero_grad()
            step += 1
            clock.lap(len(labels))


def main():
    args = parser(__doc__, batch=128, every=1).parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        log_to(Path(folder) / "train.jsonl")
        train(args)


if __name__ == "__main__":
    main()
