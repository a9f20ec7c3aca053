"""From the first experiment on nothing the script writes reaches its real place, and the script does not notice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainbottleneck.analyze.logged import logged
from trainbottleneck.analyze.observed import observed

from .runs import FIRST, Ran, in_turn, order, run, write

# Everything a training writes, in every way: run as it is it stops behind the 60th optimizer step.
SAVES = """
    import glob, pickle, random, shutil, tempfile
    from pathlib import Path
    from os import replace
    import numpy as np

    stop_at = int(os.environ.get("STOP_AT", 0))
    random.seed(0), torch.manual_seed(0), np.random.seed(0)
    nn.init.constant_(model.weight, 0.5), nn.init.constant_(model.bias, 0.5)
    log = open("log.txt", "a")
    table = open("table.csv", "w", buffering=1)
    both = open("both.bin", "w+b")
    handler = logging.FileHandler("script.log")
    logging.getLogger("script").addHandler(handler)
    logging.getLogger("script").propagate = False
    raw = os.open("raw.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.makedirs("checkpoints", exist_ok=True)
    os.makedirs("given/inner")
    Path("given/inner/old.txt").write_text("old")
    rows = np.memmap("rows.bin", dtype="float32", mode="r", shape=(4,)) if os.path.exists("rows.bin") else None

    def rotate(n):
        path = f"checkpoints/step-{n}"
        os.mkdir(path)
        torch.save({"n": n, "model": model.state_dict()}, f"{path}/model.pt")
        Path(path, "state.json").write_text(json.dumps({"n": n}))
        assert json.loads(Path(path, "state.json").read_text()) == {"n": n}
        found = sorted(Path("checkpoints").glob("step-*"), key=lambda one: int(one.name.split("-")[1]))
        assert found[-1].name == f"step-{n}" and len(found) <= 3, found
        for old in found[:-2]:
            shutil.rmtree(old)
        assert len(os.listdir("checkpoints")) <= 2
        assert 0 < torch.load(f"{path}/model.pt")["n"] <= n  # an older one, while nothing is saved

    def save(n):
        torch.save(model.state_dict(), "model.tmp")
        replace("model.tmp", "model.pt")
        assert not os.path.exists("model.tmp") and torch.load("model.pt").keys() == model.state_dict().keys()
        assert torch.load("model.pt", mmap=True, weights_only=True).keys()
        with tempfile.NamedTemporaryFile("w", dir=".", prefix="part-", delete=False) as part:
            part.write(str(n))
        os.rename(part.name, "count.txt")
        assert Path("count.txt").read_text() == str(n)
        with tempfile.NamedTemporaryFile("w", dir=".", prefix="gone-") as gone:
            gone.write("x")
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch, "x").write_text("x")
        np.save("array.npy", np.arange(n))
        np.savez("arrays.npz", a=np.arange(n))
        assert len(np.load("array.npy")) == len(np.load("arrays.npz")["a"]) == n
        with open("state.pkl", "wb") as file:
            pickle.dump(n, file)
        with open("both.json", "r+" if os.path.exists("both.json") else "w") as file:
            file.seek(0, 2)
            file.write(f"{n} ")
        if os.path.lexists("latest"):
            os.unlink("latest")
        os.symlink("model.pt", "latest")
        assert os.path.samefile("latest", "model.pt")
        if os.path.exists("given/inner/old.txt") and n > 58:
            os.remove("given/inner/old.txt")
        assert not list(Path(".").glob("gone-*")) and sorted(glob.glob("*.npz")) == ["arrays.npz"]

    n = 0
    try:
        for x, y in DataLoader(Items(s=0.0005), batch_size=4, num_workers=int(os.environ.get("WORKERS", 0))):
            step(x, y)
            n += 1
            if n == stop_at:
                raise KeyboardInterrupt
            log.write(f"{n}\\n")
            table.write(f"{n},1\\n")
            both.write(b"%d\\n" % n), both.flush()
            assert both.seek(0) == 0 and both.read().split()[-1] == b"%d" % n
            os.write(raw, b"%d\\n" % n)
            logging.getLogger("script").warning("step %d", n)
            time.sleep(0.003)
            if n % 3 == 0:
                save(n)
            if n % 5 == 0:
                rotate(n)
    except KeyboardInterrupt:
        print("stopped at", n)
    finally:
        if n != stop_at:
            torch.save(model.state_dict(), "final.pt")
            Path("notes").mkdir()
            Path("notes/end.txt").write_text("end")
            os.rename("checkpoints", "done")
            shutil.rmtree("given")
            log.write("the end\\n")
            assert Path("notes/end.txt").read_text() == "end" and len(os.listdir("done")) <= 3
"""


def _tree(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def _differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_script_s_folder_stays_as_it_was_when_the_first_experiment_began(
    tmp_path: Path, workers: int
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    subprocess.run(
        [sys.executable, "train.py"],
        cwd=write(plain, SAVES),
        env={**os.environ, "STOP_AT": str(FIRST), "WORKERS": str(workers)},
        check=True,
        timeout=60,
        capture_output=True,
    )
    orders = in_turn(
        order("input", block=4, wash=8), order("checkpoint", block=6, wash=6), order("logging", wash=2)
    )
    ran = run(tmp_path, SAVES, orders, WORKERS=str(workers))
    assert ran.out.startswith("stopped at") and not ran.err and not ran.trouble(), ran.err
    ended = [ran.ended(one["arm"]) for one in orders[:-1]]
    assert [one["state"] for one in ended] == ["done"] * 3, ended
    expected, found = _tree(plain / "work"), _tree(tmp_path / "work")
    assert _differences(found, expected) == []
    inside = {path.name for path in (ran.run / "scratch").rglob("*")}
    assert {"final.pt", "end.txt", "done", "log.txt"} <= inside


BOARD = """
    from torch.utils.tensorboard import SummaryWriter
    from safetensors.torch import save_file, load_file

    board = SummaryWriter("board")
    for n, (x, y) in enumerate(DataLoader(Items(), batch_size=4)):
        loss = step(x, y)
        board.add_scalar("loss", float(loss), n)
        time.sleep(0.005)
        if n % 5 == 4:
            board.flush()
            save_file(model.state_dict(), "model.safetensors")
            assert load_file("model.safetensors").keys() == model.state_dict().keys()
            if n == 59:
                print(sum(p.stat().st_size for p in __import__("pathlib").Path("board").iterdir()), flush=True)
        if n == 54:
            before = sorted((p.name, p.stat().st_size) for p in __import__("pathlib").Path("board").iterdir())
            os.write(1, (repr(before) + "\\n").encode())
"""


def test_tensorboard_and_safetensors_write_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("safetensors")
    ran = run(
        tmp_path, BOARD, in_turn(order("logging", wash=3, block=5), order("checkpoint", wash=5, block=5))
    )
    assert not ran.err.replace("\n", "").strip() or "Error" not in ran.err, ran.err
    assert [ran.ended(arm)["state"] for arm in ("logging", "checkpoint")] == ["done", "done"]
    (real,) = (tmp_path / "work" / "board").iterdir()
    (copy,) = (path for path in (ran.run / "scratch").rglob(real.name) if path.is_file())
    assert copy.read_bytes().startswith(real.read_bytes()) and copy.stat().st_size > real.stat().st_size
    assert len(ran.record.told("experiments")) == 1
    losses = logged(observed([ran.record]))["loss"]  # those of the training as it is
    assert 50 <= len(losses.values) <= 60
    assert list(losses.updates) == list(range(1, len(losses.updates) + 1))
    assert np.isfinite(losses.values).all()


TRAINER = """
    from transformers import Trainer, TrainingArguments, TrainerCallback

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(8, 3)
        def forward(self, x, labels):
            time.sleep(0.004)
            return {"loss": nn.functional.cross_entropy(self.inner(x), labels)}

    class Rows(Items):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return {"x": x, "labels": y}

    arguments = TrainingArguments(
        "out", per_device_train_batch_size=4, max_steps=2000, save_steps=10, save_total_limit=2, logging_steps=5,
        report_to=[], disable_tqdm=True, use_cpu=True,
    )
    Trainer(Net(), arguments, train_dataset=Rows()).train()
"""


def test_a_trainer_rotates_its_checkpoints_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    orders = [{"do": "stop", "at": 195}, order("checkpoint", at=65, block=20, wash=10)]
    ran = run(tmp_path, TRAINER, orders, HF_HUB_OFFLINE="1")
    assert "Error" not in ran.err, ran.err
    assert ran.ended("checkpoint")["state"] == "done"
    names = sorted(path.name for path in (tmp_path / "work" / "out").iterdir())
    assert names == ["checkpoint-50", "checkpoint-60"]
    inside = sorted(path.name for path in (ran.run / "scratch").rglob("out/checkpoint-*"))
    assert "checkpoint-180" in inside or "checkpoint-190" in inside, inside
    assert ran.ended("checkpoint")["fingerprint"]["calls"] >= 4 * 3  # model, optimizer, scheduler, generators


def test_a_file_that_is_written_through_memory_is_not_experimented_with(tmp_path: Path) -> None:
    script = """
        import mmap
        with open("state.bin", "w+b") as file:
            file.truncate(4096)
            memory = mmap.mmap(file.fileno(), 4096)
        for x, y in DataLoader(Items(), batch_size=4):
            step(x, y)
            time.sleep(0.005)
    """
    ran: Ran = run(tmp_path, script.replace("        ", "    "), in_turn(order("input")))
    told = ran.ended("input")
    assert (told["state"], told["reason"]) == (
        "refused",
        "the script writes to state.bin through a memory map",
    )
    assert not ran.record.told("experiments")
