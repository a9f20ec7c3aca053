"""Group I: what a script is called and is given reaches the report as text, and secrets do not reach it at all."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .conftest import SECRETS
from .runs import Ran, report_again


def test_i3_hostile_names_are_escaped_in_html_and_json(recorded: Ran) -> None:
    assert recorded.run is not None
    page = (recorded.run / "report.html").read_text(encoding="utf-8")
    text = (recorded.run / "report.json").read_text(encoding="utf-8")
    assert "PWNED" in text, "the names are in the report: the test means something"
    assert "document.title='PWNED'</script>" not in page
    assert "<img src=x" not in page and "<b>.py" not in page
    opened = re.findall(r"<script\b[^>]*>", page)
    assert page.count("</script>") == len(opened)
    assert "\u2028" not in page
    found = json.loads(text)
    assert "<b>" in found["run"]["script"]
    assert "PWNED" in str(found["pictures"]["input"]), "the name of a transform"


def test_i4_control_characters_reach_no_terminal(recorded: Ran) -> None:
    assert recorded.run is not None
    for told in (recorded.err, report_again(recorded.run).err):
        assert told and not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", told.replace("\n", ""))


def test_i10_secrets_are_in_no_file_of_the_run_and_in_no_output(recorded: Ran) -> None:
    assert recorded.run is not None
    files = [path for path in recorded.run.rglob("*") if path.is_file()]
    assert len(files) > 10 and any(path.name == "trace.bin" for path in files)
    for path in files:
        data = path.read_bytes()
        assert [secret for secret in SECRETS if secret.encode() in data] == [], path
    assert not any(secret in recorded.err for secret in SECRETS)
    assert "--token=***" in recorded.report["run"]["command"]


def test_i12_nobody_else_can_read_a_run(recorded: Ran) -> None:
    assert recorded.run is not None
    assert recorded.run.stat().st_mode & 0o077 == 0
    for path in [Path(p) for p in recorded.run.glob("p*/trace.bin")]:
        assert path.stat().st_mode & 0o077 == 0
