"""What pydantic found wrong, in words for the person who wrote the file."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent.config_findings import Finding, shown, suggestion

_WORDS: Final = {
    "missing": "is missing",
    "bool_type": "takes true or false, not {input}",
    "int_type": "takes a whole number, not {input}",
    "float_type": "takes a number, not {input}",
    "string_type": "takes text in quotes, not {input}",
    "tuple_type": "takes a list, not {input}",
    "model_type": "takes a table, not {input}",
    "literal_error": "{input} is not {expected}",
    "enum": "{input} is not {expected}",
    "greater_than_equal": "{input} is too small: {ge} at least",
    "less_than_equal": "{input} is too large: {le} at most",
    "finite_number": "{input} is not a number",
    "too_short": "needs {min_length} at least",
    "too_long": "has {actual_length}: {max_length} at most",
    "value_error": "{error}",
}


def worded(error: ValidationError, tables: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Each mistake with its key. `tables` has the keys of every table by its name, the top of the file under ""."""
    for detail in error.errors(include_url=False):
        if _follows(detail):
            continue
        unknown = detail["type"] == "extra_forbidden"
        yield Finding(detail["loc"], _unknown(detail["loc"], tables) if unknown else _message(detail))


def _follows(detail: ErrorDetails) -> bool:
    """Whether it is only there because of a mistake that is told anyway."""
    return detail["type"] == "default_factory_not_called" or (detail["type"] == "too_short" and bool(detail["input"]))


def _message(detail: ErrorDetails) -> str:
    template = _WORDS.get(detail["type"])
    if template is None:
        return detail["msg"]
    return template.format(input=shown(detail["input"]), **detail.get("ctx", {}))


def _unknown(where: tuple[str | int, ...], tables: Mapping[str, Collection[str]]) -> str:
    table, key = (str(where[0]), str(where[-1])) if len(where) > 1 else ("", str(where[0]))
    near = suggestion(key, tables[table])
    homes = [] if near else [name for name, keys in tables.items() if key in keys]
    if homes == [""]:
        return "is not a key here; it belongs at the top, above the first [table]"
    if homes:
        return f"is not a key here; it belongs in [{homes[0]}]"
    return f"is not a key here{near}"
