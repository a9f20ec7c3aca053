"""Group F: no torch, other torch, broken optional packages, switches of Python that keep every tool out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .recordings import new_run
from .runs import diagnose, execute, plain, write

MISSING = Path(__file__).parent / "scripts" / "missing.py"


def test_f1_a_script_that_never_imports_torch_gets_a_named_result(tmp_path: Path) -> None:
    work = write(tmp_path, {"train.py": "import sys; print('no torch here'); sys.exit(5)"})
    found = diagnose(["train.py"], work, flags=("--full",))
    assert (found.code, found.out) == (5, b"no torch here\n")
    work = write(tmp_path, {"other.py": "print('no torch here')"})
    found = diagnose(["other.py"], work, flags=("--full",))
    assert found.code == 0
    assert found.report["verdict"]["result"] == "NO_TORCH"
    assert "never imported torch" in " ".join(found.err.split())


def test_f1_an_interpreter_without_torch_is_refused_before_the_script_starts(tmp_path: Path) -> None:
    work = write(tmp_path, {"train.py": "open('started', 'w')"})
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # one that sees no packages
    bare.chmod(0o755)
    found = diagnose(["train.py"], work, flags=("--python", str(bare)))
    assert found.code == 2
    assert "has no torch" in found.err and found.err.count("\n") == 1
    assert not (work / "started").exists()


def test_f7_broken_optional_packages_count_as_absent(tmp_path: Path) -> None:
    broken = "raise RuntimeError('built for another version')"
    files = {f"site/{name}.py": broken for name in ("pynvml", "tensorboard", "wandb")}
    work = write(tmp_path, {**files, "train.py": "print('trained')"})
    found = diagnose(["train.py"], work, {"PYTHONPATH": _joined(work / "site")}, ("--full",))
    assert (found.code, found.out) == (0, b"trained\n")
    assert "Traceback" not in found.err
    reasons = [row["reason"] for row in found.report["not_evaluated"] if row["what"] == "devices"]
    assert len(reasons) == 1 and reasons[0]


def _joined(folder: Path) -> str:
    """Return PYTHONPATH with ``folder`` first."""
    before = os.environ.get("PYTHONPATH")
    return str(folder) + (os.pathsep + before if before else "")


@pytest.mark.parametrize("switch", ["-I", "-E", "-S"])
def test_f8_switches_that_keep_tools_out_are_said_and_change_nothing(tmp_path: Path, switch: str) -> None:
    work = write(tmp_path, {"train.py": "import sys; print(sys.flags)"})
    argv = ["--", sys.executable, switch, "train.py"]
    expected = plain([switch, "train.py"], work)
    found = diagnose(argv, work, flags=("--full",))
    assert (found.code, found.out, found.their_err.count("Traceback")) == (0, expected.out, 0)
    assert "nothing will be measured" in found.err
    assert found.report["verdict"]["result"] == "NO_TORCH"


@pytest.mark.slow
def test_f2_a_hook_whose_torch_internals_are_missing_is_off_with_a_reason_and_undo_leaves_no_trace(
    tmp_path: Path,
) -> None:
    """One process without one after the other; see scripts/missing.py for what it asserts."""
    run = new_run(tmp_path)
    done = execute([sys.executable, str(MISSING), str(run / "boot"), str(run)], tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.split()[-1] == b"no-trace"
    off = dict(line.split("=") for line in done.out.decode().split()[:-1])
    assert off == {
        "autograd._engine_run_backward": "backward",
        "is_grad_enabled": "forward",
        "utils.data.dataloader._BaseDataLoaderIter": "loader",
        "utils.data._utils.fetch._MapDatasetFetcher": "loader",
        "_utils.ExceptionWrapper": "worker",
        "distributed.distributed_c10d": "collectives",
        "serialization": "none",
        "amp.GradScaler": "none",
        "optim.optimizer.register_optimizer_step_pre_hook": "optimizer",
    }


def test_a17_pandas_and_xarray_import_silently_beside_us(tmp_path: Path) -> None:
    """They import a package named ``bottleneck`` where there is one; ours must not be taken for it."""
    pytest.importorskip("pandas")
    pytest.importorskip("xarray")
    script = (
        "import warnings; warnings.simplefilter('error')\n"
        "import sys, trainbottleneck, pandas, xarray\n"
        "s = pandas.Series([1.0, None, 3.0]); print(s.mean(), s.sum(), xarray.DataArray([1.0, 2.0]).mean().item())\n"
        "m = sys.modules.get('bottleneck'); print(m is None or 'site-packages' in m.__file__)"
    )
    done = execute([sys.executable, "-c", script], tmp_path)
    assert (done.code, done.out.split(), done.err) == (0, [b"2.0", b"4.0", b"1.5", b"True"], "")
