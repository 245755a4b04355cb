"""The same decisions as the reference, wherever no ruling says otherwise.

Rules, near misses of rules, credentials and targets are random; what differs by a
ruling is told apart here, and has a test of its own in `test_rulings.py`.
"""

import pytest
from hypothesis import given, settings

from imagereg.errors import ConfigurationError, RuleSyntaxError
from imagereg.policy.checks import And, Check, Never, Not, Or
from imagereg.policy.language import parse
from imagereg.policy.rules import RuleSet
from tests.policy import oracle, strategies
from tests.policy.strategies import Values

NORMAL = settings(max_examples=1000, deadline=None, database=None)
LONG = settings(max_examples=20_000, deadline=None, database=None)

#: Renders as no text that a rule could hold, which is what a null has to do (P-3).
NOTHING = "\0"


def check_decisions(
    texts: dict[str, object], questions: list[tuple[Values, Values]]
) -> None:
    """Check that every question about every rule is answered as by the reference."""
    reference = oracle.Oracle.of_texts(texts)
    try:
        rules = RuleSet.from_texts(texts)
    except ConfigurationError as refused:
        # A circle: the reference answers 500 once it goes all the way round (P-2).
        assert "refers to itself" in refused.message
        return
    for credentials, target in questions:
        for action in [*texts, "unknown"]:
            ours = rules.decide(credentials, action, target).allowed
            try:
                theirs = reference.allows(action, target, without_null(credentials))
            except oracle.OracleFailed:
                theirs = False  # It answers 500, we refuse (P-2).
            assert ours is theirs, (action, credentials, target)


def without_null(value: Values) -> Values:
    """Return credentials whose nulls equal nothing, for the reference (P-3)."""
    return {name: _without_null(inner) for name, inner in value.items()}


def _without_null(value: object) -> object:
    if isinstance(value, dict):
        return without_null(value)
    if isinstance(value, list):
        return [_without_null(inner) for inner in value]
    return NOTHING if value is None else value


def check_text(text: str) -> None:
    """Check that a text is refused for a reason, or read as by the reference."""
    try:
        check = parse(text)
    except RuleSyntaxError:
        assert oracle.is_refused_text(text) or oracle.is_broken(text)
        return
    assert check == Never() or not oracle.is_refused_text(text)
    assert shape(check) == oracle.shape(text)


def shape(check: Check) -> oracle.Shape:
    """Return the tree of ``check`` in the form that `oracle.shape` has."""
    match check:
        case Not(inner):
            return ("not", shape(inner))
        case And(parts):
            return oracle.flat("and", map(shape, parts))
        case Or(parts):
            return oracle.flat("or", map(shape, parts))
    return str(check)


@NORMAL
@given(strategies.RULE_SETS, strategies.QUESTIONS)
def test_rules_decide_as_in_the_reference(
    texts: dict[str, object], questions: list[tuple[Values, Values]]
) -> None:
    check_decisions(texts, questions)


@NORMAL
@given(strategies.NEAR_MISSES)
def test_texts_are_read_as_in_the_reference(text: str) -> None:
    check_text(text)


@pytest.mark.long
@LONG
@given(strategies.RULE_SETS, strategies.QUESTIONS)
def test_many_rules_decide_as_in_the_reference(
    texts: dict[str, object], questions: list[tuple[Values, Values]]
) -> None:
    check_decisions(texts, questions)


@pytest.mark.long
@LONG
@given(strategies.NEAR_MISSES)
def test_many_texts_are_read_as_in_the_reference(text: str) -> None:
    check_text(text)
