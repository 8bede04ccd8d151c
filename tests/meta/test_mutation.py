"""What `make mutants` does, and what the documents say of it."""

import ast
import json

from tests.meta.tree import ROOT
from tests.mutation.mutations import mutations
from tests.mutation.targets import TARGETS

SOURCE = '''
"""Words."""
MOST: Final[int | None] = 7
def rule(now: int = 0) -> int | None:
    """More words."""
    if now < MOST and seen(now):
        raise ValueError(f"at {now}")
    table[now] = -now
    return min(now, 1)
FIND = "SELECT name FROM people WHERE age > ?"
'''
MADE = """
7 -> 8; 7 -> 6
0 -> 1; 0 -> -1
if now < MOST and seen(now): raise ValueError(f'at {now}') -> pass
now < MOST and seen(now) -> now < MOST or seen(now)
now < MOST and seen(now) -> seen(now)
now < MOST and seen(now) -> now < MOST
now < MOST and seen(now) -> not (now < MOST and seen(now))
now < MOST -> now <= MOST; now < MOST -> now >= MOST
raise ValueError(f'at {now}') -> pass
table[now] = -now -> pass
-now -> now
return min(now, 1) -> return None
min -> max
1 -> 2; 1 -> 0
'SELECT name FROM people WHERE age > ?' -> 'SELECT name FROM people WHERE age >= ?'
'SELECT name FROM people WHERE age > ?' -> 'SELECT name FROM people WHERE age <= ?'
'SELECT name FROM people WHERE age > ?' -> 'SELECT name FROM people WHERE NOT age > ?'
"""


def test_mistakes_are_those_that_somebody_makes() -> None:
    """Neither in annotations nor in words for people; every tree they are made in is Python."""
    made = []
    for number in range(len(mutations(ast.parse(SOURCE), SOURCE))):
        tree = ast.parse(SOURCE)
        mistake = mutations(tree, SOURCE)[number]
        made.append(mistake.told().partition("  |  ")[2].replace("  ->  ", " -> "))
        mistake.apply()
        compile(tree, "<mutant>", "exec", dont_inherit=True)
    assert made == MADE.strip().replace("\n", "; ").split("; ")


def test_every_module_that_is_mutated_has_tests() -> None:
    for module, tests in TARGETS.items():
        assert (ROOT / module).is_file(), module
        assert all((ROOT / "tests" / name).is_file() for name in tests), module


def test_ninety_of_a_hundred_mutants_are_killed_and_every_branch_is_taken() -> None:
    """As `make mutants` has found it last."""
    book = json.loads((ROOT / "docs" / "reliability" / "mutants.json").read_text())
    assert book["modules"].keys() == TARGETS.keys()
    assert book["killed"] >= 0.9 * book["mutants"]
    for module, found in book["modules"].items():
        assert found["killed"] + len(found["survivors"]) == found["mutants"], module
        assert (found["branches_taken"], found["lines_missed"]) == (found["branches"], 0), module
