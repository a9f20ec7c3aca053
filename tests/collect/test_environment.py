"""Facts about the machine, and what can be measured on it."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from trainbottleneck.cli.env import env
from trainbottleneck.collect import capability, environment
from trainbottleneck.collect.environment import describe, filesystem, interpreter, library_paths


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """An executable that is no Python."""
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_facts_are_plain_json_and_name_the_machine() -> None:
    facts = describe(environ={})
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert 0 < facts["cpu"]["usable_cores"] <= facts["cpu"]["cores"]
    assert facts["cpu"]["model"]
    assert facts["memory"]["total_bytes"] > 1e8
    assert facts["python"]["version"] == ".".join(map(str, sys.version_info[:3]))


def test_only_named_variables_are_recorded() -> None:
    given = {
        "OMP_NUM_THREADS": "3",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "HF_TOKEN": "hf_secretsecret",
        "WANDB_API_KEY": "secret",
        "TORCH_SECRET": "secret",
        "NCCL_DEBUG": "hf_secretsecretsecret",
    }
    variables = describe(environ=given)["variables"]
    assert variables == {"OMP_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": "0,1", "NCCL_DEBUG": "***"}


def test_no_variable_of_the_list_can_hold_a_secret() -> None:
    words = ("TOKEN", "KEY", "SECRET", "PASS", "CREDENTIAL", "PROXY", "URL")
    held = {name for name in environment.SPEED_VARIABLES if any(word in name for word in words)}
    assert held == {"TOKENIZERS_PARALLELISM"}


def test_library_paths_hold_the_standard_library_of_the_interpreter_asked() -> None:
    assert any(os.__file__.startswith(path + "/") for path in library_paths())


def test_an_interpreter_that_can_not_be_asked_gives_a_reason(broken: Path) -> None:
    assert "reason" in interpreter(broken)
    assert "reason" in interpreter(Path("/nowhere/python"))
    assert library_paths(broken) == ()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_the_kind_of_file_system_is_that_of_the_innermost_mount() -> None:
    assert filesystem(Path("/proc/self")) == "proc"
    assert filesystem(Path.cwd()) not in (None, "proc")


def test_capabilities_say_how_to_enable_what_is_missing(broken: Path) -> None:
    for entry in capability.capabilities(broken):
        assert entry["available"] == (entry["reason"] == "")
    torch = capability.capabilities(broken)[0]
    assert not torch["available"]
    assert "--python" in torch["how_to_enable"]


def test_a_missing_pyspy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "find_pyspy", lambda: (None, "py-spy is not installed"))
    stacks = capability.capabilities()[1]
    assert (stacks["available"], stacks["how_to_enable"]) == (False, "pip install py-spy")


@pytest.mark.parametrize("scope", ["1", "2"])
def test_a_refused_trace_names_the_setting(monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
    real = Path.read_text

    def read(self: Path, *args: object, **kwargs: object) -> str:
        return scope + "\n" if self.name == "ptrace_scope" else real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr(capability, "find_pyspy", lambda: (Path("/bin/true"), ""))
    monkeypatch.setattr(capability, "try_pyspy", lambda path, pid: "no permission to read")
    how = capability.capabilities()[1]["how_to_enable"]
    assert "kernel.yama.ptrace_scope=0" in how
    assert f"is {scope}" in how


def test_the_command_prints_both_forms() -> None:
    plain = CliRunner().invoke(env)
    assert plain.exit_code == 0
    assert "cores usable" in plain.output
    read = json.loads(CliRunner().invoke(env, ["--json"]).output)
    assert {entry["what"] for entry in read["capabilities"]}
    assert all(entry["what"] in plain.output for entry in read["capabilities"])


def test_an_interpreter_that_is_not_there_is_a_usage_error() -> None:
    assert CliRunner().invoke(env, ["--python", "/nowhere/python"]).exit_code == 2
