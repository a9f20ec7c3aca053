"""Classify handwritten digits with a deep perceptron and follow the run in TensorBoard."""

import tempfile

import torch
from common import DeepPerceptron, digit_loader, parse_arguments
from timing import Stopwatch
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

HISTOGRAMS_EVERY = 1


class Trainer:
    def __init__(self, model, loader, writer, args):
        self.model, self.loader, self.writer, self.args = model, loader, writer, args
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
        self.watch = Stopwatch(args.timing)
        self.step = 0

    def log(self, loss):
        self.writer.add_scalar("loss", loss.item(), self.step)
        if self.step % HISTOGRAMS_EVERY == 0:
            for name, parameter in self.model.named_parameters():
                self.writer.add_histogram(name, parameter, self.step)

    def training_step(self, pixels, labels):
        loss = functional.cross_entropy(self.model(pixels), labels)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self.log(loss)
        self.optimizer.zero_grad()
        self.watch.lap()
        return loss

    def fit(self):
        for epoch in range(self.args.epochs):
            for pixels, labels in self.loader:
                loss = self.training_step(pixels, labels)
                if self.step == self.args.steps:
                    return
            if epoch % 10 == 9:
                print(f"epoch {epoch} step {self.step} loss {loss.item():.3f}")


def main():
    args = parse_arguments(__doc__)
    torch.manual_seed(args.seed)
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(args.logs or folder) as writer:
        Trainer(DeepPerceptron(), digit_loader(), writer, args).fit()


if __name__ == "__main__":
    main()
