"""Writes the record of a training on thousands of ranks, with one rank that becomes slow, in the store's own format."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from trainbottleneck.agent import kinds

_ROW = np.dtype(
    [
        ("start", "<i8"),
        ("end", "<i8"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("thread", "<u2"),
        ("name", "<u4"),
        ("a", "<i8"),
        ("b", "<i8"),
    ]
)
_BLOCK = struct.Struct(kinds.BLOCK)
_ROWS = 1023  # spans of a block, as the agent writes them
_BASE = 1_000_000_000_000
_NAMES = ("Net", "ddp_all_reduce", "SGD")


@dataclass(frozen=True)
class Plan:
    """What the ranks do; times in seconds.

    Attributes:
        ranks: How many.
        steps: Steps of each.
        per_host: Ranks of one host; each host has a clock of its own.
        slow: The rank that becomes slow.
        since: Step from which on it is.
        extra_s: By how much its forward is longer then.
        transfer_s: What the exchange takes once all are there.
    """

    ranks: int = 1024
    steps: int = 1000
    per_host: int = 8
    slow: int = 700
    since: int = 300
    extra_s: float = 0.03
    transfer_s: float = 0.004


def write(folder: Path, plan: Plan, seed: int = 0) -> None:
    """Write the run into ``folder``, which must not exist; ranks meet in one exchange per step."""
    folder.mkdir(parents=True)
    last = np.max([_computed(plan, rank, seed) for rank in range(plan.ranks)], axis=0)
    steps = last + plan.transfer_s + 0.002  # data and optimizer take the rest
    starts = np.concatenate(([0.0], np.cumsum(steps)[:-1]))
    for rank in range(plan.ranks):
        _write_rank(folder, plan, rank, seed, starts, last)
    end = _BASE + int((starts[-1] + steps[-1]) * 1e9)
    run = {
        "schema": 1,
        "run_id": folder.name,
        "tool_version": "0",
        "started": "2026-01-01T00:00:00+00:00",
        "command": {"argv": ["srun", "python", "train.py"], "form": "launcher", "script": "srun"},
        "environment": {},
        "outcome": {"start_ns": _BASE - 10**9, "end_ns": end, "exit_code": 0},
        "failures": [],
        "overhead": {},
    }
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")


def _computed(plan: Plan, rank: int, seed: int) -> np.ndarray:
    """Return the seconds of forward and backward of one rank in each step."""
    own = np.random.default_rng((seed, rank)).normal(0.05, 0.001, plan.steps)
    if rank == plan.slow:
        own[plan.since :] += plan.extra_s
    return own


def _write_rank(folder: Path, plan: Plan, rank: int, seed: int, starts: np.ndarray, last: np.ndarray) -> None:
    """Write one rank's file."""
    own = _computed(plan, rank, seed)
    host = rank // plan.per_host
    offset = _BASE + host * 7_000_000_000_000 if host else _BASE
    begin = starts + 0.001
    edges = {
        kinds.NEXT: (starts, begin),
        kinds.FORWARD: (begin, begin + own * 0.4),
        kinds.COLLECTIVE: (begin + own, begin + last + plan.transfer_s),
        kinds.BACKWARD: (begin + own * 0.4, begin + last + plan.transfer_s),
        kinds.OPTIMIZER: (begin + last + plan.transfer_s, begin + last + plan.transfer_s + 0.001),
    }
    rows = np.zeros((plan.steps, len(edges)), _ROW)
    for column, (kind, (start, end)) in enumerate(edges.items()):
        rows["start"][:, column] = offset + (start * 1e9).astype(np.int64)
        rows["end"][:, column] = offset + (end * 1e9).astype(np.int64)
        rows["kind"][:, column] = kind
        if kind == kinds.COLLECTIVE:
            rows["name"][:, column], rows["a"][:, column] = 2, 100_000_000
            rows["b"][:, column] = np.arange(plan.steps) << 16 | 1
        if kind == kinds.FORWARD:
            rows["name"][:, column], rows["flags"][:, column] = 1, kinds.TRAINING | kinds.GRAD
        if kind == kinds.OPTIMIZER:
            rows["name"][:, column], rows["b"][:, column] = 3, 1
    blocks = [_event("header", _header(plan, rank, host, offset)), _event("group", _group(plan, rank))]
    blocks += [
        _block(kinds.BLOCK_NAME, number.to_bytes(4, "little") + name.encode())
        for number, name in enumerate(_NAMES, 1)
    ]
    flat = rows.reshape(-1)
    blocks += [
        _block(kinds.BLOCK_SPANS, flat[first : first + _ROWS].tobytes())
        for first in range(0, len(flat), _ROWS)
    ]
    blocks.append(_event("exit", {"spans": len(flat)}))
    own_folder = folder / f"p{1000 + rank}-{rank:08x}"
    own_folder.mkdir()
    (own_folder / "trace.bin").write_bytes(b"".join(blocks))


def _header(plan: Plan, rank: int, host: int, offset: int) -> dict[str, object]:
    """Return what a rank tells first; wall clocks are off by some milliseconds, as NTP leaves them."""
    wall = 1_790_000_000_000_000_000 + (host * 7919) % 9_000_000
    return {
        "format": 1,
        "pid": 1000 + rank,
        "ppid": 1,
        "host": f"node{host:04d}",
        "monotonic_ns": offset - 10**9,
        "wall_ns": wall,
        "python": "3.11.0",
        "torch": "2.13.0",
        "ranks": {"RANK": str(rank), "LOCAL_RANK": str(rank % plan.per_host), "WORLD_SIZE": str(plan.ranks)},
    }


def _group(plan: Plan, rank: int) -> dict[str, object]:
    """Return what a rank tells of the world's group."""
    return {
        "number": 1,
        "name": "0",
        "label": "default_pg",
        "backend": "nccl",
        "world": True,
        "size": plan.ranks,
        "first": 0,
        "members": 1,
        "rank": rank,
    }


def _event(kind: str, data: dict[str, object]) -> bytes:
    """Return the block of an event."""
    return _block(kinds.BLOCK_EVENT, json.dumps({"kind": kind, "time_ns": _BASE, "data": data}).encode())


def _block(kind: int, payload: bytes) -> bytes:
    """Return a block as the agent writes it."""
    return _BLOCK.pack(kinds.MAGIC, kind, len(payload), zlib.crc32(payload)) + payload
