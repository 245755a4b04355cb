"""Rule text to check tree, and back.

    rule   := "" | any                       the empty text allows
    any    := all ("or" all)*
    all    := factor ("and" factor)*
    factor := "not" factor | "(" any ")" | leaf
    leaf   := "@" | "!" | kind ":" match

Source: contract policy 1.1 to 1.3.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from keyword import iskeyword

from imagereg.errors import RuleSyntaxError
from imagereg.policy.checks import (
    Always,
    And,
    Check,
    CredentialCheck,
    Leaf,
    LiteralCheck,
    Never,
    Not,
    Or,
    RemoteCheck,
    RoleCheck,
    RuleCheck,
)
from imagereg.policy.templates import parse_template

#: How many checks may lie inside each other, references to other rules included.
#: Each costs a stack frame per decision; rules that people write stay below ten.
MAX_DEPTH = 100

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"and", "or", "not", "(", ")"})


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands where a policy file holds something that cannot be a rule."""

    why: str


def parse(text: str) -> Check:
    """Return the check tree of a rule.

    Raises:
        RuleSyntaxError: the text is no rule; the message says what is wrong.
    """
    if not text:
        return Always()
    return _Parser(text).whole()


def parse_list(value: Sequence[object]) -> Check:
    """Return the check tree of a rule in the old list form.

    The outer list is an "or", an inner one an "and", a bare text an inner list of
    one leaf.  ``[]`` allows, ``[[]]`` denies.

    Raises:
        RuleSyntaxError: an element is neither text nor a list of texts.
    """
    if not value:
        return Always()
    groups = [_parse_inner(inner) for inner in value if inner not in ("", [])]
    if not groups:
        return Never()
    return groups[0] if len(groups) == 1 else Or(tuple(groups))


def parse_rule(value: object) -> Check:
    """Return the check tree of what stands behind a name in a policy file.

    Raises:
        RuleSyntaxError: neither text nor list, or one that cannot be read.
    """
    match value:
        case str():
            return parse(value)
        case list():
            return parse_list(value)
        case Unreadable(why):
            raise RuleSyntaxError(why)
        case None:
            raise RuleSyntaxError("a rule is a text, not null")
    raise RuleSyntaxError(f"a rule is a text, not {type(value).__name__}")


def canonical(check: Check) -> str:
    """Return the text that is equal for equal rules; empty where all are allowed."""
    return "" if isinstance(check, Always) else str(check)


def parse_leaf(text: str) -> Leaf:
    """Return the leaf that ``text`` writes.

    Raises:
        RuleSyntaxError: no colon, a broken kind or a broken interpolation.
    """
    if text == "@":
        return Always()
    if text == "!":
        return Never()
    kind, colon, match = text.partition(":")
    if not colon:
        raise RuleSyntaxError(f"`{text}` is no check: it has no colon")
    match kind:
        case "rule":
            return RuleCheck(match)
        case "role":
            return RoleCheck(parse_template(match))
        case "http" | "https":
            return RemoteCheck(parse_template(text))
    return _parse_generic(kind, match)


def _parse_inner(inner: object) -> Check:
    """Return the "and" of one inner list, or its only leaf."""
    texts = inner if isinstance(inner, list) else [inner]
    checks: list[Check] = []
    for text in texts:
        if not isinstance(text, str):
            kind = type(text).__name__
            raise RuleSyntaxError(f"a list of checks holds a {kind}, not a text")
        checks.append(parse_leaf(text))
    return checks[0] if len(checks) == 1 else And(tuple(checks))


def _parse_generic(kind: str, match: str) -> LiteralCheck | CredentialCheck:
    """Return the check of a literal or of a credential against ``match``.

    A kind is a literal if Python reads one there, else a path into the credentials;
    what Python cannot read at all is a mistake.
    """
    template = parse_template(match)
    path = tuple(kind.split("."))
    if all(_NAME.fullmatch(name) and not iskeyword(name) for name in path):
        return CredentialCheck(path, template)
    try:
        value = _read_literal(kind)
    except ValueError:
        return CredentialCheck(path, template)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as broken:
        raise RuleSyntaxError(f"broken kind `{kind}`") from broken
    return LiteralCheck(kind, str(value), template)


def _read_literal(kind: str) -> object:
    """Return the value of a Python literal.

    Raises:
        ValueError: Python reads something else there.
        SyntaxError, TypeError, MemoryError, RecursionError: it reads nothing.
    """
    if "\\" not in kind:
        return ast.literal_eval(kind)
    with warnings.catch_warnings():
        # `'\d'` is a literal, if one that Python frowns upon.
        warnings.simplefilter("ignore")
        return ast.literal_eval(kind)


def _tokens(text: str) -> Iterator[str]:
    """Yield parentheses, operators in lower case, and leaves.

    Only parentheses at the edges of a word are structure; those inside belong to
    the leaf, which is how ``%(name)s`` survives.
    """
    for word in text.split():
        opening = len(word) - len(word.lstrip("("))
        yield from word[:opening]
        quoted = word[opening:]
        body = quoted.rstrip(")")
        if len(quoted) > 1 and quoted[0] in "'\"" and quoted[0] == quoted[-1]:
            raise RuleSyntaxError(f"{quoted} is a quoted text, not a check")
        if body:
            yield body.lower() if body.lower() in _RESERVED else body
        yield from quoted[len(body) :]


class _Parser:
    """One pass over the tokens of a rule, one method per line of the grammar."""

    def __init__(self, text: str) -> None:
        self._tokens = tuple(_tokens(text))
        self._next = 0
        self._depth = 0

    def whole(self) -> Check:
        """Return the tree of the whole rule."""
        if not self._tokens:
            raise RuleSyntaxError("only blanks: write the empty text to allow")
        check = self._any()
        if self._peek() is not None:
            raise RuleSyntaxError(f"expected `and` or `or` before `{self._peek()}`")
        return check

    def _any(self) -> Check:
        parts = [self._all()]
        while self._peek() == "or":
            self._next += 1
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self) -> Check:
        parts = [self._factor()]
        while self._peek() == "and":
            self._next += 1
            parts.append(self._factor())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _factor(self) -> Check:
        symbol = self._peek()
        if symbol is None:
            raise RuleSyntaxError("the rule ends where a check is expected")
        self._next += 1
        if symbol not in _RESERVED:
            return parse_leaf(symbol)
        if symbol not in ("not", "("):
            raise RuleSyntaxError(f"expected a check before `{symbol}`")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RuleSyntaxError("too deeply nested")
        check = Not(self._factor()) if symbol == "not" else self._group()
        self._depth -= 1
        return check

    def _group(self) -> Check:
        check = self._any()
        if self._peek() != ")":
            raise RuleSyntaxError("a parenthesis is not closed")
        self._next += 1
        return check

    def _peek(self) -> str | None:
        if self._next < len(self._tokens):
            return self._tokens[self._next]
        return None
