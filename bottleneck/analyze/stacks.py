"""Where threads spend their time by sampled Python stacks: what ``other`` is made of, where batches are made.

A sample needs no clock to be put into a phase: our own wrappers and torch's optimizer wrapper stand on the stack.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..model.code import AGENT, is_users
from ..model.record import StackCount, Stacks

Frame = tuple[str, str, int]
_OF_WRAPPER: Mapping[tuple[str, str], str] = {
    ("model_calls.py", "_timed_call"): "forward",
    ("model_calls.py", "run_backward"): "backward",
    ("batches.py", "__next__"): "data_wait",
    ("batches.py", "__iter__"): "data_wait",
    ("collectives.py", "collective"): "communication",
    ("stalls.py", "save"): "checkpoint",
    ("stalls.py", "log"): "logging",
}
# Frames of libraries that write logs; a sample below one of them is logging, however the script calls it.
_LOG_PACKAGES = (
    "/logging/",
    "/tensorboard/",
    "/tensorboardX/",
    "/wandb/",
    "/mlflow/",
    "/tqdm/",
    "/rich/",
    "/csv.py",
)
# Not torch.log, log_softmax, log_prob and their like, which are arithmetic; not pickle.dump, which saves.
_ARITHMETIC = (
    r"(?!_(soft(max|plus)|sigmoid|probs?|p|pdf|pmf|sum|mean_exp|add_exp|normal\w*|norm|lik\w*|density|(abs_)?det|ratio"
    r"|determinant|evidence|odds|partition|marginal|joint|posterior|prior|std|sigma|var|scale|alpha|beta|theta|z)(_|\b))"
)
_LOG_CALL = re.compile(
    rf"(?<![.\w])(print|log{_ARITHMETIC}_\w+)\s*\("
    rf"|\b(logger|logging|wandb|mlflow)\.\w+\s*\(|\bself\.log{_ARITHMETIC}(_\w+)?\s*\("
    r"|\badd_(scalar|histogram|image)s?\s*\(|\.(write|writelines|writerow|flush)\s*\(|\b(json|yaml)\.dump\s*\("
)
_LOG_NAME = re.compile(
    rf"(^|_)(log{_ARITHMETIC}|logs|logging|logger|histograms?|summar(y|ies)|print|plot)(_|$)"
)
# By its end: a LoggingTrainer trains. Python tells classes of functions from 3.11 on.
_LOG_CLASS = re.compile(r"(^|_)(log|logs|logger|printer|plotter|summary_writer)$")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BATCH_NAME = re.compile(
    r"(^|_)(batch(es)?|load|loader|sample|samples|augment\w*|token\w*|decode|read|prepare|preprocess|fetch|data"
    r"|transform|collate|examples?|next)(_|$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A line of code and how often it was seen.

    Attributes:
        text: The function, or the source line where the function is the loop itself.
        where: "file.py:41".
        share: Fraction of the samples in question, 0-1.
    """

    text: str
    where: str
    share: float


def of_thread(stacks: Sequence[Stacks], pid: int) -> list[StackCount]:
    """Return the main thread's stacks of one process."""
    return [c for window in stacks for c in window.counts if c.pid == pid and "MainThread" in c.thread]


def phase_of(frames: Sequence[Frame]) -> str:
    """Return the phase a stack of the training thread belongs to, by its innermost wrapper."""
    for function, file, _ in reversed(frames):
        name = PurePath(file).name
        if AGENT in file:
            found = _OF_WRAPPER.get((name, bare(function)))
            if found is not None:
                return found
        elif name == "optimizer.py" and bare(function) == "wrapper" and "/torch/optim/" in file:
            return "optimizer"
    return "other"


def bare(function: str) -> str:
    """Return the last part of a qualified name: "fetch" of "Batches._patch_fetch.<locals>.fetch"."""
    return function.rsplit(".", 1)[-1]


def innermost(counts: StackCount, library_paths: Sequence[str]) -> Frame | None:
    """Return the innermost frame of the user's own code, or None where there is none."""
    for frame in reversed(counts.frames):
        if is_users(frame[1], library_paths):
            return frame
    return None


def is_logging(counts: StackCount, library_paths: Sequence[str]) -> bool:
    """Return whether a stack outside all hooks writes logs: by library, by the call on its line, by a name on it."""
    libraries = [file for _, file, _ in counts.frames if not is_users(file, library_paths)]
    if any(part in file for file in libraries for part in _LOG_PACKAGES):
        return True
    if _LOG_CALL.search(counts.source):
        return True
    own = [frame for frame in counts.frames if is_users(frame[1], library_paths)]
    return any(_is_log_name(function) for function, _, _ in own[1:])


def _is_log_name(function: str) -> bool:
    """Return whether a qualified name says that it writes logs."""
    path, _, name = function.rpartition(".")
    owner = _WORD.sub("_", path.rpartition(".")[2]).lower()
    return bool(_LOG_NAME.search(name.lower()) or _LOG_CLASS.search(owner))


def is_batch_making(counts: StackCount, library_paths: Sequence[str]) -> bool:
    """Return whether a stack outside all hooks makes a batch, judged by the names of the functions on it."""
    own = [frame for frame in counts.frames if is_users(frame[1], library_paths)]
    return any(_BATCH_NAME.search(bare(function).lower()) for function, _, _ in own[1:])


def makes_batch(frames: Iterable[Frame]) -> bool:
    """Return whether a stack is inside a fetcher: in a worker, everything else is waiting for work."""
    return any(
        (bare(function) == "fetch" and (AGENT in file or file.endswith("/_utils/fetch.py")))
        for function, file, _ in frames
    )


def places(counts: Sequence[StackCount], library_paths: Sequence[str], most: int = 8) -> tuple[Place, ...]:
    """Return the user's functions that ``counts`` spend most samples in, with the line seen most often."""
    total = sum(c.count for c in counts)
    by_function: Counter[tuple[str, str]] = Counter()
    lines: dict[tuple[str, str], Counter[tuple[int, str]]] = {}
    for c in counts:
        frame = innermost(c, library_paths)
        if frame is not None:
            key = (frame[0], frame[1])
            by_function[key] += c.count
            lines.setdefault(key, Counter())[(frame[2], c.source)] += c.count
    found = []
    for (function, file), seen in by_function.most_common(most):
        (line, source), _ = lines[(function, file)].most_common(1)[0]
        loop = bare(function) in ("<module>", "main", "train")
        text = source if loop and source else function
        found.append(
            Place(text=text[:120], where=f"{PurePath(file).name}:{line}", share=seen / max(1, total))
        )
    return tuple(found)


def flame(counts: Sequence[StackCount], most: int = 400) -> dict[str, object]:
    """Return a flame graph's tree {name, value, children} of at most ``most`` nodes, rare branches cut."""
    total = sum(c.count for c in counts)
    left = [most]

    def grow(name: str, group: Sequence[StackCount], depth: int) -> dict[str, object]:
        value = sum(c.count for c in group)
        node: dict[str, object] = {"name": name, "value": value}
        children: dict[Frame, list[StackCount]] = {}
        for c in group:
            if len(c.frames) > depth:
                function, file, _ = c.frames[depth]
                children.setdefault((function, file, 0), []).append(c)
        kept = []
        for (function, file, _), below in sorted(children.items(), key=lambda i: -sum(c.count for c in i[1])):
            weight = sum(c.count for c in below)
            if left[0] <= 0 or weight * 200 < total or depth > 60:  # below half a percent nobody can see it
                continue
            left[0] -= 1
            kept.append(grow(f"{function} ({PurePath(file).name})", below, depth + 1))
        if kept:
            node["children"] = kept
        return node

    visible = [without_agent(c) for c in counts]
    return grow("all", visible, 0)


def without_agent(counts: StackCount) -> StackCount:
    """Return the stack without our own frames."""
    frames = tuple(frame for frame in counts.frames if AGENT not in frame[1])
    return StackCount(
        pid=counts.pid, thread=counts.thread, frames=frames, count=counts.count, source=counts.source
    )
