"""The mapping of users to projects and roles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.errors import ConfigurationError
from imagereg.identity.accounts import Account, parse_accounts, with_account

MEMBER = frozenset({"member", "reader"})


def test_a_user_without_section_is_a_member_of_his_own_project() -> None:
    assert parse_accounts("").of("alice") == Account("alice", "alice", MEMBER)


def test_sections_and_defaults() -> None:
    accounts = parse_accounts(
        "[*]\nroles = reader\ndomain = lab\n"
        "[alice]\nproject = p1\nroles = Member , ops,\nuser_id = 7\n"
        "[DEFAULT]\nproject = p2\n[root]\nroles = admin\ndisabled = TRUE\n"
    )
    assert accounts.of("alice") == Account("7", "p1", MEMBER | {"ops"}, "lab")
    assert accounts.of("bob") == Account("bob", "bob", frozenset({"reader"}), "lab")
    assert accounts.of("DEFAULT").project == "p2"
    assert accounts.of("root") == Account(
        "root", "root", MEMBER | {"admin"}, "lab", disabled=True
    )


def test_no_roles_are_no_roles() -> None:
    assert parse_accounts("[a]\nroles =\n").of("a").roles == frozenset()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a]\nrole = x\n", r"\[a\] role: unknown option"),
        ("[a]\ndisabled = yes\n", r"\[a\] disabled: not true or false"),
        ("[*]\nuser_id = 7\n", r"\[\*\] user_id: two users cannot share one id"),
        ("[a]\nroles\n", "not an INI file of users"),
        ("project = x\n", "line 1: not an INI file of users"),
        ("[a]\nroles = x\nroles = y\n", "line 3: not an INI file of users"),
        ("[a]\n[a]\n", "line 2: not an INI file of users"),
    ],
)
def test_a_wrong_file_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        parse_accounts(text)


NAMES = st.sampled_from(["a", "b", "DEFAULT", "x y"])
VALUES = st.text("abc,%$ ", max_size=6).map(str.strip)


@given(
    st.lists(
        st.tuples(
            NAMES,
            st.dictionaries(st.sampled_from(["project", "roles", "domain"]), VALUES),
        ),
        max_size=6,
    )
)
def test_changes_are_read_back_and_leave_the_rest(
    changes: list[tuple[str, dict[str, str]]],
) -> None:
    text = "# ours\n[b]\n; kept\nproject = p\n\n[z]\nproject = q\n"
    expected: dict[str, dict[str, str]] = {"b": {"project": "p"}, "z": {"project": "q"}}
    for name, change in changes:
        text = with_account(text, name, change)
        expected.setdefault(name, {}).update(change)
    assert parse_accounts(text).sections == expected
    assert "# ours" in text
    assert "; kept" in text


def test_an_option_is_removed() -> None:
    text = with_account("[a]\ndisabled = true\nproject = p\n", "a", {"disabled": None})
    assert text == "[a]\nproject = p\n"
