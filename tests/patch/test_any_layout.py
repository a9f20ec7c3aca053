"""Whatever the layout and the encoding of the call: after the patch only the arguments differ."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.model.trial import Change
from trainbottleneck.patch import Patch, Site, make_permanent

FILE = "/p/train.py"
WANTED = {"num_workers": 3.0, "pin_memory": 1.0}
_NAMES = (
    "dataset",
    "batch_size",
    "shuffle",
    "sampler",
    "batch_sampler",
    "num_workers",
    "collate_fn",
    "pin_memory",
)
_OTHERS = ("drop_last", "generator", "timeout", "worker_init_fn")

# Values that look like the end of a call, hold line ends, brackets, quotes, commas or comments.
_VALUES = st.sampled_from(
    (
        "ds", "(ds)", "make(ds, num_workers=7)", "[1, 2,]", "{'num_workers': 5, ')': '#'}", "'),'", '"漢字é ("',
        'f"({ds}"', "lambda b, *a, **k: (b, k)", "(yield)", "[x for x in ds if x]", "*ds,", "a if b else c",
        "'''two\nlines)'''", "ds[1:, ::2]", "(  # why\n ds)", "'a' 'b'", "x.y(\n)", "-1", "...", "b'\\n'",
    )
).filter(lambda text: text not in ("(yield)", "*ds,"))  # fmt: skip
_LITERALS = st.sampled_from(("0", "2", "(0)", "0x2", "(  # none\n0\n)", "None", "False", "-1"))
_BLANKS = st.sampled_from(
    ("", " ", "  ", "\t", "\n", "\n    ", "  # a comment, (\n", " \\\n ", "\n\t# one\n\n  # two\n")
)


@st.composite
def _calls(draw: st.DrawFn) -> str:
    """Return a call of DataLoader in some layout, all of whose relevant arguments are literals or missing."""
    count = draw(st.integers(0, 8))
    parts = [draw(_LITERALS if name in WANTED else _VALUES) for name in _NAMES[:count]]
    keywords = draw(st.lists(st.sampled_from(_NAMES[count:] + _OTHERS), unique=True, max_size=4))
    for name in keywords:
        value = draw(_LITERALS if name in WANTED else _VALUES)
        parts.append(f"{name}{draw(_BLANKS)}={draw(_BLANKS)}{value}")
    text = draw(_BLANKS)
    for number, part in enumerate(parts):
        comma = number < len(parts) - 1 or draw(st.booleans())
        text += part + draw(_BLANKS) + ("," if comma else "") + draw(_BLANKS)
    return f"DataLoader({text})"


@st.composite
def _scripts(draw: st.DrawFn) -> tuple[str, int]:
    """Return a script around a call, and the call's line."""
    call = draw(_calls())
    before = draw(st.sampled_from(("", "# é\n", '"""漢"""\n', "\n\n", "x = '''\n'''\n", "\x0c\n")))
    around = draw(
        st.sampled_from(
            (
                "{}", "a = {}", "a: 'é' = [{}, other(1)]", "def f():\n\treturn {}", "with {} as a: pass",
                "if 1:\n  ä = f({}, num_workers=9); b = 2", "for x in ({}): pass  # )", "assert ({}), 'x'",
            )
        )
    )  # fmt: skip
    head = before + "from torch.utils.data import DataLoader\n" + around.split("{}")[0]
    end = draw(st.sampled_from(("", "\n", "\n# the end", "\n\n\n")))
    return head + call + around.split("{}")[1] + end, head.count("\n") + 1


def _parsed(text: str) -> ast.Module | None:
    """Return the syntax, None where some layout is no Python."""
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def _patch(data: bytes, line: int) -> Patch:
    """Return the patch of one change at one line."""
    change = Change(mitigation="m", override="loader", settings=WANTED)
    return make_permanent([change], [Site(override="loader", file=FILE, line=line)], {FILE: data})


def _without(tree: ast.Module, line: int) -> tuple[str, dict[str, object]]:
    """Return the syntax without the two arguments of the call at ``line``, and their values."""
    call = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DataLoader" and node.lineno == line
    )
    found: dict[str, object] = {}
    for one in [one for one in call.keywords if one.arg in WANTED]:
        found[str(one.arg)] = ast.literal_eval(one.value)
        call.keywords.remove(one)
    for name in WANTED:
        if _NAMES.index(name) < len(call.args):
            found[name] = ast.literal_eval(call.args[_NAMES.index(name)])
            call.args[_NAMES.index(name)] = ast.Constant(0)
    return ast.dump(tree), found


def _comments(text: str) -> list[str]:
    """Return all comments in order."""
    return [
        one.string
        for one in tokenize.generate_tokens(io.StringIO(text).readline)
        if one.type == tokenize.COMMENT
    ]


@settings(max_examples=60)
@given(script=_scripts())
def test_the_syntax_is_the_old_one_but_for_the_arguments(script: tuple[str, int]) -> None:
    text, line = script
    tree = _parsed(text)
    if tree is None:
        return
    patch = _patch(text.encode(), line)
    assert patch.additions == ()
    after = patch.files[FILE].decode() if patch.files else text
    rest, values = _without(ast.parse(after), line)
    assert values == {"num_workers": 3, "pin_memory": True}
    assert rest == _without(tree, line)[0]
    assert _comments(after) == _comments(text)
    compile(after, FILE, "exec")


@settings(max_examples=25)
@given(
    script=_scripts(),
    newline=st.sampled_from(("\n", "\r\n", "\r")),
    coding=st.sampled_from(("", "bom", "latin-1", "cp1252")),
)
def test_line_ends_encodings_and_marks_are_kept(script: tuple[str, int], newline: str, coding: str) -> None:
    text, line = script
    if _parsed(text) is None:
        return
    plain = _patch(text.encode(), line)
    expected = plain.files[FILE].decode() if plain.files else text

    def spelled(text: str) -> bytes:
        if coding in ("", "bom"):
            return (b"\xef\xbb\xbf" if coding else b"") + text.replace("\n", newline).encode()
        text = f"# -*- coding: {coding} -*-\n" + text.replace("漢字", "ü").replace("漢", "ü")
        return text.replace("\n", newline).encode(coding)

    patch = _patch(spelled(text), line + (coding not in ("", "bom")))
    assert patch.additions == ()
    assert patch.files.get(FILE, spelled(text)) == spelled(expected)


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"# coding: nonsense\n", b"x = '\xe9'\n", b"(" * 5000, b"\xef\xbb\xbf\xe9"]
)
def test_what_cannot_be_read_is_not_edited_and_the_lines_are_given(data: bytes) -> None:
    patch = _patch(data, 1)
    assert patch.files == {} and patch.diff == ""
    (left,) = patch.additions
    assert left.reason.startswith("the file can't be edited: ")
    assert left.lines == ("DataLoader(..., num_workers=3, pin_memory=True)",)


def test_a_call_inside_a_string_is_left() -> None:
    text = 'from torch.utils.data import DataLoader\nx = f"a {DataLoader(ds)} b"\n'
    patch = _patch(text.encode(), 2)
    assert patch.files == {} and len(patch.additions) == 1


def test_the_scripts_own_warnings_are_not_ours_to_print() -> None:
    text = "from torch.utils.data import DataLoader\na = DataLoader('\\d' is 3)\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(_patch(text.encode(), 2).edits) == 2


def test_nested_calls_are_both_edited() -> None:
    change = Change(mitigation="m", override="loader", settings={"num_workers": 2.0})
    text = (
        "from torch.utils.data import DataLoader\na = DataLoader(list(\n  DataLoader(ds,\n  num_workers=0)))"
    )
    sites = [Site(override="loader", file=FILE, line=line) for line in (2, 3)]
    patch = make_permanent([change], sites, {FILE: text.encode()})
    assert patch.files[FILE].decode() == text.replace("=0)))", "=2)), num_workers=2)")
