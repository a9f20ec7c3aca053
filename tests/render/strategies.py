"""Any report at all: every field of the model with any value of its type."""

from __future__ import annotations

from hypothesis import strategies as st
from trainbottleneck.model.finding import Evidence, Finding, Interval
from trainbottleneck.model.mitigation import Advice, Rejected
from trainbottleneck.model.report import PHASES, PhaseShare, Plan, Report, StepSummary, Unmeasured, Verdict

NASTY = (
    "</script><script>x",
    "\x1b]8;;http://x\x07",
    "[red]",
    "\u202e\u2028",
    "\ud800",
    "`",
    "{{ 7*7 }}",
    "漢字",
    "a" * 3000,
)

texts = st.one_of(st.text(st.characters(), max_size=12), st.sampled_from(NASTY))
floats = st.floats(allow_nan=True, allow_infinity=True)
counts = st.integers(-(2**70), 2**70)
bases = st.sampled_from(
    ("trial", "ceiling", "replay", "simulation", "bracket", "phase", "literature", "unknown")
)
scalars = st.one_of(st.none(), st.booleans(), counts, floats, texts)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
intervals = st.none() | st.builds(Interval, low=floats, likely=floats, high=floats)
several = st.lists(texts, max_size=3).map(tuple)


def mappings(*keys: str) -> st.SearchStrategy[dict[str, object]]:
    """Return mappings with some of ``keys`` and some keys of their own."""
    known = st.sampled_from(keys) if keys else texts
    return st.dictionaries(known | texts, values, max_size=5)


evidence = st.builds(
    Evidence,
    id=texts,
    value=floats,
    unit=st.sampled_from(("s", "bytes", "frac", "count", "bool", "bytes_per_s", "per_s")),
    meaning=texts,
    samples=counts,
    given_by=texts,
    interval=st.none() | st.tuples(floats, floats),
)
findings = st.builds(
    Finding,
    rule=texts,
    bottleneck=texts,
    family=texts,
    state=st.sampled_from(("fires", "silent", "unknown", "error")),
    title=texts,
    severity=st.none() | st.sampled_from(("minor", "major", "critical")),
    share=st.none() | floats,
    share_basis=bases,
    text=texts,
    evidence=st.lists(evidence, max_size=2).map(tuple),
    missing=several,
    false_positives=several,
    sources=several,
    error=st.none() | texts,
)
places = st.none() | st.fixed_dictionaries(
    {},
    optional={"component": texts | st.just("data"), "action": texts | st.just("remove"), "category": texts},
)
advice = st.builds(
    Advice,
    id=texts,
    title=texts,
    bottleneck=texts,
    kind=texts,
    taxonomy=places,
    shen=places,
    currency=st.sampled_from(("time_per_step", "number_of_steps")),
    speedup=intervals,
    basis=bases,
    effort=texts | st.just("config"),
    numerics=texts | st.just("identical"),
    risk=several,
    summary=texts,
    snippet=texts,
    evidence=st.lists(st.tuples(texts, texts, texts), max_size=2).map(tuple),
    sources=several,
    next_wall=st.none() | texts,
)
verdicts = st.builds(
    Verdict,
    bottleneck=st.none() | texts | st.just("storage"),
    family=st.none() | texts,
    state=st.sampled_from(("bottleneck", "healthy", "insufficient")),
    result=texts,
    share=st.none() | floats,
    share_basis=texts | bases,
    ceiling_speedup=intervals,
    confidence=st.sampled_from(("high", "medium", "low")),
    headline=texts,
    reasons=several,
)
phases = st.builds(
    PhaseShare,
    phase=st.sampled_from(PHASES) | texts,
    seconds=floats,
    share=floats,
    made_of=st.lists(st.tuples(texts, floats), max_size=2).map(tuple),
)
summaries = st.none() | st.builds(
    StepSummary,
    count=counts,
    seen=counts,
    excluded=st.dictionaries(texts, counts, max_size=2),
    seconds=st.dictionaries(st.just("median") | texts, floats, max_size=3),
    phases=st.lists(phases, max_size=5).map(tuple),
    definition=texts,
)
steps = st.lists(
    st.fixed_dictionaries({"index": counts, "seconds": floats, "phases": mappings(*PHASES)}), max_size=4
)
nodes = st.recursive(
    st.fixed_dictionaries({"name": texts, "value": floats}),
    lambda inner: st.fixed_dictionaries(
        {"name": texts, "value": floats, "children": st.lists(inner, max_size=2)}
    ),
    max_leaves=5,
)
parts = st.lists(mappings("name", "seconds", "where", "text", "share", "note"), max_size=3)
pictures = st.fixed_dictionaries(
    {},
    optional={
        "steps": steps | values,
        "input": parts | values,
        "stacks": st.fixed_dictionaries({"trainer": parts, "workers": values, "flame": nodes | values})
        | values,
    },
)
runs = st.fixed_dictionaries(
    {},
    optional={
        "command": st.lists(texts, max_size=2) | values,
        "account": parts | values,
        "price_per_hour": scalars,
    },
)


def _tuple_of(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    """Return tuples of up to three."""
    return st.lists(strategy, max_size=3).map(tuple)


reports = st.builds(
    Report,
    verdict=verdicts,
    step=summaries,
    findings=_tuple_of(findings),
    mitigations=_tuple_of(advice),
    rejected=_tuple_of(st.builds(Rejected, id=texts, title=texts, bottleneck=texts, reason=texts)),
    not_evaluated=_tuple_of(st.builds(Unmeasured, what=texts, reason=texts)),
    plan=st.none()
    | st.builds(
        Plan,
        advice=several,
        speedup=st.builds(Interval, low=floats, likely=floats, high=floats),
        after_s=floats,
        basis=texts,
        next_wall=st.none() | texts,
    ),
    ceilings=_tuple_of(mappings()),
    efficiency=mappings("value", "unit", "note"),
    ranks=_tuple_of(mappings("rank", "step_s")),
    environment=mappings("cores", "memory_bytes"),
    overhead=mappings("per_step_s", "per_step_frac", "cpu_s", "record_bytes", "note"),
    run=runs,
    measurements=mappings(),
    pictures=pictures,
)
