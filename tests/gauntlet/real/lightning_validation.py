"""A Lightning module that validates on all held-out pictures after every tenth batch."""

import logging
import sys
import tempfile
from pathlib import Path

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cases"))  # clock.py
from clock import Clock, parser

BATCH = 32


class Digits(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 10),
        )
        self.loss = nn.CrossEntropyLoss()

    def training_step(self, batch, _):
        pictures, labels = batch
        return self.loss(self.net(pictures), labels)

    def validation_step(self, batch, _):
        pictures, labels = batch
        scores = self.net(pictures)
        self.log("val_loss", self.loss(scores, labels))
        self.log("val_accuracy", (scores.argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class Laps(lightning.Callback):
    def __init__(self, clock):
        self.clock = clock

    def on_train_batch_end(self, *_):
        self.clock.lap(BATCH)


def pictures(count):
    labels = torch.randint(10, (count,))
    return TensorDataset(torch.randn(count, 1, 28, 28) + labels.view(-1, 1, 1, 1) / 10, labels)


def main():
    args = parser(__doc__, every=10, held_out=512).parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_steps=-1,
            max_epochs=-1,
            accelerator="cpu",
            devices=1,
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            val_check_interval=None if args.fixed else args.every,
            check_val_every_n_epoch=100_000 if args.fixed else None,
            callbacks=[Laps(Clock(args))],
        )
        trainer.fit(
            Digits(),
            DataLoader(pictures(2048), batch_size=BATCH, shuffle=True, drop_last=True),
            DataLoader(pictures(args.held_out), batch_size=64),
        )


if __name__ == "__main__":
    main()
