"""`imagereg policy matrix` and `diff`."""

from pathlib import Path

import pytest

from tests.cli.policy_runs import ORIGIN, PROTECTIONS, run


@pytest.mark.parametrize(
    ("output", "holds"),
    [
        ("text", "│ yes │ 403 │"),
        ("csv", "actions,delete_image,private,own,forbidden"),
        ("json", '"action": "delete_image"'),
        ("html", "<!doctype html>"),
    ],
)
def test_the_matrix_has_four_forms(rules: Path, output: str, holds: str) -> None:
    result = run("matrix", "--policy", rules, "--output", output)

    assert result.exit_code == 0
    assert holds in result.output


def test_the_matrix_can_be_cut_and_extended() -> None:
    result = run(
        *("matrix", "--policy", ORIGIN, "--action", "publicize_image"),
        *("--as", "bob:roles=admin", "--output", "csv"),
    )

    rows = result.output.splitlines()[1:]
    assert {row.split(",")[1] for row in rows} == {"publicize_image"}
    assert "actions,publicize_image,private,bob,allow" in rows


def test_the_matrix_shows_properties() -> None:
    result = run(
        *("matrix", "--policy", ORIGIN, "--protections", PROTECTIONS),
        *("--format", "policies", "--property", "x_none_read", "--action", "none"),
    )

    assert "│ x_none_read │ create               │ yes   │ 403    │" in result.output


def test_diff_tells_who_gains_and_who_loses(tmp_path: Path) -> None:
    wider = run("diff", "defaults", ORIGIN)
    narrower = run("diff", ORIGIN, "defaults", "--exit-code")
    same = run("diff", ORIGIN, ORIGIN, "--exit-code")

    assert "+ rdr gains add_image: 403 -> yes" in wider.output
    assert "- rdr loses add_image: yes -> 403" in narrower.output
    assert (wider.exit_code, narrower.exit_code) == (0, 1)
    assert (same.exit_code, same.output) == (0, "nobody gains or loses anything\n")


def test_diff_tells_who_is_answered_otherwise(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text('{"delete_image": "!"}')
    new.write_text('{"delete_image": "!", "get_image": "role:admin"}')

    result = run("diff", old, new)

    assert "~ oth is told otherwise delete_image (community, public): 403 -> 404" in (
        result.output
    )


def test_diff_compares_protections(tmp_path: Path) -> None:
    old, new = tmp_path / "old.conf", tmp_path / "new.conf"
    old.write_text("[^x$]\ncreate=a\nread=a\nupdate=a\ndelete=a\n")
    new.write_text("[^x$]\ncreate=a\nread=b\nupdate=a\ndelete=a\n")

    result = run(
        *("diff", ORIGIN, ORIGIN, "--old-protections", old),
        *("--new-protections", new),
    )

    assert result.output.splitlines() == [
        "+ b gains x (read): 403 -> yes",
        "- a loses x (read): yes -> 403",
    ]
