"""The log: one event a line on stderr, in JSON for machines, in colour for a person at a terminal.

Events are dotted past-tense verbs with fields (`part.applied batch_id=… users=400 ms=12`). No field carries a person's
name or a full number, and whatever is written passes `agent/masking.py`: our own events, those of libraries, warnings,
and the tracebacks of what nobody expected.
"""

import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, TextIO

from agent.crash import told
from agent.masking import masked_fields

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


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

log = structlog.get_logger()

_PLAIN_WORDS: Final = re.compile(r"[^\n(<{\[]*")
"""Behind a bracket or in a second line libraries show objects: a callback with its arguments, a task with its error."""


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Sends every event of this level (one of LEVELS) and above to the stream, by default stderr.

    From here on it also gets what the interpreter would print by itself: errors that end a thread, and warnings.
    """
    stream = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    form = [_crash_told, _masked, *(_console() if stream.isatty() else _json())]
    structlog.configure(
        processors=[*shared, *form],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    foreign = logging.StreamHandler(stream)
    foreign.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*shared, _of_library],
            processors=[ProcessorFormatter.remove_processors_meta, *form],
            use_get_message=False,  # the words alone: what they are filled with is data
        )
    )
    # Libraries are never let down to debug: aiosqlite logs its statements there, with the people in them.
    logging.basicConfig(handlers=[foreign], level=max(threshold, logging.WARNING), force=True)
    sys.excepthook = _process_crashed
    sys.unraisablehook = _cleanup_crashed
    threading.excepthook = _thread_crashed
    warnings.showwarning = _warned


def _console() -> list[Processor]:
    return [ConsoleRenderer(colors="NO_COLOR" not in os.environ, exception_formatter=plain_traceback)]


def _json() -> list[Processor]:
    return [_head_first, structlog.processors.JSONRenderer()]


def _head_first(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: event[key] for key in ("timestamp", "level", "event")} | dict(event)


def _of_library(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    words = _PLAIN_WORDS.match(event["event"])
    return {**event, "event": words[0].rstrip() if words else "", "library": event["_record"].name}


def _crash_told(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    met = event.pop("exc_info", None)
    if isinstance(met, tuple):
        met = met[1]
    elif met is True:
        met = sys.exception()
    if isinstance(met, BaseException):
        event["exception"] = told(met)
    return event


def _masked(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return masked_fields(event)


def _process_crashed(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    log.error("process.crashed", exc_info=error)


def _thread_crashed(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_type is not SystemExit:
        log.error("thread.crashed", thread=crash.thread and crash.thread.name, exc_info=crash.exc_value)


def _cleanup_crashed(crash: "UnraisableHookArgs") -> None:
    log.error("cleanup.crashed", exc_info=crash.exc_value)


def _warned(
    message: Warning | str,  # noqa: ARG001 -- Python's signature; its words may show data
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 -- the same
    line: str | None = None,  # noqa: ARG001 -- the same
) -> None:
    log.warning("warning.raised", category=category.__name__, module=Path(filename).name, line=lineno)
