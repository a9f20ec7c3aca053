"""Calls a training's dearest operators as they were called and as advice would have them called, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from .stage import Stage
from .variants import VARIANTS, Call, Pictures, pictures

ROUNDS = 25  # of all variants in turn: more tell no more
LEAST_ROUNDS = 4  # fewer give no spread: an operator that takes longer is left out
_FIRST_PART = 0.5  # of the time, for the first calls, which set kernels up
_HOPELESS = 4.0  # times as long as captured, with twice the work at the most: once is enough to know
_SETTING_UP = 10.0  # times as long as that: then the first call, which sets kernels up, was the only one
_SETTING_UP_NS = 100_000_000  # a second call of less than a tenth of a second is affordable in any case

Ready = list[tuple[int, str, Callable[[], Any]]]
Told = dict[str, Any]


def replay(stage: Stage, calls: Sequence[Call]) -> list[Told]:
    """Return for each call ``times`` (ns of each round, by variant) and ``problems`` (why there are none, likewise)."""
    shapes, ready, round_s = pictures(calls), [], 0.0
    found: list[Told] = [{"times": {}, "problems": {}} for _ in calls]
    until = stage.remaining() * (1 - _FIRST_PART)
    for number, call in enumerate(calls):
        told, allowed = found[number], stage.remaining() / LEAST_ROUNDS - round_s
        if stage.remaining() < until or call["each_s"] > allowed:
            told["problems"]["captured"] = "no time was left for it"
            continue
        variants, seconds = _first(stage, call, shapes, told)
        if not variants or seconds > stage.remaining() / LEAST_ROUNDS - round_s:
            told["problems"].setdefault("captured", "it takes too long for several rounds")
            continue
        round_s += seconds
        ready += [(number, name, one) for name, one in variants.items()]
    _in_turn(stage, ready, found)
    return found


def _first(
    stage: Stage, call: Call, shapes: Pictures, told: Told
) -> tuple[dict[str, Callable[[], Any]], float]:
    """Return what makes the call and its variants, each made twice, and what they take together in seconds."""
    ready: dict[str, Callable[[], Any]] = {}
    took: dict[str, int] = {}
    for name in ("captured", *VARIANTS):
        try:
            changed = call if name == "captured" else VARIANTS[name](call, shapes)
            if changed is not None:
                made = stage.ready(changed)
                taken = _taken(stage, made, took.get("captured", 0))
                if name != "captured" and taken > _HOPELESS * took["captured"]:
                    told["times"][name] = [taken]
                    continue
                took[name], ready[name] = taken, made
        except Exception as error:  # whatever it is, it costs this call, or this way of calling it, alone
            told["problems"][name] = f"{type(error).__name__}: {error}"[:200]
            if name == "captured":
                return {}, 0.0
    return ready, sum(took.values()) / 1e9


def _taken(stage: Stage, made: Callable[[], Any], captured: int) -> int:
    """Return what a second call takes (ns); the first, where that took so long that no second one is worth it."""
    first = stage.times([made])[0]
    if captured and first > max(_SETTING_UP * captured, _SETTING_UP_NS):
        return first
    return stage.times([made])[0]


def _in_turn(stage: Stage, ready: Ready, found: list[Told]) -> None:
    """Time the variants in turn, all calls of one in a pass: caches then hold what they hold in a step."""
    names = list(dict.fromkeys(name for _, name, _ in ready))
    for number in range(ROUNDS):
        begun = time.perf_counter()
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            kept = [(entry, made) for entry, variant, made in ready if variant == name]
            taken = stage.times([made for _, made in kept])
            for (entry, _), ns in zip(kept, taken):  # noqa: B905
                found[entry]["times"].setdefault(name, []).append(ns)
        if time.perf_counter() - begun > stage.remaining():
            break
