"""Verdicts: who may do what to which property."""

import re
import threading
from collections.abc import Iterable

import pytest

from imagereg.errors import UnknownRule
from imagereg.model import Operation
from imagereg.protection import guard as guard_module
from imagereg.protection.guard import PropertyGuard, Reason, Verdicts
from imagereg.protection.rules import (
    PolicyFacts,
    Protections,
    Section,
    parse_protections,
)
from tests.protection.files import policies, roles, section

CREATE, READ, UPDATE, DELETE = Operation


def never(text: str) -> bool:
    raise AssertionError(f"{text} was asked")


def ask(
    protections: Protections | None,
    operation: Operation,
    caller: Iterable[str] = (),
) -> Verdicts:
    return PropertyGuard(protections).verdicts(operation, frozenset(caller), never)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(
    ("values", "caller", "allowed"),
    [
        ("@", [], True),
        ("@", ["admin"], True),
        ("!", ["admin"], False),
        ("", ["admin"], False),
        (",", ["admin"], False),
        ("admin,!", ["admin"], False),
        ("admin,@", [], True),
        ("admin", ["admin", "member"], True),
        ("admin", ["member"], False),
        ("admin", [], False),
        ("Admin, OPERATOR", ["operator"], True),
        ("spl_role", ["admin"], False),
    ],
)
def test_decisions_by_role(
    operation: Operation, values: str, caller: list[str], allowed: bool
) -> None:
    text = f"[x]\ncreate={values}\nread={values}\nupdate={values}\ndelete={values}\n"
    protections = parse_protections(text, "roles", lambda _: PolicyFacts())

    assert ask(protections, operation, caller)["x"] is allowed


def test_each_operation_has_its_own_rule() -> None:
    protections = roles(("x", "a b c d"))

    allowed = {
        (operation.value, role)
        for operation in Operation
        for role in "abcd"
        if ask(protections, operation, [role])["x"]
    }

    assert allowed == {
        ("create", "a"),
        ("read", "b"),
        ("update", "c"),
        ("delete", "d"),
    }


@pytest.mark.parametrize(
    ("header", "name", "matches"),
    [
        ("x_none_read", "x_none_read", True),
        ("x_none_read", "my_x_none_read_too", True),
        ("x", "max_age", True),
        ("^x_none_read$", "my_x_none_read_too", False),
        ("X", "max_age", False),
        ("(?i)^license", "LICENSE_key", True),
        ("^x_[ab]$", "x_b", True),
        ("^x_[ab]$", "x_c", False),
        ("^(cpu|mem)_[0-9]+$", "mem_12", True),
        ("^(cpu|mem)_[0-9]+$", "cpu_", False),
        ("a{3}", "baaad", True),
        ("_post$", "x_post", True),
        ("^a/b$", "a/b", True),
        ("ü", "xüx", True),
        ("with space", "a with space b", True),
    ],
)
def test_headers_are_searched_for_in_the_name(
    header: str, name: str, matches: bool
) -> None:
    protections = roles((header, "@ @ @ @"))

    assert ask(protections, READ)[name] is matches


def test_the_first_match_decides_alone() -> None:
    protections = roles(
        ("x_special", "@ @ @ @"),
        ("x_", "admin admin admin admin"),
        ("x_late", "@ @ @ @"),
        (".*", "@ @ @ @"),
    )

    verdicts = ask(protections, READ)

    names = ("x_special", "x_a", "x_late", "y")
    assert [verdicts[name] for name in names] == [True, False, False, True]


@pytest.mark.parametrize("operation", Operation)
def test_a_name_that_no_section_matches_is_denied(operation: Operation) -> None:
    protections = roles(("^x_", "@ @ @ @"))

    assert ask(protections, operation, ["admin"])["free"] is False


@pytest.mark.parametrize("operation", Operation)
def test_without_a_file_every_name_is_free(operation: Operation) -> None:
    assert ask(None, operation)["anything"] is True


@pytest.mark.parametrize("operation", Operation)
def test_the_services_own_names_are_never_covered(operation: Operation) -> None:
    protections = roles((".*", "! ! ! !"))

    verdicts = ask(protections, operation)

    assert verdicts["os_glance_importing"] is True
    assert verdicts["x_os_glance"] is False


def test_service_roles_count_because_the_caller_joins_them() -> None:
    protections = roles(("^x_owner_", "owner_role member ! !"))

    verdicts = ask(protections, CREATE, {"member"} | {"owner_role"})

    assert verdicts["x_owner_a"] is True


def test_a_policy_is_asked_once_however_many_names_it_decides() -> None:
    protections = policies(("^x_", "p p p p"), ("^y_", "p role:q ! @"))
    asked = []

    def answer(text: str) -> bool:
        asked.append(text)
        return text == "p"

    verdicts = PropertyGuard(protections).verdicts(CREATE, frozenset(), answer)

    assert [verdicts[f"{kind}_{n}"] for kind in "xy" for n in range(50)] == [True] * 100
    assert asked == ["p"]


@pytest.mark.parametrize(
    ("operation", "name", "allowed"),
    [
        (CREATE, "y_1", True),
        (READ, "y_1", False),
        (UPDATE, "y_1", False),
        (DELETE, "y_1", True),
    ],
)
def test_decisions_by_policy(operation: Operation, name: str, allowed: bool) -> None:
    protections = policies(("^y_", "p role:q ! @"))

    verdicts = PropertyGuard(protections).verdicts(
        operation, frozenset({"admin"}), lambda text: text == "p"
    )

    assert verdicts[name] is allowed


def test_a_policy_that_vanished_refuses(caplog: pytest.LogCaptureFixture) -> None:
    guard = PropertyGuard(policies(("^x_", "p p p p")))

    def vanished(text: str) -> bool:
        raise UnknownRule("no such rule")

    verdicts = guard.verdicts(READ, frozenset({"admin"}), vanished)

    assert verdicts["x_a"] is verdicts["x_b"] is False
    assert caplog.messages == ["property rule `p` refuses everyone: no such rule"]


def test_whether_an_image_matters_is_known_for_each_operation() -> None:
    text = section("^x_", "! id:%(owner)s ! !")
    facts = PolicyFacts(frozenset({"owner"}))
    guard = PropertyGuard(parse_protections(text, "policies", lambda _: facts))

    assert guard.reads_target
    assert [op for op in Operation if guard.fields_read(op)] == [READ]
    assert guard.verdicts(READ, frozenset(), never).reads_target
    assert not guard.verdicts(CREATE, frozenset(), never).reads_target


def test_no_image_matters_where_no_rule_reads_one() -> None:
    assert not PropertyGuard(roles(("x", "a b ! @"))).reads_target


def test_no_image_matters_without_a_file() -> None:
    guard = PropertyGuard(None)

    assert not guard.reads_target
    assert guard.fields_read(READ) == frozenset()
    assert not guard.verdicts(READ, frozenset(), never).reads_target
    assert guard.protections is None


class CountingPattern:
    """A pattern that counts, in one place, the names it was tried on."""

    def __init__(self, text: str, tried: list[str]) -> None:
        self._pattern = re.compile(text)
        self._tried = tried
        self.pattern = text

    def search(self, name: str) -> re.Match[str] | None:
        self._tried.append(name)
        return self._pattern.search(name)


def counting(tried: list[str], answers: str) -> Protections:
    """Return fifty sections that count, under one policy or role value."""
    make = policies if answers == "p" else roles
    values = " ".join([answers] * 4)
    protections = make(*((f"^s{n}_", values) for n in range(50)))
    counted = tuple(
        Section(each.name, each.line, CountingPattern(each.name, tried), each.rules)  # type: ignore[arg-type]  # counts
        for each in protections.sections
    )
    return Protections("pp.conf", "roles", counted)


@pytest.mark.parametrize("each_image_anew", [False, True])
def test_a_listing_evaluates_each_distinct_name_once(each_image_anew: bool) -> None:
    tried: list[str] = []
    guard = PropertyGuard(counting(tried, "p"))
    names = [f"s49_{n}" for n in range(100)]
    verdicts = guard.verdicts(READ, frozenset(), bool)

    for _ in range(1000):
        if each_image_anew:
            verdicts = guard.verdicts(READ, frozenset(), bool)
        assert all(verdicts[name] for name in names)

    assert len(tried) == 100 * 51


def test_verdicts_keep_what_was_asked() -> None:
    verdicts = ask(roles(("x", "@ @ @ @")), READ)

    asked = [verdicts["x"], verdicts["y"]]

    assert asked == [True, False]
    assert verdicts == {"x": True, "y": False}


def test_names_from_users_do_not_pile_up() -> None:
    guard = PropertyGuard(roles((".*", "@ @ @ @")))
    verdicts = guard.verdicts(READ, frozenset(), never)

    assert guard._table
    most = 0
    for number in range(10_000):
        assert verdicts[f"name_{number}"]
        most = max(most, len(guard._table._found))

    assert most == guard_module._CACHED_NAMES


def test_threads_may_share_a_guard() -> None:
    guard = PropertyGuard(roles(("^a", "@ @ @ @"), ("^b", "! ! ! !")))
    wrong: list[str] = []

    def work() -> None:
        for number in range(1000):
            verdicts = guard.verdicts(READ, frozenset(), never)
            if not verdicts[f"a{number}"] or verdicts[f"b{number}"]:
                wrong.append(str(number))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


HAS = "the caller has role `admin`"
LACKS = "the caller lacks role `admin` or `member`"
NO_MATCH = "no section matches the name, so it is denied to everyone"


@pytest.mark.parametrize(
    ("name", "caller", "reason"),
    [
        ("x", ["admin"], Reason(True, HAS, "^x", 6, "pp.conf", "Admin, member", 8)),
        ("x", [], Reason(False, LACKS, "^x", 6, "pp.conf", "Admin, member", 8)),
        ("free", [], Reason(True, "everyone may", "^free$", 1, "pp.conf", "@", 3)),
        ("shut", [], Reason(False, "nobody may", "^shut$", 11, "pp.conf", "!", 13)),
        (
            "os_glance_x",
            [],
            Reason(True, "everyone may", "^os_glance", 0, "pp.conf", "@", 0),
        ),
        ("other", [], Reason(False, NO_MATCH, file="pp.conf")),
    ],
)
def test_the_deciding_section_is_named(
    name: str, caller: list[str], reason: Reason
) -> None:
    text = (
        section("^free$", "@ @ @ @")
        + section("^x", "! Admin,_member ! !").replace(",_", ", ")
        + section("^shut$", "! ! ! !")
    )
    protections = parse_protections(text, "roles", lambda _: PolicyFacts(), "pp.conf")
    guard = PropertyGuard(protections)

    assert guard.verdict_section(READ, name, frozenset(caller), never) == reason


def test_what_no_section_decides_has_no_lines() -> None:
    reason = PropertyGuard(roles(("^y", "! ! ! !"))).verdict_section(
        READ, "x", frozenset(), never
    )

    assert (reason.line, reason.rule_line) == (0, 0)


@pytest.mark.parametrize(
    ("answer", "why"),
    [(True, "policy `p` allows it"), (False, "policy `p` refuses it")],
)
def test_the_deciding_policy_is_named(answer: bool, why: str) -> None:
    guard = PropertyGuard(policies(("x", "p p p p")))

    reason = guard.verdict_section(READ, "x", frozenset(), lambda _: answer)

    assert (reason.allowed, reason.why) == (answer, why)


@pytest.mark.parametrize(
    ("operation", "rule", "line"),
    [(CREATE, "p", 2), (READ, "role:q", 3), (UPDATE, "!", 4), (DELETE, "@", 5)],
)
def test_the_deciding_value_of_a_policy_file_is_named(
    operation: Operation, rule: str, line: int
) -> None:
    guard = PropertyGuard(policies(("x", "p role:q ! @")))

    reason = guard.verdict_section(operation, "x", frozenset(), lambda _: True)

    assert (reason.rule, reason.rule_line) == (rule, line)


def test_the_roles_that_would_do_are_named_in_order() -> None:
    guard = PropertyGuard(roles(("x", "! e,b,a,d,c ! !")))

    reason = guard.verdict_section(READ, "x", frozenset(), never)

    assert reason.why == "the caller lacks role `a` or `b` or `c` or `d` or `e`"


def test_without_a_file_the_reason_says_so() -> None:
    reason = PropertyGuard(None).verdict_section(READ, "x", frozenset(), never)

    why = "no property-protection file is in use"
    assert reason == Reason(True, why, section="", line=0, file="", rule="")


def test_verdicts_by_roles_are_shared_between_requests() -> None:
    guard = PropertyGuard(roles(("^a", "@ member @ @")))
    member, admin = frozenset({"member"}), frozenset({"admin"})

    first = guard.verdicts(READ, member, never)

    assert first["a"]
    assert guard.verdicts(READ, frozenset({"member"}), never) is first
    assert not guard.verdicts(READ, admin, never)["a"]
    assert guard.verdicts(UPDATE, member, never) is not first


def test_verdicts_by_policies_are_made_for_each_request() -> None:
    guard = PropertyGuard(policies(("^a", "@ is_mine @ @")))

    mine = guard.verdicts(READ, frozenset(), lambda _: True)["a"]
    theirs = guard.verdicts(READ, frozenset(), lambda _: False)["a"]

    assert mine
    assert not theirs


def test_shared_verdicts_do_not_pile_up() -> None:
    guard = PropertyGuard(roles((".*", "@ @ @ @")))
    most, long = 0, "n" * 300

    for number in range(2000):
        verdicts = guard.verdicts(READ, frozenset(), never)
        assert verdicts[f"name_{number}"]
        most = max(most, len(verdicts))
    for number in range(100):
        guard.verdicts(READ, frozenset({f"role_{number}"}), never)

    assert most == guard_module._KEPT_NAMES
    assert guard._table
    assert len(guard._table._kept) <= guard_module._KEPT_ROLES
    assert not verdicts[long]
    assert long not in verdicts
    assert long not in guard._table._found
