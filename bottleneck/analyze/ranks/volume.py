"""How much ranks exchange, how long that holds them, and how gradients are set up to be exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...model.ranks import RankDigest
from ..values import Values
from . import link
from .arrivals import Meeting
from .exchange import DDP, meets, wire_factor

_NAMED = 3  # groups named in a sentence


def analyse(digests: Sequence[RankDigest], met: Sequence[Meeting], values: Values) -> None:
    """Give the ``comm.*`` and ``ddp.*`` measurements, means over the ranks."""
    step = float(np.mean([digest.step_s for digest in digests]))
    if step <= 0:
        return
    _times(digests, met, step, values)
    _amounts(digests, values)
    _setup(digests, values)


def _times(digests: Sequence[RankDigest], met: Sequence[Meeting], step: float, values: Values) -> None:
    """Give exposed time, and what of it is waiting for a peer and what is transfer."""
    count = max((meeting.arrival_s.shape[1] for meeting in met), default=0)
    if _on_device(digests):
        values.lack("comm", "gradients are exchanged on the device, where the host's clock tells nothing")
        _hidden(digests, values)
        return
    exposed = float(np.mean([digest.parts_s.get("communication", 0.0) for digest in digests]))
    values.give("comm.exposed_s", exposed, len(digests))
    values.give("comm.exposed_frac", exposed / step, len(digests))
    _hidden(digests, values)
    if not met:
        values.lack("comm", "no two ranks were seen in the same collective")
        return
    waited = np.zeros(len(digests))
    for meeting in met:
        for member, share in zip(meeting.members, meeting.waits_per_rank(), strict=True):
            waited[member] += share * _exposed_in(digests[int(member)], meeting.group)
    wait = min(exposed, float(waited.mean()))
    values.give("comm.wait_peer_s", wait, count)
    values.give("comm.wait_peer_frac", wait / step, count)
    values.give("comm.transfer_s", exposed - wait, count)
    values.give("comm.transfer_frac", (exposed - wait) / step, count)


def _exposed_in(digest: RankDigest, group: str) -> float:
    """Return the seconds per step that a rank is held in the operations of ``group`` that all must join."""
    return sum(each[2] for (name, where), each in digest.volume.items() if where == group and meets(name))


def _on_device(digests: Sequence[RankDigest]) -> bool:
    """Return whether DDP exchanges gradients that live on an accelerator."""
    return any(digest.ddp.get("on_cpu") is False for digest in digests)


def _hidden(digests: Sequence[RankDigest], values: Values) -> None:
    """Give DDP's own timing: how long an exchange takes, and what part of it hides behind computing."""
    timed = [digest.exchange for digest in digests if digest.exchange[2]]
    if timed:
        whole, beside = (float(np.mean([one[part] for one in timed])) for part in (0, 1))
        samples = sum(one[2] for one in timed)
        values.give("comm.exchange_s", whole, samples)
        if whole > 0:
            values.give("comm.overlap_frac", min(1.0, max(0.0, beside / whole)), samples)


def _amounts(digests: Sequence[RankDigest], values: Values) -> None:
    """Give calls and bytes per step, and what the links carried."""
    calls = float(np.mean([sum(each[0] for each in digest.volume.values()) for digest in digests]))
    size = float(np.mean([sum(each[1] for each in digest.volume.values()) for digest in digests]))
    values.give("comm.calls", calls, len(digests))
    values.give("comm.bytes_per_step", size, len(digests))
    exchanged = float(np.mean([digest.exchanges for digest in digests]))
    micro = float(np.mean([digest.micro_batches for digest in digests]))
    if exchanged > 0 and micro > 0:
        values.give("comm.exchanges", exchanged, len(digests))
        values.give("comm.exchanges_per_backward", exchanged / micro, len(digests))
    transfer = values.number("comm.transfer_s")
    hidden = (values.number("comm.exchange_s") or 0.0) * (values.number("comm.overlap_frac") or 0.0)
    wire = float(np.mean([_wire_bytes(digest) for digest in digests]))
    moving = (transfer or 0.0) + hidden * (values.number("comm.exchanges") or 0.0)
    if transfer is None or wire <= 0:
        moving = 0.0
    elif moving > 0:
        values.give("comm.bus_bytes_per_s", wire / moving, len(digests))
    reductions = float(np.mean([link.reductions(digest) for digest in digests]))
    link.analyse(digests, link.Use(wire_bytes=wire, reductions=reductions, moving_s=moving), values)
    values.label("comm.groups", _groups(digests))


def _wire_bytes(digest: RankDigest) -> float:
    """Return the bytes per step that a rank's link carries for its reductions."""
    return sum(
        each[1] * wire_factor(int(digest.groups.get(group, {}).get("size", 1)))
        for (name, group), each in digest.volume.items()
        if name in (DDP, "all_reduce")
    )


def _groups(digests: Sequence[RankDigest]) -> str:
    """Return the operations that hold the ranks longest, with the groups they run on."""
    sums: dict[tuple[str, str], float] = {}
    for digest in digests:
        for (name, group), (_, _, exposed) in digest.volume.items():
            facts = digest.groups.get(group, {})
            where = f"{facts.get('label') or 'a group'} of {facts.get('size', '?')}"
            sums[name, where] = sums.get((name, where), 0.0) + exposed
    order = sorted(sums, key=lambda key: -sums[key])[:_NAMED]
    return ", ".join(f"{name.replace(DDP, 'gradients (DDP)')} on {where}" for name, where in order)


def _setup(digests: Sequence[RankDigest], values: Values) -> None:
    """Give how DistributedDataParallel is set up, as the first rank with one told it."""
    backends = {str(facts.get("backend")) for digest in digests for facts in digest.groups.values()}
    if backends:
        values.give("comm.gloo", float("gloo" in backends))
    told: Mapping[str, Any] = next((digest.ddp for digest in digests if digest.ddp), {})
    values.give("ddp.used", float(bool(told) or any(digest.exchanges for digest in digests)))
    if not told:
        return
    buckets = told.get("buckets") or 0
    size = float(told.get("bytes") or 0)
    values.give("ddp.gradient_bytes", size)
    if buckets:
        values.give("ddp.buckets", float(buckets))
        values.give("ddp.bucket_bytes", size / float(buckets))
    values.give("ddp.find_unused", float(bool(told.get("find_unused_parameters"))))
    values.give("ddp.bucket_view", float(bool(told.get("gradient_as_bucket_view"))))
    values.give("ddp.static_graph", float(bool(told.get("static_graph"))))
    values.give("ddp.comm_hook", float(bool(told.get("comm_hook"))))
    dtypes = str(told.get("dtypes", ""))
    values.give("ddp.gradients_32bit", float("float" in dtypes.replace("bfloat16", "").replace("c10::", "")))
