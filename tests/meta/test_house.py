"""House rules that no linter knows."""

import ast
import io
import re
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.meta.tree import PACKAGES, ROOT, kept_files, sources

EVERYWHERE = (*PACKAGES, "tests", "benchmarks")
MOST_LINES = 400
# Where a bug is logged and becomes the exit code of its process. Everywhere else it goes up.
TOPS = {Path("agent/cli.py"), Path("agent/daemon.py"), Path("simulator/cli.py")}
SQL = re.compile(
    r"\b(SELECT\s.*\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+\w+|PRAGMA\s+\w+"
    r"|BEGIN\s+IMMEDIATE|ON\s+CONFLICT)\b",
    re.DOTALL,
)
SUPPRESSION = re.compile(r"#\s*(type:\s*ignore|noqa|ruff:|mypy:)(?P<rest>.*)")
GIVES_CODE_AND_REASON = re.compile(r"(\[[a-z-, ]+\]|: [A-Z]+\d+(, ?[A-Z]+\d+)*) +(--|#) *\w+")
LOCK_LINE = re.compile(r'(\s*#.*|[a-z0-9.-]+==[\w.]+( ; [\w"<>=. ]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?|)')


def catches_everything(handler: ast.ExceptHandler) -> bool:
    """`except:` and `except Exception`; `except BaseException` too, unless it ends with a `raise` of the same."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {node.id if isinstance(node, ast.Name) else "" if node is None else "?" for node in caught}
    passes_on = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return bool(names & {"", "Exception"}) or ("BaseException" in names and not passes_on)


def strings(text: str) -> Iterator[tuple[int, str]]:
    """Line and value of every string that is not a docstring."""
    tree = ast.parse(text)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def comments(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of every comment."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_bugs_are_caught_at_the_tops_alone() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, text in sources(*EVERYWHERE)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler) and catches_everything(node) and path not in TOPS
    ]
    assert not found


def test_files_stay_short() -> None:
    lengths = {str(path): text.count("\n") for path, text in sources(*EVERYWHERE)}
    assert not {path: lines for path, lines in lengths.items() if lines > MOST_LINES}


def test_suppressions_give_their_reason() -> None:
    """`# noqa: ARG002 -- the signature is click's`, and the same for `type: ignore[…]`."""
    found = [
        f"{path}:{line}: {comment}"
        for path, text in sources(*EVERYWHERE)
        for line, comment in comments(text)
        if (match := SUPPRESSION.match(comment)) and not GIVES_CODE_AND_REASON.match(match["rest"])
    ]
    assert not found


def test_sql_stands_in_storage_alone() -> None:
    found = [
        f"{path}:{line}: {value!r}"
        for path, text in sources("agent", "protocol", "simulator")
        for line, value in strings(text)
        if SQL.search(value)
    ]
    assert not found


@pytest.mark.parametrize("lock", ["build", "dev", "gateway", "lock", "simulator"])
def test_lock_names_no_address(lock: str) -> None:
    """Names, versions and hashes alone: no index, no folder, nothing of the machine it was written on."""
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()
    assert not [line for line in lines if not LOCK_LINE.fullmatch(line) or "://" in line or "/opt" in line]


def test_every_pin_has_a_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        for pinned in re.split(r"\n(?=[a-z])", lock.read_text())[1:]:
            assert "--hash=sha256:" in pinned, f"{lock.name}: {pinned}"


def test_nothing_leans_on_what_lies_outside() -> None:
    """No file names this checkout's own place, or climbs out of it."""
    around = {f"{ROOT}/", f"{ROOT.parent}/", f"{Path.home()}/"} - {f"{tempfile.gettempdir()}/", "/"}
    found = []
    for path in kept_files():
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{path}: names {place}" for place in around if place in text]
        found += [
            f"{path}: {climb}"
            for climb in re.findall(r"(?<![\w./])((?:\.\./)+[\w.-]+)", text)
            if not (path.parent / climb).resolve().is_relative_to(ROOT)
        ]
    assert not found
