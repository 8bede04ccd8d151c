"""The mistakes: small changes to a syntax tree that still compile, each of which some test should notice."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitAnd,
}
NAMES: Final = {
    "min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "rindex": "index",
    "bisect_left": "bisect_right", "bisect_right": "bisect_left", "earliest": "latest", "latest": "earliest",
}  # fmt: skip
"""What is taken for its opposite."""

_SQL: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b")
_IN_SQL: Final = tuple(
    (re.compile(pattern), replacements)
    for pattern, *replacements in (
        (r"(?<=\s)<(?=\s)", "<=", ">="),
        (r"(?<=\s)>(?=\s)", ">=", "<="),
        (r"(?<=\s)=(?=\s\S)", "<>"),
        (r"\bAND\b", "OR"),
        (r"\bNOT EXISTS\b", "EXISTS"),
        (r"\bIS NOT NULL\b", "IS NULL"),
        (r"\bIS NULL\b", "IS NOT NULL"),
        (r"\bmax\(", "min("),
        (r"\bsum\(", "max("),
        (r"\bORDER BY \w+", ""),
        (r"\bWHERE\b(?! users\b)", "WHERE NOT"),
        (r"(?<![?\w.])0\b", "1"),
        (r"(?<![?\w.])(?<!SELECT )1\b", "0"),
    )
)
_UNSEEN: Final = {"annotation", "returns", "decorator_list", "format_spec", "msg"}
"""Parts of the tree whose change nobody could see, or that are words for people."""


Place: TypeAlias = tuple[ast.AST, str, int | None]
"""Where a node hangs: in which one, under what name, and at which place of a list."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mistake: `node` in the place of another. `line` is as the file has it."""

    number: int
    line: str
    before: str
    node: ast.AST
    place: Place

    def apply(self) -> None:
        """Make it in the tree it was found in, for good."""
        parent, name, index = self.place
        if index is None:
            setattr(parent, name, self.node)
        else:
            getattr(parent, name)[index] = self.node

    def told(self) -> str:
        """The line, and what becomes of which part of it; of long ones, what is around the difference."""
        before, after = self.before, ast.unparse(self.node)
        if len(before) > 60 and len(after) > 60:
            start = max(0, _alike(before, after) - 20)
            end = _alike(before[::-1], after[::-1])
            before, after = (each[start : max(start, len(each) - end) + 20] for each in (before, after))
        return f"{self.line}  |  {' '.join(before.split())}  ->  {' '.join(after.split())}"


def mutations(tree: ast.Module, source: str) -> list[Mutation]:
    """Every mistake that can be made in a module, in the order of its lines."""
    lines = source.splitlines()
    found = []
    for place, node in _nodes(tree):
        for after in _mistakes(node, place):
            if not hasattr(after, "lineno"):
                ast.copy_location(after, node)
            ast.fix_missing_locations(after)
            number: int = getattr(node, "lineno", 0)
            found.append(Mutation(number, lines[number - 1].strip(), ast.unparse(node), after, place))
    return found


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _nodes(node: ast.AST) -> Iterator[tuple[Place, ast.AST]]:
    for name, value in ast.iter_fields(node):
        if name in _UNSEEN:
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST) and not _is_silent(child):
                if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
                    yield (node, name, index if isinstance(value, list) else None), child
                yield from _nodes(child)


def _is_silent(node: ast.AST) -> bool:
    """Docstrings; and the `strict` of a `zip`, which like an assertion states what cannot be otherwise."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.keyword(arg="strict"):
            return True
    return False


def _mistakes(node: ast.AST, place: Place) -> Iterator[ast.AST]:
    match node:
        case ast.Constant():
            yield from _constants(node.value)
        case ast.Name() if isinstance(place[0], ast.Call) and node.id in NAMES:
            yield ast.Name(NAMES[node.id], ast.Load())
        case ast.Attribute(ctx=ast.Load()) if node.attr in NAMES:
            yield ast.Attribute(node.value, NAMES[node.attr], ast.Load())
        case ast.ExceptHandler():
            yield ast.ExceptHandler(node.type, node.name, [ast.Raise()])
        case ast.expr():
            yield from _operators(node)
        case ast.stmt():
            yield from _statements(node)
    if place[1] == "test" and isinstance(node, ast.expr) and not isinstance(node, ast.Compare | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), node)


def _operators(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            for at, operator in enumerate(node.ops):
                for other in COMPARISONS[type(operator)]:
                    yield ast.Compare(node.left, [*node.ops[:at], other(), *node.ops[at + 1 :]], node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
            for at in range(len(node.values)):
                left = [*node.values[:at], *node.values[at + 1 :]]
                yield ast.BoolOp(node.op, left) if len(left) > 1 else left[0]
        case ast.BinOp():
            yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.Return(value=ast.expr()) if not (isinstance(node.value, ast.Constant) and not node.value.value):
            yield ast.Return(ast.Constant(None))
        case ast.AugAssign():
            yield ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)
            yield ast.Pass()
        case ast.Assign() if not isinstance(node.targets[0], ast.Name):
            yield ast.Pass()
        case ast.If() if not node.orelse and not any(isinstance(each, ast.NamedExpr) for each in ast.walk(node.test)):
            yield ast.Pass()
        case ast.Expr() | ast.Raise():
            yield ast.Pass()


def _constants(value: object) -> Iterator[ast.AST]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int() | float():
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case bytes() if value:
            yield ast.Constant(value + b"x")
        case str() if _SQL.match(value):
            for pattern, replacements in _IN_SQL:
                for at in pattern.finditer(value):
                    for other in replacements:
                        yield ast.Constant(f"{value[: at.start()]}{other}{value[at.end() :]}")
        case str() if value and not re.search(r"\s", value):
            yield ast.Constant(f"{value}x")
