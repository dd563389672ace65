"""Mutants of a module: copies of its source with one small change each."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
Node = ast.expr | ast.stmt
_Change = tuple[Node, str]
NAMES = {"min": "max", "max": "min", "all": "any", "any": "all"}


@dataclass(frozen=True)
class Mutant:
    """One change of one line: the source before and after, and the changed line (from 1)."""

    line: int
    before: str
    after: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Return all mutants of a module, in the order of their position."""
    encoded = source.encode()
    starts = [0]
    for line in encoded.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[str, Mutant] = {}
    for node, text in _changes(ast.parse(source), source):
        begin = starts[node.lineno - 1] + node.col_offset
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        end = starts[node.end_lineno - 1] + node.end_col_offset
        changed = encoded[:begin] + text.encode() + encoded[end:]
        before, after = (_line(content, starts[node.lineno - 1]) for content in (encoded, changed))
        mutant = Mutant(node.lineno, before, after, changed.decode())
        found.setdefault(mutant.source, mutant)
    return sorted(found.values(), key=lambda mutant: mutant.line)


def sample(source: str, count: int, seed: str) -> list[Mutant]:
    """Return ``count`` mutants chosen with a seed, or all where there are not more; those that compile."""
    every = mutants(source)
    chosen = random.Random(seed).sample(range(len(every)), min(count, len(every)))
    return [every[at] for at in sorted(chosen) if _compiles(every[at].source)]


def _changes(tree: ast.Module, source: str) -> Iterator[_Change]:
    """Yield nodes with the text that replaces each."""
    for node in _executed(tree):
        if isinstance(node, (ast.Compare, ast.BinOp, ast.BoolOp, ast.UnaryOp)):
            yield from _changed_operators(node, source)
        elif isinstance(node, ast.Constant):
            yield from _changed_constants(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
            yield node.func, NAMES[node.func.id]
        elif isinstance(node, ast.stmt):
            yield from _changed_statements(node, source)


def _changed_operators(node: ast.Compare | ast.BinOp | ast.BoolOp | ast.UnaryOp, source: str) -> Iterator[_Change]:
    if isinstance(node, ast.Compare):
        operands = [_text(source, operand) for operand in (node.left, *node.comparators)]
        for at, kind in enumerate(node.ops):
            for operator in COMPARISONS.get(type(kind), ()):
                signs = [SIGNS[type(one)] for one in node.ops]
                signs[at] = operator
                parts = [f"{sign} {operand}" for sign, operand in zip(signs, operands[1:], strict=True)]
                yield node, f"({' '.join([operands[0], *parts])})"
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not _is_text(node.left):
        left, right = _text(source, node.left), _text(source, node.right)
        yield node, f"(({left}) {OPERATORS[type(node.op)]} ({right}))"
    elif isinstance(node, ast.BoolOp):
        values = [f"({_text(source, value)})" for value in node.values]
        word, other = (" and ", " or ") if isinstance(node.op, ast.And) else (" or ", " and ")
        yield node, f"({other.join(values)})"
        for left_out in range(len(values)):
            yield node, f"({word.join(values[:left_out] + values[left_out + 1 :])})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"({_text(source, node.operand)})"


def _changed_constants(node: ast.Constant) -> Iterator[_Change]:
    if isinstance(node.value, bool):
        yield node, str(not node.value)
    elif isinstance(node.value, int):
        yield node, str(node.value + 1)


def _changed_statements(node: ast.stmt, source: str) -> Iterator[_Change]:
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if isinstance(node, (ast.If, ast.While)):
        yield node.test, f"not ({_text(source, node.test)})"
    elif is_call or isinstance(node, (ast.AugAssign, ast.Raise, ast.Delete, ast.Continue, ast.Break)):
        yield node, "pass"
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield node, "return None"


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree without annotations, docstrings and texts of errors, which do not affect the behaviour."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)):
                continue
            if isinstance(child, ast.AST):
                yield child
                yield from _executed(child)


def _line(source: bytes, start: int) -> str:
    """Return the line that begins at an index."""
    return source[start:].split(b"\n", 1)[0].decode().strip()


def _text(source: str, node: ast.AST) -> str:
    text = ast.get_source_segment(source, node)
    assert text is not None
    return text


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _compiles(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True
