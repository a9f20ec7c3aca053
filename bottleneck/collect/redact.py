"""Secrets are taken out of a command line before it is recorded or shown."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "***"
# Cut, so that a script's inline code or data does not fill the record.
_LONGEST = 1000

_SECRET_WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|secrets?|token|credentials?|cred|auth(?:orization)?|bearer"
    r"|api[-_.]?keys?|access[-_.]?keys?|account[-_.]?keys?|private[-_.]?keys?|secret[-_.]?keys?"
    r"|license[-_.]?keys?|ssh[-_.]?keys?|encryption[-_.]?keys?|signing[-_.]?keys?|wandb[-_.]?keys?"
    r"|sas|cookies?|session[-_.]?id|dsn|conn(?:ection)?[-_.]?str(?:ing)?|signature|sig|jwt"
)
# A word of a name counts where it stands between separators: HF_TOKEN and --hub-token are secret,
# --max-tokens, --tokenizer and --pad-token-id are settings that the report needs.
_NAME = re.compile(rf"(?i)(?:^|[-_.])(?:{_SECRET_WORDS})$|(?:key|token|secret|password|passwd)$")
_SETTING = re.compile(
    r"(?i)(?:^|[-_.])(?:(?:max|min|num|n|new|total|vocab|per|batch|context|seq|eval|train|sample|target|block)"
    r"[-_.](?:[a-z0-9]+[-_.])*tokens?|(?:pad|eos|bos|unk|mask|sep|cls|image|special|stop|end|start|add)[-_.]tokens?"
    r"|(?:sort|label|text|image|audio|input|target|column|field|map|dict|group)[-_.]?key|monkey|hotkey)$"
)
_FLAG = re.compile(r"^-{1,2}[A-Za-z][\w.\-]*$")
_PAIR = re.compile(r"(?s)^(-{0,2}[A-Za-z_+~][\w.\-+/]*)(=|:)(.*)$")
_URL = re.compile(r"(?i)(?<![a-z0-9])([a-z][a-z0-9+.\-]{0,30}://)([^/\s?#]{0,1000})@")
_QUERY = re.compile(rf"(?i)([?&](?:[\w.\-]{{0,60}}[-_.])?(?:{_SECRET_WORDS}|key)=)[^&\s#]+")
_HEADER = re.compile(r"(?i)\b((?:proxy-)?authorization\s*[:=]\s*)(?:(bearer|basic|token)\s+)?[^\s'\"]+")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=\-]{8,}")
# Shapes that the issuers of tokens document: a prefix and a minimum length.
_KNOWN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"hf_[A-Za-z0-9]{8,}|api_org_[A-Za-z0-9]{8,}"  # Hugging Face
    r"|gh[pousr]_[A-Za-z0-9]{8,}|github_pat_\w{8,}|glpat-[\w\-]{8,}"  # GitHub, GitLab
    r"|sk-[A-Za-z0-9_\-]{8,}|[rs]k_(?:live|test)_\w{8,}"  # OpenAI, Anthropic, Stripe
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,}"  # AWS key ids
    r"|AIza[\w\-]{20,}|ya29\.[\w\-]{8,}"  # Google
    r"|xox[abeoprs]-[\w\-]{8,}|xapp-[\w\-]{8,}"  # Slack
    r"|pypi-[\w\-]{16,}|npm_[A-Za-z0-9]{16,}|dckr_pat_[\w\-]{8,}|nvapi-[\w\-]{8,}|wandb_v1_\w{8,}|r8_\w{16,}"
    r"|eyJ[\w\-]{8,}\.[\w\-]{8,}(?:\.[\w\-]*)?"  # JSON web tokens
    r")"
)
_PEM = re.compile(r"(?s)-----BEGIN [A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\Z)")
# `NAME=value`, `"name": "value"` and `--name value` inside one argument (python -c, sh -c, JSON, Hydra).
_ASSIGNED = re.compile(
    r"(?<![\w.])(?P<flag>--?)?(?P<name>[A-Za-z_][\w.\-]{0,200})(?P<between>['\"]?\s*[=:]\s*|\s+)"
)
# A quoted value goes to its closing quote, over line ends; any other to the next space or comma.
_VALUE = re.compile(
    r"(?s)(?P<quote>['\"])(?:[^'\"\\]|\\.|(?!(?P=quote))['\"])*(?:(?P=quote)|\Z)|[^\s,;&'\"{}()]+"
)


def is_secret_name(name: str) -> bool:
    """Return whether an option or variable of this name holds a secret."""
    bare = name.lstrip("-+~")[-100:]  # a name that is longer is none; its end decides
    bare = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare)  # apiKey, hubToken
    return bool(_NAME.search(bare)) and not _SETTING.search(bare)


def _hide_assigned(text: str) -> str:
    """Return ``text`` without the values that stand behind the names of secrets."""
    parts, done, at = [], 0, 0
    while (match := _ASSIGNED.search(text, at)) is not None:
        at = match.end()
        named = is_secret_name(match["name"]) and (match["flag"] or not match["between"].isspace())
        value = _VALUE.match(text, at) if named else None
        if value is not None:
            quote = value["quote"] or ""
            parts += [text[done:at], f"{quote}{HIDDEN}{quote}"]
            at = done = value.end()
    return "".join([*parts, text[done:]])


def redact_text(text: str) -> str:
    """Return ``text`` with what looks like a secret replaced by ``***``."""
    text = _PEM.sub(HIDDEN, text)
    text = _URL.sub(rf"\g<1>{HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
    text = _HEADER.sub(rf"\g<1>{HIDDEN}", text)
    text = _BEARER.sub(rf"\g<1>{HIDDEN}", text)
    text = _KNOWN.sub(HIDDEN, text)
    return _hide_assigned(text)


def _redact_one(argument: str) -> str:
    """Return one argument redacted: the whole value where its own name is that of a secret."""
    pair = _PAIR.match(argument)
    if pair and is_secret_name(pair[1]) and pair[3] and not pair[3].startswith("//"):
        return f"{pair[1]}{pair[2]}{HIDDEN}"
    return redact_text(argument)


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Return the command line with every value of a secret replaced by ``***``.

    Hidden are the values of options and variables with telling names (``--token=S``, ``--api-key S``,
    ``PASSWORD=S``), user and password in URLs, and what has the shape of a known kind of token. Long
    arguments are cut. The same number of arguments comes back, in the same order.
    """
    found: list[str] = []
    hide_next = False
    for argument in argv:
        if hide_next and not (_FLAG.match(argument) and argument.startswith("--")):
            found.append(HIDDEN)
            hide_next = False
            continue
        hide_next = bool(_FLAG.match(argument)) and is_secret_name(argument)
        # What is cut away below is not worth searching; the rest of a value cut here is cut as well.
        redacted = _redact_one(argument[: 8 * _LONGEST])
        found.append(redacted if len(redacted) <= _LONGEST else redacted[: _LONGEST - 3] + "...")
    return found
