"""Every denial of the persona matrix is explained, and the explanation holds."""

import pytest

from imagereg.policy.rules import load_rule_set
from imagereg.rehearsal.personas import PERSONAS, make_image
from imagereg.rehearsal.questions import Question, Rehearsal
from imagereg.rehearsal.reasons import account_for, apply_remedy
from tests.policy import persona_matrix
from tests.policy.persona_matrix import MATRIX, OPERATIONS, Cell

DEFAULTS = Rehearsal.of(load_rule_set(None))
STATUS = {"allow": True, "forbidden": 403, "hidden": 404}


def question_of(cell: Cell) -> Question:
    return Question(
        persona_matrix.PERSONAS[cell.persona],
        OPERATIONS[cell.operation],
        make_image(cell.visibility),
    )


def test_the_personas_of_the_tables_are_those_of_the_contract() -> None:
    assert PERSONAS == persona_matrix.PERSONAS


@pytest.mark.parametrize("cell", MATRIX, ids=str)
def test_the_gate_answers_as_the_persona_matrix_says(cell: Cell) -> None:
    verdict = DEFAULTS.ask(question_of(cell))

    assert STATUS[verdict.answer] == (cell.allowed or cell.status)


@pytest.mark.parametrize("cell", [c for c in MATRIX if not c.allowed], ids=str)
def test_every_denial_names_changes_that_allow_it(cell: Cell) -> None:
    question = question_of(cell)

    account = account_for(DEFAULTS, question)

    assert account.remedies
    for remedy in account.remedies:
        assert DEFAULTS.ask(apply_remedy(question, remedy)).allowed
        for needless in remedy:
            less = tuple(change for change in remedy if change is not needless)
            assert not DEFAULTS.ask(apply_remedy(question, less)).allowed
