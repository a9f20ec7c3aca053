"""skorch's fit on a table: its loader asks the arrays for one row at a time and puts batches together from them."""

import sys
from pathlib import Path

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cases"))  # clock.py
from clock import Clock, parser

ROWS, COLUMNS, BATCH = 40_000, 48, 1024


class Table(Dataset):
    """The same rows, handed over as whole batches."""

    def __init__(self, features, labels=None):
        self.features, self.labels = torch.from_numpy(features), torch.from_numpy(labels)

    def __len__(self):
        return len(self.features)

    def __getitems__(self, rows):
        return self.features[rows], self.labels[rows]


class Laps(Callback):
    def __init__(self, clock):
        self.clock = clock

    def on_batch_end(self, net, training, **_):
        if training:
            self.clock.lap(BATCH)


def main():
    args = parser(__doc__).parse_args()
    generator = np.random.default_rng(0)
    features = generator.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    labels = (features[:, 0] * features[:, 1] > 0).astype(np.int64)
    model = nn.Sequential(
        nn.Linear(COLUMNS, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2)
    )
    ready = {"dataset": Table, "iterator_train__collate_fn": tuple} if args.fixed else {}
    net = NeuralNetClassifier(
        model,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=1_000_000,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        iterator_train__drop_last=True,
        train_split=None,
        callbacks=[("laps", Laps(Clock(args)))],
        **ready,
    )
    net.fit(features, labels)


if __name__ == "__main__":
    main()
