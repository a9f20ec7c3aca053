"""An Accelerate loop: its loader asks for a batch ahead and moves it, its optimizer wraps ours."""

from __future__ import annotations

from accelerate import Accelerator
from torch.utils.data import DataLoader
from truth import SGD, TRUTH, Net, Samples, evaluate

if __name__ == "__main__":
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = Net()
    model, optimizer, training, held_out = accelerator.prepare(
        model,
        SGD(model.parameters(), 0.01),
        DataLoader(Samples(32), batch_size=2),
        DataLoader(Samples(6), batch_size=2),
    )
    for _ in range(3):
        for batch in training:
            with accelerator.accumulate(model):
                loss = TRUTH.timed("forward", model, batch).sum()
                TRUTH.count("micro_batches")
                TRUTH.timed("backward", accelerator.backward, loss)
                optimizer.step()
                optimizer.zero_grad()
        evaluate(model, held_out)
    for batch in training:
        with accelerator.accumulate(model):
            TRUTH.count("micro_batches")
            accelerator.backward(model(batch).sum())
            optimizer.step()
            optimizer.zero_grad()
    TRUTH.write("accelerate")
