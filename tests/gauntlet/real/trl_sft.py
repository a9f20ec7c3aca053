"""trl's own script for supervised fine-tuning (trl/scripts/sft.py) on a small model and data made here.

SFTConfig sets gradient_checkpointing by itself, whether memory is short or not.
"""

import json
import os
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cases"))  # clock.py
from clock import Clock, parser

WORDS = [f"w{number}" for number in range(500)]
BATCH, LENGTH = 4, 64


def tokenizer():
    """Return a tokenizer of whole words, with a chat's marks left out."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: index for index, word in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def make(folder):
    """Write a model of four layers and a thousand texts."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(WORDS) + 3,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=256,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    random.seed(0)
    (folder / "texts").mkdir()
    with (folder / "texts" / "train.jsonl").open("w") as file:
        for _ in range(1000):
            file.write(json.dumps({"text": " ".join(random.choices(WORDS, k=LENGTH - 1))}) + "\n")


def main():
    args = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HF_HOME"] = name  # what datasets caches
        from transformers import TrainerCallback, trainer
        from trl.scripts import sft

        clock = Clock(args)

        class Laps(TrainerCallback):
            def on_step_end(self, *_, **__):
                clock.lap(BATCH)

        trainer.DEFAULT_CALLBACKS.append(Laps)  # the script offers no other way in
        make(folder)
        words = [
            *("--model_name_or_path", str(folder / "model"), "--dataset_name", str(folder / "texts")),
            *("--output_dir", str(folder / "out"), "--per_device_train_batch_size", str(BATCH)),
            *(
                "--max_steps",
                str(args.steps or 1_000_000),
                "--learning_rate",
                "1e-3",
                "--max_length",
                str(LENGTH),
            ),
            *("--use_cpu", "True", "--bf16", "False", "--report_to", "none", "--disable_tqdm", "True"),
            *("--logging_steps", "50", "--save_strategy", "no"),
            *("--gradient_checkpointing", "False" if args.fixed else "True"),
        ]
        sft.main(*sft.make_parser().parse_args_and_config(words))


if __name__ == "__main__":
    main()
