"""Anomaly detection is off in blocks without it, and the script reads back what it asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from .runs import in_turn, order, run

SCRIPT = """
    import contextlib
    real = torch._C.is_anomaly_enabled
    {before}
    for x, y in DataLoader(Items(), batch_size=4):
        with {around}:
            step(x, y)
            rest(0.005)
            print(int(real()), int(torch.is_anomaly_enabled()), flush=True)
"""
ALWAYS = {"before": "torch.autograd.set_detect_anomaly(True)", "around": "contextlib.nullcontext()"}
EACH_STEP = {"before": "", "around": "torch.autograd.detect_anomaly()"}


@pytest.mark.parametrize("way", [ALWAYS, EACH_STEP], ids=["always", "each step"])
def test_it_is_off_in_the_blocks_without_it_and_on_again_after_them(
    tmp_path: Path, way: dict[str, str]
) -> None:
    wanted = order("anomaly")
    ran = run(tmp_path, SCRIPT.format(**way), in_turn(wanted))
    assert ran.ended("anomaly")["state"] == "done", ran.ended("anomaly")
    real, read = zip(*(line.split() for line in ran.out.splitlines()), strict=True)
    assert set(read) == {"1"}
    # A B B A: the second and third block, with the steps before each that are not counted, are one stretch.
    assert real.count("0") == 2 * (wanted["wash"] + wanted["block"])
    assert "0" not in real[: real.index("0")] + real[real.index("0") + real.count("0") :]
    (told,) = ran.record.told("torch")
    assert told.data["anomaly"] is True
    assert not ran.trouble()


def test_a_script_without_it_refuses(tmp_path: Path) -> None:
    ran = run(
        tmp_path, SCRIPT.format(before="", around="contextlib.nullcontext()"), in_turn(order("anomaly"))
    )
    told = ran.ended("anomaly")
    assert (told["state"], told["reason"]) == ("refused", "anomaly detection was off in the steps seen")
    assert {tuple(line.split()) for line in ran.out.splitlines()} == {("0", "0")}
    assert not ran.trouble()
