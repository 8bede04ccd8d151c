"""Erase: what is left of something written once somebody who is named in it has to be forgotten."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import orjson

from protocol.mobile import split
from protocol.reports import ERASED, Run
from protocol.vocabulary import Fault

GONE: Final = "<erased>"
"""In place of a number in words that somebody wrote."""

WORDS: Final = "what was written here is erased"
_MARKS: Final = r"[\s\-\u2010-\u2015()./]*"


class Eraser:
    """Takes one person, known by a number (E.164 digits), out of what was written."""

    def __init__(self, mobile: int) -> None:
        self.mobile = mobile
        code, spelled = map(_MARKS.join, split(mobile))
        self._written = re.compile(rf"(?:(?:\+|00)?{code}{_MARKS})?(?:\(?0\)?{_MARKS})?{spelled}")

    def text(self, written: str | None) -> str | None:
        """What somebody wrote, without the number in any usual spelling."""
        return None if written is None else self._written.sub(GONE, written)

    def runs(self, runs: Sequence[Run]) -> list[Run] | None:
        """The results without the person; None where nobody could take them for that person's.

        A number that could not be read is nobody's, and perhaps the person's with a digit too many: what was written
        goes with every erasure.
        """
        left = [part for run in runs for part in self._parted(run)]
        return None if left == [Run(*run) for run in runs] else left

    def reply(self, body: bytes) -> bytes | None:
        """A reply to a command without the person; None where it does not name them."""
        before = orjson.loads(body)
        after = self.json(before)
        return None if after == before else orjson.dumps(after)

    def json(self, said: Any) -> Any:  # noqa: ANN401 -- any JSON
        """The same without the person: who is named by the number has no name, and words are without it."""
        match said:
            case str():
                return self.text(said)
            case list():
                return [self.json(each) for each in said]
            case dict() if said.get("mobile") == f"+{self.mobile}":
                return {**said, "mobile": None, **({"userName": None} if "userName" in said else {}), "erased": True}
            case dict():
                return {name: self.json(each) for name, each in said.items()}
            case _:
                return said

    def _parted(self, run: Run) -> Iterator[Run]:
        if _quotes_a_number(run):
            yield _wordless(run._replace(mobiles=[ERASED] * len(run.mobiles)))
            return
        place = 0
        for is_gone, some in groupby(run.mobiles, lambda mobile: mobile == self.mobile):
            mobiles = list(some)
            first = None if run.first is None else run.first + place
            part = run._replace(first=first, mobiles=mobiles)
            yield _wordless(part._replace(mobiles=[ERASED] * len(mobiles))) if is_gone else part
            place += len(mobiles)


def _quotes_a_number(run: Run) -> bool:
    error = run.error
    return error is not None and error["code"] == Fault.INVALID_MOBILE and "'" in error["message"]


def _wordless(run: Run) -> Run:
    """The run with its codes, and without the words that repeat what was written."""
    return run._replace(
        error=None if run.error is None else _said_no_more(run.error),
        warnings=None if run.warnings is None else [_said_no_more(warning) for warning in run.warnings],
    )


def _said_no_more(fault: Mapping[str, Any]) -> dict[str, Any]:
    return {**fault, "message": WORDS}
