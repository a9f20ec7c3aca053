"""Measurements that need more than one rank: rows of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from ...model.measurement import Unit

OF_RANKS: Mapping[str, tuple[tuple[str, Unit, str], ...]] = {
    "ranks": (
        ("ranks.seen", "count", "Ranks the report rests on"),
        ("ranks.expected", "count", "Ranks there should be"),
        ("ranks.hosts", "count", "Hosts the ranks run on"),
        ("ranks.clock_error_s", "s", "Error of the clock that all ranks were brought onto"),
    ),
    "communication": (
        ("comm.exposed_s", "s", "Time per step in which a rank does nothing but exchange, mean over ranks"),
        ("comm.exposed_frac", "frac", "The same over the mean step"),
        ("comm.wait_peer_s", "s", "Part of that in which some rank had not come yet"),
        ("comm.wait_peer_frac", "frac", "The same over the mean step"),
        ("comm.transfer_s", "s", "The rest: all ranks were there, and data moved"),
        ("comm.transfer_frac", "frac", "The same over the mean step"),
        ("comm.exchange_s", "s", "Time of one exchange of gradients, hidden or not, by DDP's own clock"),
        ("comm.overlap_frac", "frac", "Part of that which is hidden behind computing"),
        ("comm.calls", "count", "Collectives per step; all gradients of a backward pass are one"),
        ("comm.bytes_per_step", "bytes", "Bytes a rank gives to collectives per step"),
        ("comm.bus_bytes_per_s", "bytes_per_s", "Bytes of reductions on a rank's link per second of moving"),
        ("comm.reductions", "count", "Reductions per step; each bucket of gradients is one"),
        (
            "comm.link_bytes_per_s",
            "bytes_per_s",
            "What a rank's link carries, by reductions when the run ended",
        ),
        ("comm.link_latency_s", "s", "What a reduction takes however small it is, by the same"),
        ("comm.link_even_bytes", "bytes", "Size of a reduction that takes as long to start as to move"),
        (
            "comm.link_used_frac",
            "frac",
            "Part of that rate that reductions of the run reach while data moves",
        ),
        ("comm.latency_frac", "frac", "Part of the moving time that the latency of its reductions takes"),
        (
            "comm.sized_frac",
            "frac",
            "The rest, which shrinks with the bytes; all where the link was not measured",
        ),
        ("comm.exchanges", "count", "Exchanges of gradients per step"),
        ("comm.exchanges_per_backward", "count", "Exchanges of gradients per backward pass"),
        ("comm.gloo", "bool", "Some group uses the gloo backend"),
        ("ddp.used", "bool", "DistributedDataParallel exchanges the gradients"),
        ("ddp.gradient_bytes", "bytes", "Gradients of one backward pass"),
        ("ddp.buckets", "count", "Buckets they are exchanged in"),
        ("ddp.bucket_bytes", "bytes", "Mean size of a bucket"),
        ("ddp.find_unused", "bool", "find_unused_parameters is set"),
        ("ddp.bucket_view", "bool", "gradient_as_bucket_view is set"),
        ("ddp.static_graph", "bool", "static_graph is set"),
        ("ddp.comm_hook", "bool", "A communication hook is registered"),
        ("ddp.gradients_32bit", "bool", "Gradients are exchanged in 32 or 64 bit"),
    ),
    "stragglers": (
        ("straggler.cost_frac", "frac", "Share of the mean step lost to ranks that come later than usual"),
        ("straggler.constant_frac", "frac", "Part of that lost to one rank"),
        ("straggler.random_frac", "frac", "Part of that lost because ranks are late by turns"),
        ("straggler.constant", "bool", "More is lost to one rank than to ranks taking turns"),
        ("straggler.last_frac", "frac", "Share of collectives to which the latest rank came last"),
        ("straggler.rank", "count", "The latest rank"),
        ("straggler.since_step", "count", "Step from which on it is late"),
        ("straggler.input_frac", "frac", "Part of its extra time spent waiting for data"),
        ("straggler.compute_frac", "frac", "Part of its extra time in forward, backward and optimizer"),
        ("straggler.chores_frac", "frac", "Part of its extra time in saving, evaluating and logging"),
        ("straggler.gc_frac", "frac", "Part of its extra time in garbage collection"),
        ("straggler.other_frac", "frac", "Part of its extra time in other code of the script"),
    ),
}
