"""Word-piece language model: arguments, vocabulary and network, shared by train.py and fixed.py."""

import argparse
import sys
from collections import Counter
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

LENGTH = 64  # pieces per sequence
BATCH = 12
UNKNOWN = 0


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--vocabulary", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


def documents():
    """Return Python's language reference, cut into paragraphs of at least 1,500 characters."""
    found, current = [], ""
    for paragraph in data.topics().split("\n\n"):
        current += paragraph + "\n\n"
        if len(current) >= 1500:
            found.append(current)
            current = ""
    return found


class Tokenizer:
    """Splits text into the longest pieces of a vocabulary, character by character."""

    def __init__(self, texts, size):
        counts = Counter()
        for text in texts:
            for word in text.split():
                counts.update(word[:end] for end in range(1, len(word) + 1))
                counts.update(word)
        self.pieces = {
            piece: number for number, (piece, _) in enumerate(counts.most_common(size - 1), start=1)
        }
        self.longest = max(map(len, self.pieces))

    def encode(self, text):
        """Return the ids of the pieces of ``text``."""
        return [number for word in text.split() for number in self.encode_word(word)]

    def encode_word(self, word):
        ids, start = [], 0
        while start < len(word):
            for end in range(min(len(word), start + self.longest), start, -1):
                if word[start:end] in self.pieces:
                    break
            ids.append(self.pieces.get(word[start:end], UNKNOWN))
            start = end
        return ids


class LanguageModel(nn.Module):
    def __init__(self, vocabulary, width=96, heads=4, layers=2):
        super().__init__()
        self.pieces = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(LENGTH, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids):
        length = ids.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        hidden = self.pieces(ids) + self.places(torch.arange(length))
        return self.head(self.layers(hidden, mask=mask, is_causal=True))
