"""What could be wrong with a module: its text with one small fault each.

Annotations, decorators, imports, docstrings and names of types are left alone.
"""

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from types import CodeType

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
# Names, of functions and of methods, that are easily taken for each other.
_OTHER_NAMES = {
    "lower": "upper",
    "strip": "lstrip",
    "lstrip": "rstrip",
    "rstrip": "lstrip",
    "startswith": "endswith",
    "endswith": "startswith",
    "removeprefix": "removesuffix",
    "removesuffix": "removeprefix",
    "partition": "rpartition",
    "search": "match",
    "match": "fullmatch",
    "fullmatch": "match",
    "any": "all",
    "all": "any",
    "min": "max",
    "max": "min",
    "sorted": "list",
    "reversed": "list",
    "append": "count",
    "setdefault": "get",
}
# Names of types, and loggers.
_NAMING = re.compile(
    r"(Callable|Mapping|tuple|list)\[|(TypeVar|logging\.getLogger)\("
    r"|[A-Z]\w+( \| [A-Z]\w+)+$"
)
_UNTOUCHED = ("annotation", "returns", "decorator_list", "format_spec", "ctx")


@dataclass(frozen=True)
class Mutant:
    """A module with one fault.

    Attributes:
        key: statement, what stood there and what stands there now; it holds when
            lines move, and a number tells those apart that would be the same.
        lines: of the statement, or of the head of a block, that holds the fault.
    """

    key: str
    lines: range
    code: CodeType


def mutants(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    source = path.read_text()
    written = source.splitlines()
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    for parent, name, index, node, lines in _places(tree, range(0)):
        for new in changes(node):
            # A copy, because what moves up keeps its own place in other mutants.
            new = ast.copy_location(copy.copy(new), node)
            ast.fix_missing_locations(new)
            _put(parent, name, index, new)
            code = compile(tree, path, "exec", dont_inherit=True)
            _put(parent, name, index, node)
            statement = written[lines.start - 1].strip()
            key = f"{statement}  |  {_unparse(node)}  ->  {_unparse(new)}"
            seen[key] += 1
            yield Mutant(key + f" #{seen[key]}" * (seen[key] > 1), lines, code)


@singledispatch
def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of ``node`` in a mutant."""
    return iter(())


@changes.register
def _(node: ast.Compare) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        for other in _COMPARED[type(op)]:
            ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            yield _with(node, ops=ops)


@changes.register
def _(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for index in range(len(node.values)):
        rest = [*node.values[:index], *node.values[index + 1 :]]
        yield _with(node, values=rest) if len(rest) > 1 else rest[0]


@changes.register
def _(node: ast.UnaryOp) -> Iterator[ast.AST]:
    yield node.operand


@changes.register
def _(node: ast.BinOp) -> Iterator[ast.AST]:
    yield _with(node, op=_COMPUTED[type(node.op)]())
    if isinstance(node.op, ast.BitOr):
        yield from (node.left, node.right)


@changes.register
def _(node: ast.Constant) -> Iterator[ast.AST]:
    match node.value:
        case bool(value):
            yield ast.Constant(not value)
        case int(value) | float(value):
            yield ast.Constant(value + 1)
            if value:
                yield ast.Constant(value - 1)
        case str(value):
            yield ast.Constant(f"XX{value}")
        case bytes(value):
            yield ast.Constant(b"XX" + value)


@changes.register(ast.If)
@changes.register(ast.IfExp)
@changes.register(ast.While)
def _(node: ast.If | ast.IfExp | ast.While) -> Iterator[ast.AST]:
    if not isinstance(node.test, ast.Constant):
        yield _with(node, test=ast.Constant(False))
    if not isinstance(node, ast.While):
        yield _with(node, test=ast.Constant(True))


@changes.register
def _(node: ast.comprehension) -> Iterator[ast.AST]:
    for index in range(len(node.ifs)):
        yield _with(node, ifs=[*node.ifs[:index], *node.ifs[index + 1 :]])


@changes.register
def _(node: ast.Return) -> Iterator[ast.AST]:
    if node.value and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))


@changes.register
def _(node: ast.Name) -> Iterator[ast.AST]:
    if node.id in _OTHER_NAMES and isinstance(node.ctx, ast.Load):
        yield _with(node, id=_OTHER_NAMES[node.id])


@changes.register
def _(node: ast.Attribute) -> Iterator[ast.AST]:
    if node.attr in _OTHER_NAMES:
        yield _with(node, attr=_OTHER_NAMES[node.attr])


@changes.register
def _(node: ast.Call) -> Iterator[ast.AST]:
    for index, given in enumerate(node.args):
        if not isinstance(given, ast.Constant | ast.Starred):
            args = [*node.args[:index], ast.Constant(None), *node.args[index + 1 :]]
            yield _with(node, args=args)
    for index in range(len(node.keywords)):
        kept = [*node.keywords[:index], *node.keywords[index + 1 :]]
        yield _with(node, keywords=kept)


@changes.register
def _(node: ast.Slice) -> Iterator[ast.AST]:
    for end in ("lower", "upper", "step"):
        if getattr(node, end):
            yield _with(node, **{end: None})


@changes.register
def _(node: ast.match_case) -> Iterator[ast.AST]:
    if not (isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None):
        yield _with(node, guard=ast.Constant(False))


@changes.register
def _(node: ast.ExceptHandler) -> Iterator[ast.AST]:
    if isinstance(node.type, ast.Tuple):
        for one in node.type.elts:
            rest = [other for other in node.type.elts if other is not one]
            yield _with(node, type=_with(node.type, elts=rest))


@changes.register(ast.Expr)
@changes.register(ast.Raise)
@changes.register(ast.AugAssign)
def _(node: ast.AST) -> Iterator[ast.AST]:
    yield ast.Pass()


@changes.register
def _(node: ast.Assign) -> Iterator[ast.AST]:
    if not isinstance(node.targets[0], ast.Name):
        yield ast.Pass()


@changes.register(ast.Continue)
@changes.register(ast.Break)
def _(node: ast.AST) -> Iterator[ast.AST]:
    yield ast.Break() if isinstance(node, ast.Continue) else ast.Continue()
    yield ast.Pass()


_Place = tuple[ast.AST, str, int | None, ast.AST, range]


def _places(parent: ast.AST, lines: range) -> Iterator[_Place]:
    """Yield each node below ``parent`` that may be changed, and where it hangs."""
    for name, value in ast.iter_fields(parent):
        if name in _UNTOUCHED:
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(node, ast.AST) or _is_left_alone(node):
                continue
            around = _lines(node) or lines
            yield parent, name, index if isinstance(value, list) else None, node, around
            yield from _places(node, around)


def _is_left_alone(node: ast.AST) -> bool:
    """Return whether a node says nothing about what the module does."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return (
        isinstance(node, ast.Assign)
        and node.col_offset == 0
        and _NAMING.match(ast.unparse(node.value)) is not None
    )


def _lines(node: ast.AST) -> range | None:
    """Return the lines of a statement, of a block only those of its head."""
    if isinstance(node, ast.match_case):
        return range(node.pattern.lineno, node.body[0].lineno)
    if not isinstance(node, ast.stmt | ast.ExceptHandler):
        return None
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not body:
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    first = body[0].pattern if isinstance(body[0], ast.match_case) else body[0]
    return range(node.lineno, max(first.lineno, node.lineno + 1))


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """Return a node with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _put(parent: ast.AST, name: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _unparse(node: ast.AST) -> str:
    """Return a node on one line, of a block only its head."""
    if isinstance(node, ast.match_case):
        guard = f" if {ast.unparse(node.guard)}" if node.guard else ""
        return f"case {ast.unparse(node.pattern)}{guard}"
    return ast.unparse(node).strip().split("\n")[0]
