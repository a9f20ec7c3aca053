"""What a patch is made from, and what it consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where an override changed a call of the script, as the agent tells.

    Attributes:
        override: Its name.
        file: Absolute path, as in the event; "" where it was no call.
        line: From 1 on.
        settings: Those that were changed there; none where that is not told, which stands for all.
    """

    override: str
    file: str
    line: int
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One argument of one call that was set.

    Attributes:
        mitigations: The advice that asked for it.
        override: What did it at run time.
        file: As in the site.
        line: Of the call, before the patch.
        setting: Of the override; "on" where it has none.
        before: The value that was replaced; None where the argument was added.
        after: The new value.
    """

    mitigations: tuple[str, ...]
    override: str
    file: str
    line: int
    setting: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """Something that was not edited, and what to write by hand instead.

    Attributes:
        mitigations: The advice that asked for it.
        override: What did it at run time.
        reason: Why it was not edited; "" where no call could be.
        where: Where the lines go.
        lines: To write there.
    """

    mitigations: tuple[str, ...]
    override: str
    reason: str
    where: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What makes a recipe permanent.

    Attributes:
        files: The new bytes of each file that changes, by the name it was given under.
        diff: All of it as a unified diff; "" where nothing changes.
        edits: What was edited.
        additions: What is left to do by hand.
    """

    files: Mapping[str, bytes]
    diff: str
    edits: tuple[Edit, ...]
    additions: tuple[Addition, ...]
