"""Every denial of the persona matrix is explained, and the explanation holds."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from imagereg.model import Caller, Operation
from imagereg.policy.actions import Action
from imagereg.policy.rules import load_rule_set
from imagereg.protection.rules import parse_protections
from imagereg.rehearsal.files import know_policies, load_rehearsal
from imagereg.rehearsal.personas import PERSONAS, make_image, subject_for
from imagereg.rehearsal.questions import (
    Question,
    Rehearsal,
    SameSubject,
    Stage,
    actions_for,
)
from imagereg.rehearsal.reasons import Account, account_for, apply_remedy
from imagereg.rehearsal.specs import image_from, parse_caller
from tests.policy import persona_matrix
from tests.policy.persona_matrix import MATRIX, OPERATIONS, Cell

DEFAULTS = Rehearsal.of(load_rule_set(None))
ORIGIN = Rehearsal.of(
    load_rule_set(Path(__file__).parents[2] / "policies" / "policy.json")
)
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
    check_remedies(DEFAULTS, question_of(cell))


@pytest.mark.parametrize("cell", MATRIX, ids=str)
def test_so_does_every_denial_with_the_origins_rules(cell: Cell) -> None:
    question = question_of(cell)

    if not ORIGIN.ask(question).allowed:
        check_remedies(ORIGIN, question)


def check_remedies(rehearsal: Rehearsal, question: Question) -> None:
    """Check that each change that is named helps, and that all of it is needed."""
    account = account_for(rehearsal, question)

    assert account.remedies
    for remedy in account.remedies:
        assert rehearsal.ask(apply_remedy(question, remedy)).allowed
        for needless in remedy:
            less = tuple(change for change in remedy if change is not needless)
            assert not rehearsal.ask(apply_remedy(question, less)).allowed


def ask(
    caller: str,
    action: Action,
    image: Mapping[str, object] | None = None,
    rules: str = "{}",
    tmp: Path | None = None,
) -> Account:
    rehearsal = DEFAULTS
    if tmp is not None:
        (tmp / "policy.json").write_text(rules)
        rehearsal = Rehearsal.of(load_rule_set(tmp / "policy.json"))
    subject = image_from(image) if image else subject_for(action)
    question = Question(parse_caller(caller), actions_for(action), subject)
    return account_for(rehearsal, question)


def ways(account: Account) -> list[list[str]]:
    return [[*map(str, remedy)] for remedy in account.remedies]


@pytest.mark.parametrize(
    ("caller", "action", "image", "stage", "way"),
    [
        (
            "roles=member,project=p",
            Action.DELETE_IMAGE,
            {"owner": "p", "protected": True},
            Stage.STATE,
            ["set protected of the image to `False`"],
        ),
        (
            "roles=member,project=p,user=u",
            Action.DOWNLOAD_IMAGE,
            {"owner": "p", "status": "deactivated"},
            Stage.STATE,
            ["give the caller role `admin`"],
        ),
        (
            "anonymous=true",
            Action.ADD_IMAGE,
            {},
            Stage.ANONYMOUS,
            ["let the caller show who it is", "give the caller role `admin`"],
        ),
        (
            "roles=admin,system_scope=all",
            Action.GET_IMAGES,
            {},
            Stage.SCOPE,
            ["let the caller have no system_scope"],
        ),
        (
            "roles=foo,project=p",
            Action.DELETE_IMAGE,
            {"visibility": "public"},
            Stage.RULE,
            ["give the caller role `admin`"],
        ),
        (
            "rdr",
            Action.MODIFY_METADEF_NAMESPACE,
            {},
            Stage.RULE,
            ["give the caller role `admin`"],
        ),
    ],
)
def test_every_stage_has_a_way_out(
    caller: str, action: Action, image: dict[str, object], stage: Stage, way: list[str]
) -> None:
    account = ask(caller, action, image)

    assert account.verdict.stage is stage
    assert ways(account)[0] == way


def test_ownership_refuses_what_an_open_rule_allows(tmp_path: Path) -> None:
    account = ask(
        "oth",
        Action.DELETE_IMAGE,
        {"owner": "p", "visibility": "public"},
        '{"delete_image": ""}',
        tmp_path,
    )

    assert account.verdict.stage is Stage.OWNERSHIP
    assert account.explanation is not None
    assert account.explanation.decision.allowed
    assert ways(account)[0] == ["let the caller act in project `p`"]


def test_a_rule_that_refuses_everyone_has_no_way_out(tmp_path: Path) -> None:
    rules = '{"delete_image": "rule:restricted"}'

    account = ask("own", Action.DELETE_IMAGE, None, rules, tmp_path)

    assert account.remedies == ()


def test_a_deactivated_image_can_be_reactivated(tmp_path: Path) -> None:
    rules = '{"context_is_admin": "!"}'
    image = {"owner": "p", "status": "deactivated"}

    account = ask(
        "roles=member,project=p", Action.DOWNLOAD_IMAGE, image, rules, tmp_path
    )

    assert ways(account) == [["set status of the image to `active`"]]


def test_an_image_can_be_shared() -> None:
    account = ask("oth", Action.GET_MEMBERS, {"owner": "p", "visibility": "private"})

    assert ways(account)[0] == [
        "set visibility of the image to `shared`",
        "share the image with the caller's project",
    ]


def test_the_rule_that_hides_the_image_is_told_too() -> None:
    account = ask("svc", Action.MODIFY_IMAGE, {"owner": "p", "visibility": "public"})

    assert account.shown is not None
    assert account.shown.decision.action == Action.GET_IMAGE


@pytest.mark.parametrize(
    ("rule_format", "value", "way"),
    [
        ("roles", "billing", ["give the caller role `billing`"]),
        ("policies", "context_is_admin", ["give the caller role `admin`"]),
        ("policies", "role:auditor", ["give the caller role `auditor`"]),
        ("policies", "project_id:%(owner)s", ["let the caller act in project `p`"]),
        ("roles", "!", None),
    ],
)
def test_a_protection_names_its_way_out(
    rule_format: str, value: str, way: list[str] | None
) -> None:
    rules = load_rule_set(None)
    keys = "\n".join(f"{operation} = {value}" for operation in Operation)
    protections = parse_protections(
        f"[^x$]\n{keys}\n", rule_format, know_policies(rules), "pp.conf"
    )
    rehearsal = Rehearsal.of(rules, protections)
    image = image_from({"owner": "p", "visibility": "public"})
    caller = parse_caller("roles=reader,project=q")
    question = Question(caller, ("get_image",), image, Operation.READ, "x")

    account = account_for(rehearsal, question)

    assert account.verdict.stage is Stage.PROTECTION
    assert account.verdict.section is not None
    assert account.verdict.section.line == 1
    assert ways(account)[:1] == ([way] if way else [])


def test_without_a_section_nothing_helps() -> None:
    rules = load_rule_set(None)
    protections = parse_protections(
        "[^y$]\ncreate=@\nread=@\nupdate=@\ndelete=@\n",
        "roles",
        know_policies(rules),
    )
    question = Question(Caller(), (), SameSubject(), Operation.READ, "x")

    account = account_for(Rehearsal.of(rules, protections), question)

    assert account.explanation is None
    assert account.remedies == ()


def test_protections_of_a_file_are_asked_as_the_gate_asks_them(tmp_path: Path) -> None:
    file = tmp_path / "pp.conf"
    keys = "\n".join(f"{op} = role:%(owner)s" for op in Operation)
    file.write_text(f"[x]\n{keys}\n")
    rehearsal = load_rehearsal(load_rule_set(None), file, "policies")
    image = image_from({"owner": "p", "visibility": "public"})

    for roles in ("p", "q"):
        caller = parse_caller(f"roles=reader,{roles}")
        question = Question(caller, (), image, Operation.READ, "x")
        verdicts = rehearsal.gate.rights.verdicts(caller, Operation.READ, image.image)

        assert rehearsal.ask(question).allowed is verdicts["x"]
