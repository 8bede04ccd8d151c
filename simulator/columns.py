"""Which column of a sheet is the name, which the number, which the notes."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from protocol.mobile import Numbers, Unusable
from simulator.encoding import ContactsError
from simulator.numerals import looks_like_number

NAME, FIRST_NAME, SURNAME, MOBILE, NOTES, SKIPPED = "name", "first name", "surname", "mobile", "notes", "-"

# The headings people use, in English and Afrikaans, the surest first: of two columns for one role it takes the surer.
_WORDS = {
    NAME: "full name, name and surname, user name, display name, contact name, name, naam, resident, tenant",
    FIRST_NAME: "first name, first names, given name, forename, voornaam, initials",
    SURNAME: "surname, last name, family name, van",
    MOBILE: "mobile, mobile phone, cell, cell phone, cellular, sel, selfoon, whatsapp, msisdn, phone, phone 1 value,"
    " contact number, contact no, contact nr, telephone, telefoon, tel, number, nommer",
    NOTES: "notes, note, nota, notas, comment, comments, kommentaar, remark, remarks, description,"
    " unit, eenheid, flat, apartment, house, stand",
}
_NUMBER_OF = re.compile(r"(?<=.)(?:number|nommer|no|nr)$")
_PLAIN_NAMES = ("name", "naam")
_HEADER_WITHIN = 10
_LONGEST = 60
_SAMPLE = 100


def _key(word: str) -> str:
    """A heading without case, spaces, punctuation and what stands in brackets; nothing where it is too long for one."""
    if len(word) > _LONGEST:
        return ""
    return re.sub(r"\(.*?\)|[\W_]", "", normalize("NFKC", word).casefold())


_ROLES = {_key(word): (role, rank) for role, words in _WORDS.items() for rank, word in enumerate(words.split(","))}


def _role(word: str) -> tuple[str, int]:
    """The role a heading names and how many surer words there are for it; `Cell No.` counts as `Cell`."""
    key = _key(word)
    return _ROLES.get(key) or _ROLES.get(_NUMBER_OF.sub("", key)) or (SKIPPED, 0)


@dataclass(frozen=True, slots=True)
class Columns:
    """The role of each column, left to right; `open_ended`: cells past the last column go on with the notes.

    That is the comma someone typed inside the notes without quoting them.
    """

    roles: tuple[str, ...]
    open_ended: bool = False

    def read(self, cells: Sequence[str], delimiter: str) -> tuple[str, str, str]:
        """Name, mobile and notes of a row, each empty where the row has none."""
        held = {role: cell for role, cell in zip(self.roles, cells, strict=False) if role != SKIPPED}
        name = held.get(NAME) or " ".join(part for role in (FIRST_NAME, SURNAME) if (part := held.get(role)))
        notes = [held.get(NOTES, "")]
        if self.open_ended and self.roles[-1] == NOTES:
            notes += cells[len(self.roles) :]
        return name, held.get(MOBILE, ""), f"{delimiter.strip()} ".join(filter(None, notes))


def named_columns(words: Sequence[str]) -> tuple[str, ...]:
    """The roles that headings give, SKIPPED where a heading says nothing or a surer one has its role.

    A `name` beside a `surname` is a first name; a full name leaves the two parts aside.
    """
    best: dict[str, tuple[int, int]] = {}
    for column, word in enumerate(words):
        role, rank = _role(word)
        if role != SKIPPED and (role not in best or rank < best[role][0]):
            best[role] = rank, column
    if NAME in best and SURNAME in best and _key(words[best[NAME][1]]) in _PLAIN_NAMES:
        best.setdefault(FIRST_NAME, best[NAME])
        del best[NAME]
    if NAME in best:
        best.pop(FIRST_NAME, None)
        best.pop(SURNAME, None)
    roles = {column: role for role, (_, column) in best.items()}
    return tuple(roles.get(column, SKIPPED) for column in range(len(words)))


def assigned_columns(words: Sequence[str], source: str) -> Columns:
    """The columns a person has listed, such as `name,mobile,notes`; `-` or nothing skips one. Raises ContactsError."""
    for word in words:
        if word.strip(" -") and _role(word)[0] == SKIPPED:
            raise ContactsError(
                f"{source}: {word.strip()!r} in the list of columns is none of name, first name, surname, mobile,"
                " notes; write - for a column to skip"
            )
    roles = named_columns(words)
    if sum(role != SKIPPED for role in roles) < sum(bool(_key(word)) for word in words):
        raise ContactsError(f"{source}: the list of columns names one of them twice: give each once, - for the others")
    if MOBILE not in roles:
        raise ContactsError(
            f"{source}: the list of columns has no mobile: say which one it is, as in name,mobile,notes"
        )
    return Columns(roles)


def header_strength(cells: Sequence[str]) -> int:
    """How many roles a row names if it is a header, 0 if it is none: it needs a mobile or two roles, and no number."""
    if any(map(looks_like_number, cells)):
        return 0
    named = {*named_columns(cells)} - {SKIPPED}
    return len(named) if MOBILE in named or len(named) > 1 else 0


def find_header(rows: Iterable[Sequence[str]]) -> int | None:
    """The index of the header: in the first row, or below a title, as long as no number comes before it."""
    for index, cells in zip(range(_HEADER_WITHIN), rows, strict=False):
        if header_strength(cells):
            return index
        if any(map(looks_like_number, cells)):
            return None
    return None


def found_columns(
    header: Sequence[str] | None, rows: Sequence[Sequence[str]], numbers: Numbers, source: str, *, open_ended: bool
) -> Columns:
    """The columns as the header names them, and what it leaves open by what the first rows hold.

    The column with most numbers is the mobile one and the first other that is used the name; where no heading says
    anything, the next one is the notes, and with `open_ended` nothing stands right of them. Raises ContactsError where
    no column holds numbers.
    """
    sample = rows[:_SAMPLE]
    roles = [*named_columns(header or ())]
    unnamed = {*roles} <= {SKIPPED}
    if MOBILE not in roles:
        roles += [SKIPPED] * (max(map(len, sample)) - len(roles))
        roles[_number_column(roles, sample, numbers, source)] = MOBILE
    used = {column for cells in sample for column, cell in enumerate(cells) if cell}
    unused = [column for column, role in enumerate(roles) if role == SKIPPED and column in used]
    if unused and not {NAME, FIRST_NAME, SURNAME} & {*roles}:
        roles[unused.pop(0)] = NAME
    if unused and unnamed:
        roles[unused[0]] = NOTES
        if open_ended:
            del roles[max(unused[0], roles.index(MOBILE)) + 1 :]
    return Columns(tuple(roles), open_ended=open_ended or not unnamed)


def _number_column(roles: Sequence[str], sample: Sequence[Sequence[str]], numbers: Numbers, source: str) -> int:
    alike: dict[int, list[str]] = defaultdict(list)
    for cells in sample:
        for column, cell in enumerate(cells):
            if roles[column] == SKIPPED and looks_like_number(cell):
                alike[column].append(cell)
    if not alike:
        raise ContactsError(
            f"{source} has no column of mobile numbers: it needs one, or, where only faulty ones are in it,"
            " --columns to say which it is, as in --columns name,mobile,notes"
        )

    def rank(column: int) -> tuple[int, int, int]:
        readable = sum(not isinstance(reading, Unusable) for reading in numbers.read_many(alike[column]))
        return readable, len(alike[column]), -column

    return max(alike, key=rank)
