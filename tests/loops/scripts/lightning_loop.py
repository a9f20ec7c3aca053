"""A Lightning trainer: sanity validation, validation twice an epoch, accumulation, a checkpoint an epoch."""

from __future__ import annotations

import os
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader
from truth import SGD, SLEEP_S, TRUTH, Net, Samples, SlowState


class Module(lightning.LightningModule):
    """The tiny model; validation books its sleeps as evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Net()

    def training_step(self, batch: torch.Tensor, number: int) -> torch.Tensor:
        return self.model(batch).sum()

    def validation_step(self, batch: torch.Tensor, number: int) -> None:
        self.model(batch)

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), 0.01)
        optimizer.sleep = 3 * SLEEP_S  # what Lightning does around the closure is the optimizer's, too
        return optimizer

    def on_train_start(self) -> None:
        TRUTH.forget()  # the sanity validation

    def on_validation_epoch_start(self) -> None:
        TRUTH.count("evaluations")

    def on_before_backward(self, loss: torch.Tensor) -> None:
        TRUTH.count("micro_batches")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        TRUTH.count("checkpoints")
        checkpoint["slow"] = SlowState()


class HeldOut(Samples):
    """Samples of the validation set."""

    def __getitem__(self, index: int) -> torch.Tensor:
        with TRUTH.all_as("evaluation"):
            return super().__getitem__(index)


class Validating(lightning.Callback):
    """Books what the model does while it is validated as evaluation."""

    def on_validation_start(self, *args: Any) -> None:
        TRUTH.instead = "evaluation"

    def on_validation_end(self, *args: Any) -> None:
        TRUTH.instead = None


if __name__ == "__main__":
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=3,
        accumulate_grad_batches=2,
        val_check_interval=0.5,
        num_sanity_val_steps=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=os.environ["TRUTH"],
        callbacks=[Validating()],
    )
    trainer.fit(
        Module(), DataLoader(Samples(32), batch_size=2), DataLoader(HeldOut(6, 2 * SLEEP_S), batch_size=2)
    )
    TRUTH.write("lightning")
