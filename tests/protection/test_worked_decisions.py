"""The worked decisions of the contract, row by row, as verdicts.

Rows about HTTP answers and other rooms (16 to 18, 28 in part) stand here with the
verdict that they follow from.  Source: contract property-protection 6.
"""

import pytest

from imagereg.model import Operation
from imagereg.protection.guard import PropertyGuard
from tests.protection.files import roles

SECTIONS = [
    ("^x_owner_.*", "admin,owner_role admin,member admin,owner_role admin"),
    ("^x_ro$", "admin @ ! admin"),
    ("^x_secret$", "admin ! ! !"),
    ("^x_w$", "member admin admin admin"),
    (".*", "@ @ @ @"),
]


@pytest.mark.parametrize(
    ("row", "caller", "operation", "name", "allowed"),
    [
        (1, "member", "create", "x_owner_a", False),
        (2, "owner_role,member", "create", "x_owner_a", True),
        (2, "owner_role,member", "read", "x_owner_a", True),
        (3, "member", "read", "x_owner_a", True),
        (4, "reader", "read", "x_owner_a", False),
        (5, "reader", "read", "x_owner_a", False),
        (6, "owner_role", "update", "x_owner_a", True),
        (6, "owner_role", "read", "x_owner_a", False),
        (7, "owner_role,member", "read", "x_owner_a", True),
        (7, "owner_role,member", "delete", "x_owner_a", False),
        (8, "admin", "delete", "x_owner_a", True),
        (9, "admin", "create", "x_ro", True),
        (9, "admin", "update", "x_ro", False),
        (10, "admin", "delete", "x_ro", True),
        (11, "", "read", "x_ro", True),
        (12, "admin", "create", "x_secret", True),
        (12, "admin", "read", "x_secret", False),
        (13, "admin", "update", "x_secret", False),
        (14, "admin", "delete", "x_secret", False),
        (15, "member", "create", "x_w", True),
        (15, "member", "read", "x_w", False),
        (15, "admin", "read", "x_w", True),
        (16, "member", "update", "x_w", False),
        (19, "member", "read", "x_w", False),
        (20, "admin", "read", "x_w", True),
        (21, "member", "create", "free", True),
        (24, "member,owner_role", "create", "x_owner_a", True),
        (25, "admin,member,reader", "create", "x_owner_a", True),
        (26, "member", "create", "os_glance_x", True),  # reserved before we are asked
        (27, "member", "create", "my_x_ro", True),
        (28, "member", "create", "x_ro", False),
        (29, "reader", "read", "x_owner_a", False),
        (30, "member", "create", "x_owner_a", False),
    ],
)
def test_worked_decision(
    row: int, caller: str, operation: str, name: str, allowed: bool
) -> None:
    caller_roles = frozenset(filter(None, caller.split(",")))
    guard = PropertyGuard(roles(*SECTIONS))

    verdicts = guard.verdicts(Operation(operation), caller_roles, lambda _: False)

    assert verdicts[name] is allowed, f"row {row}"


@pytest.mark.parametrize(
    ("row", "operation"),
    [(22, "create"), (22, "update"), (22, "delete"), (23, "read")],
)
def test_without_the_last_section_all_other_names_are_denied(
    row: int, operation: str
) -> None:
    guard = PropertyGuard(roles(*SECTIONS[:-1]))

    verdicts = guard.verdicts(
        Operation(operation), frozenset({"admin"}), lambda _: False
    )

    assert verdicts["free"] is False, f"row {row}"


@pytest.mark.parametrize(
    ("values", "caller", "granted"),
    [
        ("admin,billing admin,billing admin,billing admin,billing", "billing", "crud"),
        (
            "admin,billing admin,billing,member admin,billing admin,billing",
            "member",
            "r",
        ),
        ("admin @ admin admin", "", "r"),
        ("admin @ admin admin", "admin", "crud"),
        ("admin,member admin,member admin,member admin", "member", "cru"),
        ("@ @ ! !", "", "cr"),
        ("! ! ! !", "admin", ""),
        ("@ @ @ @", "", "crud"),
    ],
)
def test_wishes_of_administrators(values: str, caller: str, granted: str) -> None:
    guard = PropertyGuard(roles(("^x_billing_code_.*", values)))
    caller_roles = frozenset(filter(None, [caller]))

    allowed = [
        operation.value[0]
        for operation in Operation
        if guard.verdicts(operation, caller_roles, lambda _: False)["x_billing_code_1"]
    ]

    assert "".join(allowed) == granted
