"""Secrets on the command line never reach the record."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.collect.redact import HIDDEN, redact_argv, redact_text

SECRET = "S3cr3tValue99"


@pytest.mark.parametrize(
    "argv",
    [
        ["train.py", f"--token={SECRET}"],
        ["train.py", "--api-key", SECRET],
        ["train.py", "--password", SECRET],
        ["train.py", "--password", f"-{SECRET}"],
        ["train.py", "--hub_token", SECRET],
        ["train.py", "--wandbApiKey", SECRET],
        [f"PASSWORD={SECRET}"],
        ["--env", f"HF_TOKEN={SECRET}"],
        [f"AWS_SECRET_ACCESS_KEY={SECRET}"],
        [f"trainer.logger.api_key={SECRET}"],
        [f"++trainer.password={SECRET}"],
        [f"https://user:{SECRET}@host/data"],
        [f"--tracking=mysql://root:{SECRET}@host"],
        [f"https://user:p@{SECRET}@host/data"],
        [f"--url=s3://host/path?X-Amz-Signature={SECRET}&part=1"],
        ["curl", "-H", f"Authorization: Bearer {SECRET}"],
        ["-c", f'login(token="{SECRET}")'],
        ['{"api_key": "' + SECRET + '", "lr": 3}'],
        ["sh", "-c", f"python train.py --token {SECRET} --lr 3"],
        ["sh", "-c", f"export PASSWORD='first\n{SECRET}\nlast'; python train.py"],
        ["--env=HF_TOKEN=" + SECRET],
        [f"--secret={SECRET}\n{SECRET}"],
        [f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----"],
    ],
)
def test_the_value_of_a_secret_is_hidden(argv: list[str]) -> None:
    redacted = redact_argv(argv)
    assert SECRET not in " ".join(redacted)
    assert HIDDEN in " ".join(redacted)
    assert len(redacted) == len(argv)


@pytest.mark.parametrize(
    "token",
    [
        "hf_AbCdEfGhIjKlMnOpQr",
        "ghp_0123456789abcdef0123",
        "github_pat_11ABCDEFG0abcdefgh",
        "sk-proj-abcdefgh12345678",
        "AKIAIOSFODNN7EXAMPLE",
        "glpat-abcdefgh12345678",
        "xoxb-1234567890-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefgh",
    ],
)
@pytest.mark.parametrize("form", ["{}", "--note={}", "a {} b", "x={},y=2"])
def test_known_shapes_of_tokens_are_hidden_wherever_they_stand(token: str, form: str) -> None:
    assert token not in redact_text(form.format(token))


@pytest.mark.parametrize(
    "argv",
    [
        ["--max-tokens", "512"],
        ["--max_new_tokens=5"],
        ["--tokenizer=gpt2"],
        ["--pad-token-id", "0"],
        ["--eos_token", "</s>"],
        ["--batch-tokens", "4096"],
        ["--sort-key=len"],
        ["--key-dim=64"],
        ["--author", "somebody"],
        ["--passes=3"],
        ["--sigma", "0.1"],
        ["--lr", "3e-4", "--epochs=3", "data/a b.jpg"],
        ["https://host/path?x=1"],
        ["-c", "import time; x = 3; print(x)"],
    ],
)
def test_settings_of_a_training_stay_readable(argv: list[str]) -> None:
    assert redact_argv(argv) == argv


def test_a_switch_behind_a_secret_name_is_not_eaten() -> None:
    assert redact_argv(["--use-auth-token", "--epochs", "3"]) == ["--use-auth-token", "--epochs", "3"]


def test_long_arguments_are_cut() -> None:
    assert len(redact_argv(["x" * 1_000_000])[0]) == 1000


@pytest.mark.parametrize("unit", ["a=", "a.", "a-", "eyJa", "max_", "http://", "--token ", "?a=", "'", "key"])
def test_time_does_not_explode_on_repetition(unit: str) -> None:
    # a pattern that backtracks takes minutes here, a linear one well under a second
    assert len(redact_argv([unit * 5000, "--lr"])) == 2


@settings(max_examples=200)
@given(st.lists(st.text(max_size=60), max_size=6))
def test_any_text_gives_as_many_arguments_back(argv: list[str]) -> None:
    assert len(redact_argv(argv)) == len(argv)
