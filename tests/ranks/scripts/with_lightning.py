"""Two even ranks under Lightning's ddp: the script starts itself once more for the second; it trains until stopped."""

from __future__ import annotations

import os
import time

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Module(lightning.LightningModule):
    """One layer; a step sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
        time.sleep(0.01)
        return self.layer(batch[0]).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-6)


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=os.environ["TRUTH"],
    )
    trainer.fit(Module(), DataLoader(TensorDataset(torch.ones(4000, 8)), batch_size=2))
