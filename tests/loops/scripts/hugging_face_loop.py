"""A Hugging Face trainer on a tiny model made from its configuration: accumulation, evaluation, checkpoints."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
from truth import SGD, SLEEP_S, TRUTH, Slow


class Text(Dataset[dict[str, torch.Tensor]]):
    """Sleeps for every sample."""

    def __init__(self, length: int, phase: str) -> None:
        self.length, self.phase = length, phase

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        TRUTH.slept(self.phase, SLEEP_S)
        tokens = torch.arange(8)
        return {"input_ids": tokens, "labels": tokens}


class Model(GPT2LMHeadModel):
    """Sleeps forward and backward, for longer than the real layers take."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        phase = "forward" if self.training else "evaluation"
        TRUTH.slept(phase, 2 * SLEEP_S)
        result = TRUTH.timed(phase, partial(super().forward, *args, **kwargs))
        if self.training:
            for _ in range(4):
                result.loss = Slow.apply(result.loss)
        return result


class Counts(TrainerCallback):
    """Counts what the trainer says it does."""

    def on_evaluate(self, *args: Any, **kwargs: Any) -> None:
        TRUTH.count("evaluations")

    def on_save(self, *args: Any, **kwargs: Any) -> None:
        TRUTH.count("checkpoints")

    def on_substep_end(self, *args: Any, **kwargs: Any) -> None:
        TRUTH.count("micro_batches")

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        TRUTH.count("micro_batches")


if __name__ == "__main__":
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0
    )
    model = Model(config)
    arguments = TrainingArguments(
        output_dir=os.environ["TRUTH"] + "/out",
        max_steps=24,
        per_device_train_batch_size=2,
        per_device_eval_batch_size=2,
        gradient_accumulation_steps=2,
        eval_strategy="steps",
        eval_steps=6,
        save_strategy="steps",
        save_steps=8,
        logging_steps=4,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Text(32, "data_wait"),
        eval_dataset=Text(4, "evaluation"),
        optimizers=(SGD(model.parameters(), 0.01), None),
        callbacks=[Counts()],
    )
    trainer.train()
    TRUTH.write("hugging_face")
