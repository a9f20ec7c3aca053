"""Train a small language model on Python's language reference, tokenized once before the training."""

import torch
from common import BATCH, LENGTH, LanguageModel, Tokenizer, documents, parse_arguments
from timing import Stopwatch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset


class Documents(Dataset):
    def __init__(self, texts, tokenizer, window=8):
        self.ids = [torch.tensor(tokenizer.encode(text)) for text in texts]
        self.window = window

    def __len__(self):
        return len(self.ids) - self.window + 1

    def __getitem__(self, index):
        ids = torch.cat(self.ids[index : index + self.window])
        start = torch.randint(len(ids) - LENGTH, ()).item()
        return ids[start : start + LENGTH + 1]


def main():
    args = parse_arguments(__doc__)
    torch.manual_seed(args.seed)
    texts = documents()
    dataset = Documents(texts, Tokenizer(texts, args.vocabulary))
    sampler = torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=args.steps * BATCH)
    loader = DataLoader(dataset, BATCH, sampler=sampler)
    model = LanguageModel(args.vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    watch = Stopwatch(args.timing)
    batches = iter(loader)
    for step in range(1, args.steps + 1):
        ids = next(batches)
        optimizer.zero_grad(set_to_none=True)
        logits = model(ids[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        watch.lap()
        if step % 50 == 0:
            print(f"step {step} loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
