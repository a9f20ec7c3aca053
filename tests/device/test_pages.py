"""Pages of memory that the kernel hands out while a model trains, and what one costs on this machine."""

from __future__ import annotations

import ctypes
import sys
import time
from dataclasses import replace

import pytest
from analyze.records import Loop
from trainbottleneck.agent.probes import fault_cost
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.diagnosis import diagnose
from trainbottleneck.model.record import RunRecord, SystemSample
from trainbottleneck.rulebook import load, shipped

from .test_roofline import PROBED, WORK, record

PER_SECOND = 100_000.0  # pages


def paging(fault_s: float | None) -> RunRecord:
    """Return a run of 65 ms a step in which the kernel hands out 100,000 pages a second."""
    loop = Loop().tell("torch", threads=2).tell("optimizer", number=1, devices=["cpu"]).plain(40)
    roofs = {"own": {"cpu": {**PROBED, "fault_s": fault_s}}, "all": {"cpu": PROBED}}
    made = record(WORK, loop=loop, roofline=roofs)
    start, pid = int(loop.process().spans.start_ns.min()), loop.process().pid
    samples = [
        SystemSample(
            time_ns=start + tenth * 10**8,
            machine={},
            processes={pid: {"minor_faults": tenth / 10 * PER_SECOND, "cpu_s": tenth / 10}},
        )
        for tenth in range((loop.now - start) // 10**8 + 1)
    ]
    return replace(made, system=tuple(samples))


def test_pages_of_a_step_are_those_of_the_training_process_in_its_time() -> None:
    found = analyse(paging(2e-6)).measurements
    assert found.number("host.faults_per_step") == pytest.approx(0.065 * PER_SECOND, rel=0.01)
    assert found.number("host.fault_s") == 2e-6


def test_a_machine_whose_pages_were_not_probed_says_so() -> None:
    assert "host.fault_s" not in analyse(paging(None)).measurements


def test_pages_that_take_a_tenth_of_the_step_are_found_and_advice_is_priced() -> None:
    report = diagnose(paging(2e-6), load([shipped()]))
    finding = next(one for one in report.findings if one.rule == "page_faults")
    assert finding.state == "fires" and finding.share == pytest.approx(
        0.1, rel=0.01
    )  # two threads share them
    assert "pages are cleared and mapped anew in each step" in finding.text
    advice = next(one for one in report.mitigations if one.id == "keep_freed_memory")
    assert advice.speedup is not None and 1.08 < advice.speedup.likely < 1.12


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="counts of page faults are Linux's here")
def test_the_probe_is_what_an_untouched_page_really_takes() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.memset.argtypes, libc.free.argtypes = (
        [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    size, slow, quick = 64 << 20, [], []
    for _ in range(5):
        block = libc.malloc(size)  # above the largest threshold: mapped anew each time
        for taken in (slow, quick):
            start = time.perf_counter()
            libc.memset(block, 1, size)
            taken.append(time.perf_counter() - start)
        libc.free(block)
    page_s = (min(slow) - min(quick)) / (size / 4096)
    probed = fault_cost()
    assert probed is not None and 0.2 * page_s < probed < 5 * page_s  # of a machine that others use, too
