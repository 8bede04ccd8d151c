"""The log: one event a line on stderr, in JSON for machines, in colour for a person at a terminal.

Events are dotted past-tense verbs with fields (`part.applied batch_id=… users=400 ms=12`). No field carries a person's
name or a full number.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Imports inside do not find this package, unless it was imported before."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # typeshed leaves out that None blocks an import
    try:
        yield
    finally:
        del sys.modules[package]


# For tracebacks this log never prints, structlog would load all of rich: 60 ms and 5 MB at every start.
with _hidden("rich"):
    import structlog
    from structlog.dev import ConsoleRenderer, plain_traceback
    from structlog.stdlib import ProcessorFormatter
    from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS: Final = ("debug", "info", "warning", "error")

get_logger = structlog.get_logger
"""structlog's own, for modules that are loaded before structlog is."""


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Sends every event of this level (one of LEVELS) and above to the stream, by default stderr."""
    stream = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    form = _console() if stream.isatty() else _json()
    structlog.configure(
        processors=[*shared, *form],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    foreign = logging.StreamHandler(stream)
    foreign.setFormatter(
        ProcessorFormatter(foreign_pre_chain=shared, processors=[ProcessorFormatter.remove_processors_meta, *form])
    )
    # Libraries are never let down to debug: aiosqlite logs its statements there, with the people in them.
    logging.basicConfig(handlers=[foreign], level=max(threshold, logging.WARNING), force=True)


def _console() -> list[Processor]:
    return [ConsoleRenderer(colors="NO_COLOR" not in os.environ, exception_formatter=plain_traceback)]


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, _head_first, structlog.processors.JSONRenderer()]


def _head_first(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: event[key] for key in ("timestamp", "level", "event")} | dict(event)
