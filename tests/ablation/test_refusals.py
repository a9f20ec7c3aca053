"""What can't be replayed is refused, what goes wrong stays the script's, and undoing leaves no trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from .runs import in_turn, order, run

pytestmark = pytest.mark.timing

LOOPS = """
    class Graph:
        __slots__ = ("x", "y")

    def as_graph(items):
        graph = Graph()
        graph.x, graph.y = torch.stack([x for x, _ in items]), torch.tensor([y for _, y in items])
        return graph

    buffer = torch.zeros(4, 8)
    def into_one_buffer(items):
        buffer.copy_(torch.stack([x for x, _ in items]))
        return buffer, torch.tensor([y for _, y in items])

    def changed():
        for x, y in DataLoader(Items(), batch_size=4):
            x.add_(1)
            yield x, y
    def made():
        while True:
            yield torch.randn(4, 8), torch.zeros(4, dtype=torch.long)
    def graphs():
        for graph in DataLoader(Items(), batch_size=4, collate_fn=as_graph):
            yield graph.x, graph.y
    def shared():
        yield from DataLoader(Items(), batch_size=4, collate_fn=into_one_buffer)

    n = 0
    for loop in (changed, made, graphs, shared):
        for x, y in loop():
            step(x, y)
            time.sleep(0.005)
            n += 1
            if n % 80 == 0:
                break
"""
REASONS = (
    "batches are changed in place by the step",
    "no torch DataLoader feeds the steps",
    "batches hold objects of class Graph, which the script may change",
    "batches are changed in place by the step",
)


def test_batches_that_can_t_be_replayed_are_refused_and_the_training_goes_on(tmp_path: Path) -> None:
    ran = run(tmp_path, LOOPS, [order("input", at=62 + 80 * n, wash=2) for n in range(4)])
    told = [event.data for event in ran.record.told("ablated")]
    assert [(one["state"], one["reason"]) for one in told] == [("refused", reason) for reason in REASONS]
    assert not ran.step_ms("input")[1]
    assert ran.code == 0 and not ran.err and not ran.trouble()


def test_a_loop_that_works_differently_without_a_resource_is_invalid(tmp_path: Path) -> None:
    script = """
    for n, (x, y) in enumerate(DataLoader(Items(), batch_size=4)):
        kept = set() if n == 0 else kept
        twice = x.data_ptr() in kept and n > 90
        kept.add(x.data_ptr())
        held = [x] if n == 0 else [*held[-200:], x]
        if twice:
            nn.functional.cross_entropy(model(x), y).backward()
        step(x, y)
        time.sleep(0.005)
    """
    ran = run(tmp_path, script, in_turn(order("input", wash=5)))
    told = ran.ended("input")
    assert told["state"] == "invalid"
    assert told["reason"].startswith("forward passes per step: 1 as is, ")


def test_batches_of_many_objects_are_too_dear_to_hand_out_again(tmp_path: Path) -> None:
    script = """
    def with_objects(samples):
        x, y = torch.utils.data.default_collate(samples)
        return x, y, [[{"box": [n, n]} for n in range(50)] for _ in range(100)]
    for x, y, objects in DataLoader(Items(), batch_size=4, collate_fn=with_objects):
        step(x, y)
        time.sleep(0.005)
    """
    ran = run(tmp_path, script, in_turn(order("input", wash=5)))
    told = ran.ended("input")
    assert told["state"] == "invalid"
    assert told["reason"].startswith("batches of many Python objects are dear to hand out again")


RAISES = """
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model
        def forward(self, x):
            if n == 90:
                raise RuntimeError("the script's own")
            return self.inner(x)

    failing = Failing()
    n = 0
    for x, y in DataLoader(Items(), batch_size=4):
        n += 1
        time.sleep(0.005)
        optimizer.zero_grad()
        {attempt}nn.functional.cross_entropy(failing(x), y).backward()
        {after}
        optimizer.step()
"""


def test_the_script_s_own_failure_ends_it_as_ever_and_the_experiment_with_it(tmp_path: Path) -> None:
    ran = run(tmp_path, RAISES.format(attempt="", after=""), in_turn(order("input")))
    told = ran.ended("input")
    assert (told["state"], told["reason"]) == ("invalid", "the script raised RuntimeError")
    assert ran.code == 1
    assert ran.err.rstrip().endswith("RuntimeError: the script's own") and "_trainbottleneck" not in ran.err


def test_a_failure_that_the_script_survives_ends_the_experiment_alone(tmp_path: Path) -> None:
    script = RAISES.format(attempt="try: ", after="except RuntimeError: print('survived')")
    ran = run(tmp_path, script, in_turn(order("input"), order("gc")))
    assert ran.ended("input")["reason"] == "the script raised RuntimeError"
    assert ran.out == "survived\n" and ran.record.told("stop")


def test_a_script_that_ends_in_an_experiment_ends_as_ever(tmp_path: Path) -> None:
    script = """
    for x, y in DataLoader(Items(400), batch_size=4):
        step(x, y)
        time.sleep(0.005)
    print("the end")
    """
    ran = run(tmp_path, script, in_turn(order("input")))
    assert (ran.code, ran.out) == (0, "the end\n")
    assert (ran.ended("input")["state"], ran.ended("input")["reason"]) == ("invalid", "the script ended")


def test_the_next_order_and_the_stop_end_what_is_under_way(tmp_path: Path) -> None:
    script = """
    for x, y in DataLoader(Items(), batch_size=4):
        step(x, y)
        time.sleep(0.005)
    """
    orders = [order("input"), order("logging", at=75), {"do": "stop", "at": 85}]
    ran = run(tmp_path, script, orders)
    assert ran.ended("input")["reason"] == "given up: the next order came"
    assert ran.ended("logging")["reason"] == "given up: the script is stopped"
    assert ran.record.told("stop") and not ran.trouble()


UNDO = """
    import builtins, io, posix, shutil, sqlite3, tempfile, pathlib
    import _io
    agent = "_trainbottleneck_agent"

    def modules():
        return {name: dict(vars(module)) for name, module in sys.modules.items() if not name.startswith(agent)
                and name not in ("__main__", "sys", "builtins._") and isinstance(module, type(sys))}

    def classes():
        data = torch.utils.data.dataloader
        return {owner: dict(vars(owner)) for owner in (data.DataLoader, data._BaseDataLoaderIter,
                data._SingleProcessDataLoaderIter, data._MultiProcessingDataLoaderIter, logging.Logger,
                torch.Tensor)}

    def fds():
        return {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in map(int, os.listdir("/proc/self/fd"))
                if os.path.lexists(f"/proc/self/fd/{fd}") and "trace.bin" not in os.readlink(f"/proc/self/fd/{fd}")}

    log = open("log.txt", "w")
    handler = logging.FileHandler("script.log")
    defaults = [f.__defaults__ for f in vars(tempfile._TemporaryFileCloser).values() if hasattr(f, "__defaults__")]
    for n, (x, y) in enumerate(DataLoader(Items(), batch_size=4)):
        if n == 55:
            undone = len(sys.modules[agent + ".install"].SESSION.hooks._undo)
            before = modules(), classes(), fds(), handler._builtin_open, sys.excepthook, len(gc.callbacks)
        step(x, y)
        log.write("x"); log.flush()
        time.sleep(0.005)
        if n == 90:
            assert builtins.open is not _io.open and log.fileno() in fds() and fds() != before[2]
            session = sys.modules[agent + ".install"].SESSION
            hooks = session.hooks
            while len(hooks._undo) > undone:
                hooks._undo.pop()()
            after = modules(), classes(), fds(), handler._builtin_open, sys.excepthook, len(gc.callbacks)
            for name, was in before[0].items():
                for attribute, value in was.items():
                    now = after[0][name].get(attribute)
                    if now is not value and callable(value):
                        print("trace", name, attribute)
            for owner, was in before[1].items():
                print(*(f"trace {owner} {a}" for a in was if after[1][owner].get(a) is not was[a]), end="")
            assert before[2] == after[2], (before[2], after[2])
            assert before[3:] == after[3:], (before[3:], after[3:])
            assert defaults == [f.__defaults__ for f in vars(tempfile._TemporaryFileCloser).values()
                                if hasattr(f, "__defaults__")]
            recorder = session.recorder
            assert "span" not in vars(recorder) and builtins.open is io.open is _io.open and os.open is posix.open
            log.write("end"); log.flush()
            print("clean")
            break
"""


@pytest.mark.parametrize("arm", ["input", "logging"])
def test_undoing_all_hooks_in_an_experiment_leaves_no_trace(tmp_path: Path, arm: str) -> None:
    ran = run(tmp_path, UNDO, in_turn(order(arm, eps_s=0.001, wash=40)))
    assert ran.out == "clean\n", (ran.out, ran.err)
    assert (ran.ended(arm)["state"], ran.ended(arm)["reason"]) == ("invalid", "all hooks were removed")
    assert len((tmp_path / "work" / "log.txt").read_text()) < 70 and (
        (tmp_path / "work" / "log.txt").read_text().endswith("end")
    )
