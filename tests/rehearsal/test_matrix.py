"""Tables of who may do what, and the difference of two policies."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from imagereg.policy.actions import DEFAULTS
from imagereg.policy.rules import load_rule_set
from imagereg.protection.rules import parse_protections
from imagereg.rehearsal.files import know_policies
from imagereg.rehearsal.matrix import (
    Difference,
    action_table,
    compare,
    find_properties,
    find_roles,
    property_table,
)
from imagereg.rehearsal.personas import LEGEND, UNASKED
from imagereg.rehearsal.questions import Answer, Rehearsal
from imagereg.rehearsal.tables import csv_text, html_text, json_text
from tests.policy.persona_matrix import MATRIX, OPERATIONS, Cell

RULES = load_rule_set(None)
ORIGIN = load_rule_set(Path(__file__).parents[2] / "policies" / "policy.json")
PROTECTIONS = parse_protections(
    "[^x$]\ncreate=billing\nread=@\nupdate=!\ndelete=!\n"
    "[(?!)]\ncreate=@\nread=@\nupdate=@\ndelete=@\n",
    "roles",
    know_policies(RULES),
)
DEFAULTS_TABLE = action_table(Rehearsal.of(RULES))
PROTECTED = Rehearsal.of(RULES, PROTECTIONS)


def test_every_action_that_a_request_asks_has_a_row() -> None:
    assert {row.name for row in DEFAULTS_TABLE.rows} == {*DEFAULTS} - UNASKED


@pytest.mark.parametrize("cell", MATRIX, ids=str)
def test_the_table_agrees_with_the_persona_matrix(cell: Cell) -> None:
    action = OPERATIONS[cell.operation][-1]
    if cell.operation.startswith("make "):
        action = OPERATIONS[cell.operation][0]

    (row,) = (
        row
        for row in DEFAULTS_TABLE.rows
        if row.name == action and cell.visibility in row.subject.split(", ")
    )

    answer = row.answers[DEFAULTS_TABLE.columns.index(cell.persona)]
    assert (answer is Answer.ALLOW) is cell.allowed
    assert (
        cell.allowed
        or str(cell.status) == {"forbidden": "403", "hidden": "404"}[answer]
    )


def test_properties_are_shown_by_role() -> None:
    names, roles = find_properties(PROTECTED), find_roles(PROTECTED)

    table = property_table(PROTECTED, names, roles)

    yes, no = Answer.ALLOW, Answer.FORBIDDEN
    assert names == ("x", "any_other")
    assert table.columns == ("admin", "member", "reader", "billing", "(none)")
    assert [(row.name, row.subject, row.answers) for row in table.rows] == [
        ("x", "create", (no, no, no, yes, no)),
        ("x", "read", (yes,) * 5),
        ("x", "update, delete", (no,) * 5),
        ("any_other", "create, read, update, delete", (no,) * 5),
    ]


def test_without_protections_there_are_usual_roles_and_no_sections() -> None:
    plain = Rehearsal.of(RULES)

    assert find_roles(plain) == ("admin", "member", "reader")
    assert find_properties(plain) == ("any_other",)


def test_the_difference_says_who_gains_and_loses() -> None:
    found = compare(DEFAULTS_TABLE, action_table(Rehearsal.of(ORIGIN)))

    gained = Difference(
        "add_image", "", "rdr", before=Answer.FORBIDDEN, after=Answer.ALLOW
    )
    assert gained in found
    assert gained.gains
    assert not gained.loses
    assert not any(each.loses for each in found)
    assert not any("private" in e.subject and e.row == "get_image" for e in found)


def test_equal_tables_do_not_differ() -> None:
    assert compare(DEFAULTS_TABLE, DEFAULTS_TABLE) == ()


def test_csv_has_a_row_for_each_cell() -> None:
    rows = [*csv.DictReader(csv_text([DEFAULTS_TABLE]).splitlines())]

    assert {
        "table": "actions",
        "name": "get_image",
        "subject": "private",
        "caller": "oth",
        "answer": "hidden",
    } in rows


def test_json_maps_callers_to_answers() -> None:
    document = json.loads(json_text([DEFAULTS_TABLE]))

    first = document["actions"][0]
    assert (first["action"], first["visibility"]) == ("add_image", [])
    assert first["answers"]["rdr"] == "forbidden"


def test_html_stands_alone() -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.cells = 0
            self.links: list[str | None] = []

        def handle_starttag(
            self, tag: str, attrs: list[tuple[str, str | None]]
        ) -> None:
            self.cells += tag == "td"
            self.links += [value for name, value in attrs if name in ("src", "href")]

    text = html_text([DEFAULTS_TABLE], LEGEND, "a <b> & c")
    reader = Reader()
    reader.feed(text)

    assert "a &lt;b&gt; &amp; c" in text
    assert reader.cells == len(DEFAULTS_TABLE.rows) * (len(LEGEND) + 1)
    assert reader.links == []
