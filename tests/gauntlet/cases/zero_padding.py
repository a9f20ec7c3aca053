"""A classifier of short texts that are all padded to the longest the model can take."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

WORDS, WIDTH = 2000, 128


class Texts(Dataset):
    """Texts of 60 words on average, none longer than 100."""

    def __init__(self, count=4000):
        lengths = torch.randint(20, 101, (count,))
        self.texts = [torch.randint(1, WORDS, (int(length),)) for length in lengths]

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, index):
        return self.texts[index], index % 4


class Collate:
    """Pads with zeros to ``length`` words; to the longest of the batch where it is 0."""

    def __init__(self, length):
        self.length = length

    def __call__(self, samples):
        texts, labels = zip(*samples, strict=True)
        padded = pad_sequence(texts, batch_first=True)
        missing = max(0, self.length - padded.shape[1])
        return nn.functional.pad(padded, (0, missing)), torch.tensor(labels)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH, padding_idx=0)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, texts):
        padding = texts == 0
        states = self.encoder(self.words(texts), src_key_padding_mask=padding)
        kept = states.masked_fill(padding[..., None], 0.0).sum(1)
        return self.head(kept / (~padding).sum(1, keepdim=True))


def main():
    args = parser(__doc__, length=256).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    collate = Collate(0 if args.fixed else args.length)
    loader = DataLoader(Texts(), batch_size=8, shuffle=True, collate_fn=collate)
    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    while True:
        for texts, labels in loader:
            loss = nn.functional.cross_entropy(model(texts), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
