"""Files of cases: how they are read, and what running them tells."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError, Invalid
from imagereg.rehearsal.cases import find_case_files, load_cases
from imagereg.rehearsal.reports import junit_lines
from imagereg.rehearsal.runs import Result, Runner, run_file

POLICIES = Path(__file__).parents[2] / "policies"
SAMPLES = find_case_files([POLICIES])


def write(tmp_path: Path, text: str, name: str = "x.cases.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def run(tmp_path: Path, text: str) -> Result:
    file = load_cases(write(tmp_path, text))
    (result,) = run_file(Runner.for_file(file), file)
    return result


def fault_of(path: Path) -> str:
    with pytest.raises((ConfigurationError, Invalid)) as caught:
        load_cases(path)
    return caught.value.message.replace(f"{path}", "F")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_shipped_cases_hold(path: Path) -> None:
    file = load_cases(path)

    results = run_file(Runner.for_file(file), file)

    assert [result.fault for result in results if not result.passed] == []


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_shipped_cases_cover_their_policy(path: Path) -> None:
    file = load_cases(path)
    runner = Runner.for_file(file)

    run_file(runner, file)

    assert runner.coverage.missed == ()
    assert runner.coverage.percent == 100


@pytest.mark.parametrize(
    ("case", "fault"),
    [
        ("{caller: own, action: delete_image, expect: allow}", ""),
        ("{caller: own, action: add_image, expect: allow}", ""),
        ("{caller: own, action: add_image, image: {owner: x}, expect: deny}", ""),
        ("{caller: rdr, action: delete_image, expect: forbidden}", ""),
        ("{caller: oth, action: delete_image, expect: hidden}", ""),
        ("{caller: oth, action: delete_image, expect: deny}", ""),
        (
            "{caller: own, action: delete_image, expect: allow, decided_by: x}",
            "expected rule `x` to decide, not `delete_image`",
        ),
        (
            "{caller: own, action: delete_image, expect: hidden}",
            "expected hidden, got allow: rule `delete_image` (built-in default) allows",
        ),
        (
            "{caller: oth, action: delete_image, expect: allow}",
            "expected allow, got hidden: stored data hide the image",
        ),
        (
            "{caller: {roles: [member], project: p}, action: delete_image,"
            " image: {owner: p, protected: true}, expect: allow}",
            "expected allow, got forbidden: the rules allow it, the state of",
        ),
        ("{caller: {roles: []}, property: x, expect: allow}", ""),
        (
            "{caller: own, property: x, expect: allow, section: y}",
            "expected section [y] to decide, not []",
        ),
        ("{creds: {roles: [admin]}, rule: publicize_image, expect: true}", ""),
        ("{creds: {}, target: {a: b}, rule: publicize_image, expect: false}", ""),
        ("{rule: publicize_image, expect: true}", "expected allow, got forbidden: "),
        ("{caller: own, action: get_image, target: {}, expect: deny}", ""),
        (
            "{caller: {roles: [admin], domain_id: d}, action: get_images,"
            " expect: deny}",
            "",
        ),
    ],
)
def test_a_case_passes_or_says_why_not(tmp_path: Path, case: str, fault: str) -> None:
    result = run(tmp_path, f"- {case}")

    assert result.fault.startswith(fault)
    assert result.passed is not bool(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cases: []", "`F` holds no list of cases"),
        ("just text", "`F` holds no list of cases"),
        ("a: [", "`F` is neither JSON nor YAML: while parsing"),
        ("polcy: x\ncases: [{rule: a, expect: true}]", "F: unknown key `polcy`; did"),
        ("- x", "F: case 1: a case is a mapping"),
        ("- {rule: a, expect: maybe}", "F: case 1: `expect` is allow, deny"),
        ("- {rule: a, expct: true}", "F: case 1: unknown key `expct`; did you mean"),
        ("- {rule: a, creds: x, expect: true}", "F: case 1: `creds` is a mapping"),
        ("- {expect: allow}", "F: case 1: a case names an `action`, a `property`"),
        (
            "- {name: n, action: delete_imag, expect: allow}",
            "F: case `n`: there is no action `delete_imag`; did you mean",
        ),
        (
            "- {property: x, operation: change, expect: allow}",
            "F: case 1: `change` is no operation on a property",
        ),
        (
            "- {action: get_image, caller: nobody, expect: allow}",
            "F: case 1: there is no caller `nobody`",
        ),
        (
            "- {action: get_image, image: nothing, expect: allow}",
            "F: case 1: there is no image `nothing`",
        ),
        (
            "callers: []\ncases: [{rule: a, expect: true}]",
            "F: `callers` maps names to callers",
        ),
        (
            "images: {a: {size: x}}\ncases: [{rule: a, expect: true}]",
            "F: images: `a`: `size` is a whole number, not `x`",
        ),
        (
            "- {name: n, rule: a, expect: true}\n- {name: n, rule: a, expect: true}",
            "F: two cases are named `n`",
        ),
    ],
)
def test_faults_of_a_file(tmp_path: Path, text: str, fault: str) -> None:
    assert fault_of(write(tmp_path, text)).startswith(fault)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "gone.cases.json").startswith("`F` cannot be read")


def test_files_are_found_in_directories_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    first = write(tmp_path / "sub", "[]", "a.cases.json")
    write(tmp_path, "[]", "b.yaml")
    named = write(tmp_path, "[]", "c.yaml")

    assert find_case_files([tmp_path, named]) == (named, first)
    with pytest.raises(Invalid):
        find_case_files([tmp_path / "gone"])


def test_coverage_names_what_no_case_tried(tmp_path: Path) -> None:
    write(tmp_path, '{"get_image": "role:a or role:b", "get_images": "!"}', "p.json")
    write(tmp_path, "[x]\ncreate=a\nread=a\nupdate=a\ndelete=a\n", "pp.conf")
    path = write(
        tmp_path,
        "policy: p.json\nprotections: pp.conf\ncases:\n"
        "- {caller: {roles: [a]}, action: get_image, image: {visibility: public},"
        " property: x, expect: allow}\n"
        "- {caller: {roles: [b]}, property: y, expect: deny}\n"
        "- {caller: {roles: [admin], system_scope: all}, action: get_image,"
        " expect: deny}\n",
    )
    file = load_cases(path)
    runner = Runner.for_file(file)

    run_file(runner, file)

    assert runner.coverage.missed == (
        "get_images: no case asks this rule",
        "get_image: `role:a` was never false",
        "get_image: `role:b` was never false",
        "get_image: `role:b` was never true",
        "[x] create: no case",
        "[x] delete: no case",
        "[x] update: no case",
    )
    assert runner.coverage.counts == {
        "rules": (1, 2),
        "branches": (1, 5),
        "sections": (1, 4),
    }


def test_without_files_the_built_in_rules_are_covered(tmp_path: Path) -> None:
    file = load_cases(write(tmp_path, "- {rule: get_image, expect: false}"))
    runner = Runner.for_file(file)

    run_file(runner, file)

    assert runner.coverage.counts["rules"] == (2, 69)


def test_an_empty_policy_is_covered_by_nothing(tmp_path: Path) -> None:
    write(tmp_path, "[x]\ncreate=a\nread=a\nupdate=a\ndelete=a\n", "pp.conf")
    text = "protections: pp.conf\ncases: [{rule: get_image, expect: false}]"
    file = load_cases(write(tmp_path, text))
    runner = Runner.for_file(file)
    runner.coverage.sections = frozenset()

    assert runner.coverage.percent == 100


def test_a_rule_that_cannot_be_judged_is_asked_but_not_tried(tmp_path: Path) -> None:
    write(tmp_path, '{"get_image": "user_id.x:y"}', "p.json")
    text = "policy: p.json\ncases: [{creds: {user_id: u}, rule: get_image, expect: no}]"
    path = write(tmp_path, text.replace("no}", "false}"))
    file = load_cases(path)
    runner = Runner.for_file(file)

    (result,) = run_file(runner, file)

    assert result.passed
    assert runner.coverage.counts == {"rules": (1, 1), "branches": (0, 2)}


def test_another_policy_can_be_put_in_place(tmp_path: Path) -> None:
    policy = write(tmp_path, '{"get_images": "!"}', "p.json")
    protections = write(tmp_path, "[.*]\ncreate=!\nread=!\nupdate=!\ndelete=!\n", "c")
    path = write(
        tmp_path,
        "format: policies\ncases:\n"
        "- {caller: adm, action: get_images, expect: deny}\n"
        "- {caller: adm, property: x, expect: deny}\n",
    )
    file = load_cases(path)

    results = run_file(Runner.for_file(file, policy, protections), file)

    assert all(result.passed for result in results)


def test_junit_counts_and_tells_failures(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        json.dumps(
            [
                {"name": 'a "<good>"\n', "rule": "default", "expect": True},
                {"name": "bad", "rule": "default", "expect": False},
            ]
        ),
        "j.cases.json",
    )
    file = load_cases(path)
    results = {path: run_file(Runner.for_file(file), file)}

    suite = ET.fromstring("\n".join(junit_lines(results)).encode())[0]

    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ['a "<good>"?', "bad"]
    assert "expected forbidden or hidden" in str(suite[1][0].get("message"))
