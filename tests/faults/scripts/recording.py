# ruff: noqa: UP031
"""Drives the agent's recorder without torch: argv is the boot folder, the run folder and what to do."""

import os
import sys
import threading
import time

BOOT, RUN, WHAT = sys.argv[1:4]
sys.path.insert(0, BOOT)

import _trainbottleneck_agent as agent  # noqa: E402
from _trainbottleneck_agent import kinds  # noqa: E402
from _trainbottleneck_agent.hooks import Hooks  # noqa: E402
from _trainbottleneck_agent.recorder import Recorder, now  # noqa: E402

agent.CONFIG["run"] = RUN


def header():
    return {
        "format": 1,
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "monotonic_ns": now(),
        "span_cost_ns": 500.0,
    }


def new():
    return Recorder(RUN, Hooks(), header)


def step(recorder, name=0):
    start = now()
    for kind in (kinds.FORWARD, kinds.BACKWARD, kinds.OPTIMIZER):
        recorder.span(kind, start, now(), kinds.TRAINING | kinds.GRAD, name)


def forever():
    recorder = new()
    while True:
        step(recorder, recorder.name("Net"))
        os.write(1, b"%d\n" % now())
        time.sleep(0.0005)


def folders():
    """Two records of one process, as after a recycled process id."""
    for _ in range(2):
        recorder = new()
        step(recorder)
        recorder.flush()


def forks():
    """Fork while another thread records."""
    recorder, stop = new(), []
    os.register_at_fork(after_in_child=recorder.after_fork)

    def hammer():
        while not stop:
            step(recorder)

    thread = threading.Thread(target=hammer)
    thread.start()
    for _ in range(60):
        pid = os.fork()
        if pid == 0:
            for _ in range(3):
                step(recorder)
            recorder.flush()
            os._exit(0 if threading.active_count() == 1 else 1)
        print(os.waitpid(pid, 0)[1])
    stop.append(1)
    thread.join()
    recorder.flush()


def threads():
    """A thousand short threads, many under a number that an earlier one had."""
    recorder = new()
    for _ in range(100):
        some = [threading.Thread(target=step, args=(recorder,)) for _ in range(10)]
        for thread in some:
            thread.start()
        for thread in some:
            thread.join()
    recorder.flush()
    print(len(recorder.threads))


def soak():
    """A million spans in 200,000 steps; prints how much the process grew, in bytes."""
    import resource

    recorder = new()
    step(recorder)
    recorder.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(200_000):
        start = now()
        for kind in (kinds.NEXT, kinds.FORWARD, kinds.BACKWARD, kinds.OPTIMIZER, kinds.LOG):
            recorder.span(kind, start, start + 20_000, 0, recorder.name("made-up-%d" % number))
    recorder.flush()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)


def closed_streams():
    os.close(1)
    recorder = new()
    step(recorder)
    recorder.flush()
    print(recorder.fd, file=sys.stderr)


def failing_writes():
    recorder = new()
    step(recorder)
    recorder.flush()

    def write(*arguments):
        raise OSError(5, "Input/output error")

    os.write = write
    for _ in range(2000):
        step(recorder)
    recorder.event("exit")
    print("still here")


def own_files():
    """Close every descriptor, as daemons do, then write files of one's own under the numbers that are free."""
    recorder = new()
    step(recorder)
    recorder.flush()
    os.closerange(0, 256)
    own = [os.open("own-%d" % i, os.O_CREAT | os.O_WRONLY) for i in range(20)]
    for _ in range(2000):
        step(recorder)
    recorder.flush()
    for fd in own:
        os.write(fd, b"mine")


globals()[WHAT]()
