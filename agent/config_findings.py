"""What a check of the configuration found: mistakes that stop the agent, and concerns that do not."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to put right, and where: `("devices", 1, "timezone")`; nowhere when the file as a whole is meant."""

    where: tuple[str | int, ...]
    message: str

    @property
    def key(self) -> str:
        """The place as a person writes it: `devices[1].timezone`."""
        key = ""
        for step in self.where:
            if isinstance(step, int):
                key += f"[{step}]"
            else:
                key += f".{_written(step)}" if key else _written(step)
        return key

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.where else self.message


class ConfigError(Exception):
    """A configuration that cannot be used, with every mistake in it; as text a line for each."""

    def __init__(self, path: Path, mistakes: Iterable[Finding]) -> None:
        self.path = path
        self.mistakes = tuple(mistakes)
        super().__init__(path, self.mistakes)

    def __str__(self) -> str:
        if not self.mistakes[0].where:
            return f"{self.path}: {self.mistakes[0]}"
        count = len(self.mistakes)
        return "\n".join([f"{self.path}: {count} mistake{'s' if count > 1 else ''}", *map(str, self.mistakes)])


def suggestion(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'port'?` where one of the choices is near the word in any case; else nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only a file with a mistake in it pays for this

    folded = {choice.casefold(): choice for choice in choices}
    near = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean '{folded[near[0]]}'?" if near else ""


def shown(value: object) -> str:
    """A value of the file as a message may repeat it: never long, never with a line break or control character."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value if len(value) <= 60 else f"{value[:59]}…")
        case int() if abs(value) >= 10**18:
            return "so large a number"
        case int() | float():
            return str(value)
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return "a date or time"


def _written(step: str) -> str:
    return step if _BARE_KEY.fullmatch(step) else json.dumps(step[:60], ensure_ascii=True)
