"""Errors that a user can act on: what, where, and what to do, in one line."""


class BottleneckError(Exception):
    """Base of all errors that end in one line on stderr; ``exit_code`` is the command's."""

    exit_code = 1


class UsageError(BottleneckError):
    """The command line or a named file is wrong; nothing was started."""

    exit_code = 2


class RecordError(BottleneckError):
    """A run directory can't be read as a record."""

    exit_code = 2


class RuleError(BottleneckError):
    """A rule file is wrong; the text names file and field."""

    exit_code = 2


class TraceError(BottleneckError):
    """A file can't be read as a profiler's trace; the text names it and says why."""

    exit_code = 2
