"""Makes a recipe permanent: edits the calls that were changed where that is safe, and tells the rest in lines."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..model.overrides import OVERRIDES
from ..model.trial import Change
from .arguments import CallEdit, expected, set_arguments
from .calls import ALSO_ELSEWHERE, DEFAULTS, SWITCH, Known, editable, find_call
from .conflicts import companions, conflict, waiting
from .lines import Lines, in_trainer, lines_to_add, literal
from .result import Addition, Edit, Patch, Site
from .source import Replacement, Source, Unreadable, parsed

_TRAINER = re.compile(rb"\bTrainingArguments\s*\(")  # Hugging Face's
_ARROW = re.compile(r"(\w+) [^,]*? -> ")


def changed_settings(override: str, detail: str) -> tuple[str, ...]:
    """Return the settings that an event's text (``num_workers 0 -> 4``) names; none where it names none."""
    known = OVERRIDES[override].settings if override in OVERRIDES else {}
    return tuple(name for name in _ARROW.findall(detail) if name in known)


def make_permanent(
    recipe: Sequence[Change], sites: Iterable[Site], sources: Mapping[str, bytes], root: str = ""
) -> Patch:
    """Return the patch that makes ``recipe`` permanent.

    Args:
        recipe: Of changes of one override the later ones win, as at run time.
        sites: Where calls were changed.
        sources: The bytes of the files that may be edited, by the name that sites have for them.
        root: The folder that names in texts are shown relative to.

    Returns:
        Files that still parse and compile, and whose syntax differs in the arguments of ``edits`` alone.
    """
    work = _Work(sources, root)
    known = _by_place(sites)
    for override, (mitigations, settings) in _merged(recipe).items():
        work.change(override, mitigations, settings, [one for one in known if one.override == override])
    return work.patch()


def _to_write(override: str, settings: Mapping[str, float], sites: Sequence[Site]) -> Mapping[str, float]:
    """Return ``settings`` without what every call has that does not say it, unless it was changed somewhere."""
    changed = {name for site in sites for name in site.settings}
    resting = DEFAULTS.get(override, {})
    return {name: value for name, value in settings.items() if name in changed or resting.get(name) != value}


def _by_place(sites: Iterable[Site]) -> list[Site]:
    """Return one site for each place of an override, in order, with all that was changed there."""
    found: dict[tuple[str, str, int], Site] = {}
    for site in sorted(sites, key=lambda one: (one.file, one.line, one.override, one.settings)):
        key = (site.override, site.file, site.line)
        before = found.get(key, site)
        both = tuple(dict.fromkeys(before.settings + site.settings))
        found[key] = replace(site, settings=both if before.settings and site.settings else ())
    return list(found.values())


def _merged(recipe: Sequence[Change]) -> dict[str, tuple[tuple[str, ...], dict[str, float]]]:
    """Return the advice and the settings by override."""
    merged: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {}
    for change in recipe:
        names, settings = merged.get(change.override, ((), {}))
        names = names if change.mitigation in names else (*names, change.mitigation)
        merged[change.override] = (names, {**settings, **change.settings})
    return merged


class _Work:
    """The patch while it is made."""

    def __init__(self, sources: Mapping[str, bytes], root: str) -> None:
        self.sources = sources
        self.root = root.rstrip("/\\")
        self.read: dict[str, Source | str] = {}
        self.replacements: dict[str, list[Replacement]] = {}
        self.edits: list[Edit] = []
        self.additions: list[Addition] = []

    def change(
        self,
        override: str,
        mitigations: tuple[str, ...],
        settings: Mapping[str, float],
        sites: Sequence[Site],
    ) -> None:
        """Edit the calls at ``sites``, and say what is left of ``settings``."""
        if settings and not (settings := _to_write(override, settings, sites)):
            return
        todo = {
            name: settings.get(name, 1.0) for name in editable(override) if name in settings or name == SWITCH
        }
        done: set[str] = set()
        for site in sites:
            wanted = {name: todo[name] for name in todo if name == SWITCH or name in (site.settings or todo)}
            if site.file and wanted:
                done |= self._site(override, mitigations, wanted, site)
        left = {name: value for name, value in settings.items() if name not in done}
        if left or (not settings and SWITCH not in done):
            self._add(override, mitigations, "", *self._lines(override, left))

    def _site(
        self, override: str, mitigations: tuple[str, ...], wanted: Mapping[str, float], site: Site
    ) -> set[str]:
        """Return the settings that were dealt with at one site: edited, pointed to, or given as lines."""
        source = self._source(site.file)
        found = source if isinstance(source, str) else find_call(source, override, site.line)
        if isinstance(found, str) and override in ALSO_ELSEWHERE:
            return set()
        if isinstance(source, str) or isinstance(found, str):
            return self._give_up(override, mitigations, wanted, site, str(found))
        call, known = found
        here = {name: value for name, value in wanted.items() if name in known.places}
        values = {name: literal(override, name, value) for name, value in here.items()}
        edit, values = self._edit(override, source, call, known, values)
        reason = conflict(override, call, values) or self._unsafe(source, call, edit)
        if reason:
            return self._give_up(override, mitigations, here, site, reason)
        self._keep(override, mitigations, site.file, call, edit, values)
        return set(here)

    def _edit(
        self, override: str, source: Source, call: ast.Call, known: Known, values: dict[str, str]
    ) -> tuple[CallEdit, dict[str, str]]:
        """Return how to set the arguments of one call, and which of them with what they bring along."""
        values |= companions(override, call, values)
        edit = set_arguments(source, call, known, values)
        late = waiting(override, edit.refused, values)
        if late:
            edit = set_arguments(
                source, call, known, {name: values[name] for name in values if name not in late}
            )
            for name, reason in late.items():
                edit.refused[name] = (reason, f"line {call.lineno}", f"{name}={values[name]}")
        return edit, values

    def _lines(self, override: str, settings: Mapping[str, float]) -> Lines:
        """Return the lines that make a change, as the script's trainer takes them where it has one."""
        has_trainer = any(_TRAINER.search(data) for data in self.sources.values())
        return (in_trainer(override, settings) if has_trainer else None) or lines_to_add(override, settings)

    def _give_up(
        self, override: str, mitigations: tuple[str, ...], wanted: Mapping[str, float], site: Site, why: str
    ) -> set[str]:
        """Give lines in place of an edit; return the settings they are for."""
        settings = {name: value for name, value in wanted.items() if name != SWITCH}
        where, lines = self._lines(override, settings)
        place = f"{self._shown(site.file)}, line {site.line}"
        self._add(override, mitigations, why, f"{where} ({place})", lines)
        return set(wanted)

    def _unsafe(self, source: Source, call: ast.Call, edit: CallEdit) -> str:
        """Return why the edited text is not what was meant; never seen, and never to be written if it is."""
        if not edit.replacements:
            return ""
        try:
            after = parsed(source.edited(edit.replacements))
        except Unreadable as error:
            return f"after the edit {error}"
        same = ast.dump(after) == ast.dump(expected(source, call, edit))
        return "" if same else "the edit would change more than its argument"

    def _keep(
        self,
        override: str,
        mitigations: tuple[str, ...],
        file: str,
        call: ast.Call,
        edit: CallEdit,
        values: Mapping[str, str],
    ) -> None:
        """Keep what is done at one call."""
        self.replacements.setdefault(file, []).extend(edit.replacements)
        for reason, where, line in edit.refused.values():
            self._add(override, mitigations, reason, f"{self._shown(file)}: {where}", (line,))
        for name in values:
            if name not in edit.refused and name not in edit.same:
                self.edits.append(
                    Edit(
                        mitigations=mitigations,
                        override=override,
                        file=file,
                        line=call.lineno,
                        setting=name,
                        before=edit.before.get(name),
                        after=values[name],
                    )
                )

    def _source(self, file: str) -> Source | str:
        """Return a file that may be edited, or why there is none."""
        if file not in self.sources:
            return "that file is not the script's own"
        if file not in self.read:
            try:
                self.read[file] = Source(self.sources[file])
            except Unreadable as error:
                self.read[file] = f"the file can't be edited: {error}"
        return self.read[file]

    def _shown(self, file: str) -> str:
        """Return a file's name relative to the root."""
        head, rest = file[: len(self.root)], file[len(self.root) :]
        return rest[1:] if self.root and head == self.root and rest[:1] in ("/", "\\") else file

    def _add(
        self, override: str, mitigations: tuple[str, ...], reason: str, where: str, lines: tuple[str, ...]
    ) -> None:
        """Add something to be done by hand, once."""
        one = Addition(mitigations=mitigations, override=override, reason=reason, where=where, lines=lines)
        if lines and one not in self.additions:
            self.additions.append(one)

    def patch(self) -> Patch:
        """Return what was made."""
        files: dict[str, bytes] = {}
        diff = []
        for file, replacements in sorted(self.replacements.items()):
            source = self.read[file]
            if replacements and isinstance(source, Source):
                text = source.edited(dict.fromkeys(replacements))
                files[file] = source.encoded(text)
                diff.append(unified(source.text, text, self._shown(file)))
        return Patch(
            files=files, diff="".join(diff), edits=tuple(self.edits), additions=tuple(self.additions)
        )


def unified(before: str, after: str, name: str) -> str:
    """Return the unified diff of two texts, as ``git apply`` and ``patch`` read it."""
    old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (before, after))
    rows = difflib.unified_diff(old, new, f"a/{name.lstrip('/')}", f"b/{name.lstrip('/')}")
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)
