"""What each kind of check answers, one table for each."""

import logging
from collections.abc import Iterator, Mapping

import pytest

from imagereg.errors import RuleFailed
from imagereg.model import Visibility
from imagereg.policy.rules import RuleSet


class Answers:
    """Stands in for remote servers: says ``answer`` and remembers the questions."""

    def __init__(self, answer: bool | None = True) -> None:
        self.answer = answer
        self.questions: list[tuple[str, str | None]] = []

    def __call__(
        self,
        url: str,
        rule: str | None,
        target: Mapping[str, object],
        credentials: Mapping[str, object],
    ) -> bool:
        self.questions.append((url, rule))
        if self.answer is None:
            raise RuleFailed("no answer")
        return self.answer


class Lazy(Mapping[str, object]):
    """A target that knows each value only when asked, and may not be walked."""

    def __getitem__(self, name: str) -> object:
        if name == "gone":
            raise KeyError(name)
        return name

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("a rule walked the target")

    def __len__(self) -> int:
        raise AssertionError("a rule measured the target")


def allows(
    text: str,
    credentials: Mapping[str, object] | None = None,
    target: Mapping[str, object] | None = None,
) -> bool:
    """Return what the rule ``text`` decides."""
    rules = RuleSet.from_texts({"it": text})
    given = {} if target is None else target
    return rules.decide(credentials or {}, "it", given).allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", True),
        ("@", True),
        ("!", False),
        ("not !", True),
        ("@ and @", True),
        ("@ and !", False),
        ("! and @", False),
        ("@ and @ and @", True),
        ("@ and @ and !", False),
        ("! or @", True),
        ("@ or !", True),
        ("! or !", False),
        ("! or ! or @", True),
        ("! or ! or !", False),
        ("not ! and !", False),
    ],
)
def test_operators_decide(text: str, allowed: bool) -> None:
    assert allows(text) is allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("not rule:no", True),
        ("rule:yes and rule:yes", True),
        ("rule:yes and rule:no", False),
        ("rule:no or rule:yes", True),
        ("rule:no or rule:no", False),
    ],
)
def test_operators_decide_by_what_they_refer_to(text: str, allowed: bool) -> None:
    rules = RuleSet.from_texts({"it": text, "yes": "@", "no": "!"})

    assert rules.decide({}, "it", {}).allowed is allowed


@pytest.mark.parametrize(
    ("text", "roles", "allowed"),
    [
        ("role:Admin", frozenset({"admin"}), True),
        ("role:admin", frozenset({"member"}), False),
        ("role:admin", ["ADMIN"], True),
        ("role:admin", ("admin",), True),
        ("role:%(role)s", {"boss"}, True),
        ("role:%(gone)s", {"boss"}, False),
        ("role:a%%b", ["A%B"], True),
        ("role:%(role)d", {"boss"}, False),
        ("role:admin", None, False),
        ("not role:admin", None, False),
        ("not role:admin", "admin", False),
        ("not role:admin", [None], False),
    ],
)
def test_roles_are_compared_in_lower_case(
    text: str, roles: object, allowed: bool
) -> None:
    assert allows(text, {"roles": roles}, {"role": "Boss"}) is allowed


@pytest.mark.parametrize("text", ["role:admin", "role:%(role)s"])
def test_without_roles_no_role_matches(text: str) -> None:
    assert not allows(text, {}, {"role": "admin"})


@pytest.mark.parametrize(
    ("text", "target", "allowed"),
    [
        ("'public':%(visibility)s", {"visibility": "public"}, True),
        ("'public':%(visibility)s", {"visibility": Visibility.PUBLIC}, True),
        ("'public':%(visibility)s", {"visibility": "private"}, False),
        ("'public':%(visibility)s", {}, False),
        ("'public':public", {}, True),
        ("'public':private", {}, False),
        ("'':%(name)s", {"name": ""}, True),
        ("5:%(size)s", {"size": 5}, True),
        ("0x10:16", {}, True),
        ("'5%%':%(size)s%%", {"size": 5}, False),
        ("'a-b':%(x)s-%(y)s", {"x": "a", "y": "b"}, True),
        ("'a-b':%(x)s-%(y)s", {"x": "a"}, False),
        ("None:%(owner)s", {"owner": None}, True),
        ("True:%(flag)s", {"flag": True}, True),
        ("'\\d':%(name)s", {"name": "\\d"}, True),
    ],
)
def test_literals_equal_what_the_target_says(
    text: str, target: dict[str, object], allowed: bool
) -> None:
    assert allows(text, {}, target) is allowed


CREDENTIALS = {
    "user_id": "u",
    "project_id": None,
    "is_admin": True,
    "roles": frozenset({"member"}),
    "level": 5,
    "code": "5",
    "token": {
        "level": 7,
        "user": {"id": "u"},
        "projects": [{"id": "p"}, {}, {"id": "q"}],
        "groups": ({"id": "f"}, {"id": "g"}),
    },
}


@pytest.mark.parametrize(
    ("text", "target", "allowed"),
    [
        ("user_id:%(owner)s", {"owner": "u"}, True),
        ("user_id:%(owner)s", {"owner": "v"}, False),
        ("user_id:%(owner)s", {}, False),
        ("user_id:u", {}, True),
        ("gone:%(owner)s", {"owner": "u"}, False),
        ("gone:u", {}, False),
        ("is_admin:True", {}, True),
        ("is_admin:true", {}, False),
        ("is_admin:1", {}, False),
        ("level:%(min)s", {"min": 5}, True),
        ("user_id:%(number)s", {"number": 5}, False),
        ("code:%(number)s", {"number": 5}, True),
        ("roles:member", {}, True),
        ("roles:Member", {}, False),
        ("roles:%(role)s", {"role": "member"}, True),
        ("token.user.id:%(owner)s", {"owner": "u"}, True),
        ("token.gone.id:%(owner)s", {"owner": "u"}, False),
        ("token.level:%(level)s", {"level": 7}, True),
        ("not user_id.foo:%(gone)s", {}, True),  # the target is asked first
        ("token.projects.id:q", {}, True),
        ("token.projects.id:r", {}, False),
        ("token.groups.id:g", {}, True),
        ("token.groups.id:h", {}, False),
        ("user_id:%(a.b)s", {"a.b": "u"}, True),
        ("user_id:%(a.b)s", {"a": {"b": "u"}}, False),
    ],
)
def test_credentials_are_found_by_their_path(
    text: str, target: dict[str, object], allowed: bool
) -> None:
    assert allows(text, CREDENTIALS, target) is allowed


@pytest.mark.parametrize(
    "text",
    [
        "user_id.foo:x",
        "project_id.foo:x",
        "roles.foo:x",
        "user_id:%(name)d",
        "role:%(name)c",
        "role:%(large)c",  # beyond the last character
        "user_id:%(huge)d",  # more digits than Python writes
        "http://nobody.set/this/up",
    ],
)
def test_what_cannot_be_judged_refuses_under_not_as_well(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    target = {"name": "long", "large": 1 << 40, "huge": 1 << 20_000}

    with caplog.at_level(logging.WARNING):
        answers = (
            allows(text, CREDENTIALS, target),
            allows(f"not {text}", CREDENTIALS, target),
        )

    assert answers == (False, False)
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("user_id.foo:x", "no `foo` within a str"),
        ("user_id:%(name)d", "`%(name)d` does not suit: %d format"),
        ("role:admin", "roles are a list, not a str"),
        ("http://host/%(gone)s", "the target lacks a field of `http://host/%(gone)s`"),
        ("http://host/", "`http://host/` cannot be asked"),
        ("user_id:%(digits)s", "Exceeds the limit"),
        ("not 'x':%(digits)s", "Exceeds the limit"),
    ],
)
def test_the_log_says_why_a_rule_cannot_be_judged(
    text: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    target = {"name": "long", "digits": 10**5000}

    allows(text, {"user_id": "u", "roles": "admin"}, target)

    (message,) = caplog.messages
    assert message.startswith(f"rule it cannot be judged: {why}")


def test_a_role_is_a_text(caplog: pytest.LogCaptureFixture) -> None:
    assert not allows("not role:admin", {"roles": ["member", 5]})
    assert caplog.messages == ["rule it cannot be judged: a role is not a text"]


def test_only_the_fields_that_a_rule_reads_are_asked_of_a_target() -> None:
    text = "'x':%(gone)s or 'lazy':%(a)s or 'of-b':of-%(b)s"

    assert allows(text, {}, Lazy())


@pytest.mark.parametrize(("answer", "allowed"), [(True, True), (False, False)])
def test_a_server_is_asked_about_the_rule_that_is_enforced(
    answer: bool, allowed: bool
) -> None:
    remote = Answers(answer)
    rules = RuleSet.from_texts(
        {"show": "rule:ask", "ask": "http://host/%(id)s"}, remote=remote
    )

    assert rules.decide({}, "show", {"id": "i"}).allowed is allowed
    assert remote.questions == [("http://host/i", "show")]


@pytest.mark.parametrize(
    "text",
    [
        "not http://host/%(id)s",
        "http://host/%(id)s and @",
        "@ and http://host/%(id)s",
        "@ and @ and http://host/%(id)s",
        "http://host/%(id)s or !",
        "! or http://host/%(id)s",
        "! or ! or http://host/%(id)s",
    ],
)
def test_operators_hand_on_the_question(text: str) -> None:
    remote = Answers()
    rules = RuleSet.from_texts({"it": text}, remote=remote)

    rules.decide({}, "it", {"id": "i"})

    assert remote.questions == [("http://host/i", "it")]


def test_no_answer_refuses_under_not_as_well() -> None:
    rules = RuleSet.from_texts({"it": "not https:x"}, remote=Answers(None))

    assert not rules.decide({}, "it", {}).allowed


def test_an_incomplete_url_is_not_asked() -> None:
    remote = Answers()
    rules = RuleSet.from_texts({"it": "not http://host/%(id)s"}, remote=remote)

    assert not rules.decide({}, "it", {}).allowed
    assert remote.questions == []


@pytest.mark.parametrize("rule", ["a:%(n)s", "'1':%(n)s", "a:%(n)d"])
def test_a_number_that_cannot_be_written_refuses(rule: str) -> None:
    # Python writes no integer of more than 4300 digits.
    rules = RuleSet.from_texts({"x": rule})

    assert not rules.decide({"a": "1"}, "x", {"n": 10**5000}).allowed
