"""A text classifier under transformers' Trainer; every text is cleaned and tokenised anew whenever it is asked for."""

import html
import random
import re
import sys
import tempfile
import unicodedata
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cases"))  # clock.py
from clock import Clock, parser

WORDS = (
    "great",
    "awful",
    "plot",
    "actor",
    "scene",
    "film",
    "boring",
    "moving",
    "caf\u00e9",
    "na\u00efve",
    "music",
)
BATCH, LENGTH = 16, 48


def review(label, length):
    """Return a review as it comes out of a web page."""
    words = random.choices(WORDS, k=length)
    words[::7] = ["great" if label else "awful"] * len(words[::7])
    return "".join(f"<p class='x'>{word} &amp; <b>{word.upper()}</b>!!</p>\r\n" for word in words)


def clean(page):
    """Return the text of a page: no marks, no accents, no doubled letters or signs, lower case."""
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    text = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    text = re.sub(r"([!?.])\1+", r"\1", text.lower())
    text = re.sub(r"(\w)\1{2,}", r"\1\1", text)
    return re.sub(r"\s+", " ", re.sub(r"[^a-z0-9!?. ]", " ", text)).strip()


class Reviews(Dataset):
    def __init__(self, tokenizer, length, ready):
        random.seed(0)
        self.tokenizer = tokenizer
        self.labels = [index % 2 for index in range(512)]
        self.pages = [review(label, length) for label in self.labels]
        self.ready = [self.encode(page) for page in self.pages] if ready else None

    def encode(self, page):
        return self.tokenizer(clean(page), truncation=True, max_length=LENGTH)

    def __len__(self):
        return len(self.pages)

    def __getitem__(self, index):
        encoded = self.ready[index] if self.ready else self.encode(self.pages[index])
        return {**encoded, "labels": self.labels[index]}


class Laps(TrainerCallback):
    def __init__(self, clock):
        self.clock = clock

    def on_step_end(self, *_, **__):
        self.clock.lap(BATCH)


def tokenizer():
    words = [clean(word) for word in WORDS]
    core = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(["<pad>", "<unk>", *words])}, "<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", unk_token="<unk>")


def main(folder):
    args = parser(__doc__, page=400).parse_args()
    torch.manual_seed(0)
    words = tokenizer()
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
    )
    settings = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        max_steps=args.steps or 1_000_000,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        logging_steps=100,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=settings,
        train_dataset=Reviews(words, args.page, ready=args.fixed),
        data_collator=DataCollatorWithPadding(words),
        callbacks=[Laps(Clock(args))],
    )
    trainer.train()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(folder)
