"""Query strings of lists.  Source: contract api-images 10."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagereg.api.list_query import NUMBERS, ListRequest, parse, split_quoted
from imagereg.db.listing import Condition
from imagereg.db.words import SORT_KEYS
from imagereg.errors import Invalid
from imagereg.model import Caller, MemberStatus

CALLER = Caller(project_id="p")
LARGEST = 2**63 - 1
NEWEST = (("created_at", False), ("id", False))


def asked(query: str) -> ListRequest:
    """Return what a query string asks for."""
    return parse(query, CALLER, default=25, largest=1000)


@pytest.mark.parametrize(
    ("query", "conditions"),
    [
        ("name=n", [Condition("name", "=", ("n",))]),
        ("name=eq:n", [Condition("name", "=", ("n",))]),
        ("name=eq:a:b", [Condition("name", "=", ("a:b",))]),
        ("name=in:a,b", [Condition("name", "IN", ("a", "b"))]),
        ('status=in:"a,b",c', [Condition("status", "IN", ("a,b", "c"))]),
        ("id=in:", [Condition("id", "IN", ())]),
        ("name=", [Condition("name", "=", ("",))]),
        ("name=a&name=b", [Condition("name", "=", ("b",))]),
        ("size=5", [Condition("size", "=", (5,))]),
        ("size_min=5", [Condition("size", ">=", (5,))]),
        ("min_ram_max=-5", [Condition("min_ram", "<=", (-5,))]),
        ("min_disk_min=1&min_disk_max=2", None),
        (f"size_min={'9' * 50}", [Condition("size", ">=", (LARGEST,))]),
        (f"size_max=-{'9' * 50}", [Condition("size", "<=", (-LARGEST,))]),
        ("checksum=x:y", [Condition("checksum", "=", ("x:y",))]),
        ("owner=in:a", [Condition("owner", "=", ("in:a",))]),
        ("protected=true", [Condition("protected", "=", (True,))]),
        (
            "created_at=gte:1970-01-01T00:00:01Z",
            [Condition("created_at_us", ">=", (1_000_000,))],
        ),
        (
            "updated_at=1970-01-01T01:00:00%2B01:00",
            [Condition("updated_at_us", "=", (0,))],
        ),
        (
            "updated_at=neq:1970-01-01 01:00:00 01:00",
            None,
        ),
        ("created_at=lt:1970-01-01", [Condition("created_at_us", "<", (0,))]),
        ("deleted=true&limit=1&marker=x", []),
    ],
)
def test_filters_on_fields(query: str, conditions: list[Condition] | None) -> None:
    try:
        found = list(asked(query).query.conditions)
    except Invalid:
        found = []

    assert conditions is None or found == conditions


@pytest.mark.parametrize(
    "query",
    [
        *("limit=x", "limit=-1", "limit=1.0", "limit=", "limit=%201_0", "limit=٣"),
        *("visibility=x", "visibility=Public", "member_status=x", "os_hidden=x"),
        *("protected=True", "protected=", "changes-since=2001-01-01T00:00:00Z"),
        *("name=gt:x", "name=x:y", "status=IN:a", 'name=in:"a', 'name=in:a"b"'),
        *('name=in:"a"b', "created_at=x", "created_at=xx:2001-01-01", "created_at="),
        *("created_at=gte:", "created_at=10:00", "size_min=", "size_max=x"),
        *("foo_min=1", "name_max=1", "created_at_min=1", "_min=1"),
        *("sort=x", "sort=", "sort=name:up", "sort=name:", "sort=name,,id"),
        *("sort_key=x", "sort_key=", "sort_dir=x", "sort_key=name&sort_dir="),
        *("sort=name&sort_key=name", "sort=name&sort_dir=asc"),
        *("sort_dir=asc&sort_dir=asc", "name=%ff", "%ff=x", "name=%ed%a0%80"),
        "sort_key=name&sort_key=id&sort_key=size&sort_dir=asc&sort_dir=asc",
        "&".join(["tag=x"] * 1001),
        "&".join(f"tag={number}" for number in range(301)),
        "&".join(f"p{number}=x" for number in range(301)),
    ],
)
def test_malformed_parameters_are_refused(query: str) -> None:
    with pytest.raises(Invalid):
        asked(query)


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ("", 25),
        ("limit=0", 0),
        ("limit=7", 7),
        ("limit=1000000", 1000),
        (f"limit={'9' * 5000}", 1000),
        (f"limit={'0' * 30}5", 5),
        (f"limit={'+' * 30}5{'+' * 3}", 5),
        ("limit=00", 0),
        ("limit=3&limit=4", 4),
    ],
)
def test_limits(query: str, limit: int) -> None:
    assert asked(query).query.limit == limit


def test_a_default_beyond_the_largest_page_is_cut() -> None:
    assert parse("", CALLER, default=25, largest=10).query.limit == 10


@pytest.mark.parametrize(
    ("query", "sort"),
    [
        ("", NEWEST),
        ("sort=name", (("name", False), *NEWEST)),
        ("sort=name:asc", (("name", True), ("created_at", True), ("id", True))),
        ("sort=name:asc,size:desc", (("name", True), ("size", False), *NEWEST)),
        ("sort= name : asc , id", (("name", True), ("id", False), NEWEST[0])),
        ("sort=id", (("id", False), ("created_at", False))),
        ("sort_key=name", (("name", False), *NEWEST)),
        ("sort_dir=asc", (("created_at", True), ("id", True))),
        (
            "sort_key=name&sort_key=size&sort_dir=asc",
            (("name", True), ("size", True), ("created_at", True), ("id", True)),
        ),
        (
            "sort_key=name&sort_dir=asc&sort_key=size&sort_dir=desc",
            (("name", True), ("size", False), *NEWEST),
        ),
        ("sort=name:asc,name:desc", (("name", True), *NEWEST)),
    ],
)
def test_sorting(query: str, sort: tuple[tuple[str, bool], ...]) -> None:
    assert asked(query).query.sort == sort


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("visibility=all", "visibility", "all"),
        ("visibility=", "impossible", True),
        ("member_status=all", "member_status", None),
        ("member_status=pending", "member_status", MemberStatus.PENDING),
        ("os_hidden=TRUE", "os_hidden", True),
        ("os_hidden=True&os_hidden=FALSE", "os_hidden", False),
        ("tag=a&tag=+b+&tag=a", "tags", ("a", "b")),
        ("size=x", "impossible", True),
        ("size=", "impossible", True),
        ("name=%00", "impossible", True),
        ("%00=x", "impossible", True),
        ("tag=%00", "impossible", True),
        ("project_id=other", "project_id", "p"),
        ("is_admin=true", "is_admin", False),
    ],
)
def test_special_filters(query: str, field: str, value: object) -> None:
    assert getattr(asked(query).query, field) == value


@pytest.mark.parametrize(
    ("query", "properties"),
    [
        ("a=b&c=", {"a": "b", "c": ""}),
        ("a=b&a=c", {"a": "c"}),
        ("a.b=in:c,d", {"a.b": "in:c,d"}),
        ("properties=x&locations=y&members=z", None),
        ("Name=x", {"Name": "x"}),
    ],
)
def test_any_other_name_is_a_property(
    query: str, properties: dict[str, str] | None
) -> None:
    found = asked(query).properties

    assert found == (
        properties or {"properties": "x", "locations": "y", "members": "z"}
    )


@pytest.mark.parametrize(
    ("query", "first", "after"),
    [
        ("", "/v2/images", "/v2/images?marker=m"),
        ("limit=2", "/v2/images?limit=2", "/v2/images?limit=2&marker=m"),
        ("marker=x", "/v2/images", "/v2/images?marker=m"),
        ("tag=x&tag=y", "/v2/images?tag=x&tag=y", "/v2/images?tag=x&tag=y&marker=m"),
        ("a=%C3%BC%26", "/v2/images?a=%C3%BC%26", "/v2/images?a=%C3%BC%26&marker=m"),
    ],
)
def test_links_keep_every_parameter(query: str, first: str, after: str) -> None:
    request = asked(query)

    assert (request.link(None), request.link("m")) == (first, after)


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []),
        (",,", []),
        ("a,b", ["a", "b"]),
        ('"a,b",c', ["a,b", "c"]),
        (r'"a\"b"', ['a"b']),
        ('""', [""]),
        (r"a\b", [r"a\b"]),
        ("a b", ["a b"]),
    ],
)
def test_quoted_lists(text: str, elements: list[str]) -> None:
    assert split_quoted(text) == elements


NAMES = st.sampled_from(
    [
        *("limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "tag"),
        *("member_status", "os_hidden", "protected", "name", "status", "id", "owner"),
        *("created_at", "updated_at", "checksum", "deleted", "changes-since"),
        *NUMBERS,
        *(f"{name}_{end}" for name in (*NUMBERS, "x", "") for end in ("min", "max")),
    ]
)
PREFIXES = st.sampled_from(
    ["", "in:", "eq:", "gt:", "gte:", "lt:", "lte:", "neq:", "x:", '"', " "]
)
TEXTS = st.one_of(
    st.text(max_size=40),
    st.integers().map(str),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    st.sampled_from([*SORT_KEYS, "asc", "desc", ":", "all", "true"]),
    st.text('0123456789 -+_.:,"\\TZ', max_size=40),
)
VALUES = st.builds(str.__add__, PREFIXES, TEXTS)


@given(st.lists(st.tuples(st.one_of(NAMES, st.text(max_size=20)), VALUES), max_size=6))
@example([("limit", " " * 30 + "5")])
@example([("limit", "\x1f1")])
@example([("created_at", "gt:0001-01-01T00:00:00+23:59")])
@example([("created_at", "9999-12-31T23:59:59-23:59")])
@example([("size_min", "1_0")])
def test_nothing_but_invalid_is_ever_raised(pairs: list[tuple[str, str]]) -> None:
    query = urlencode(
        [(n.encode("utf-8", "replace"), v.encode("utf-8", "replace")) for n, v in pairs]
    )

    try:
        request = asked(query)
    except Invalid:
        return

    numbers = [v for c in request.query.conditions for v in c.values if type(v) is int]
    assert all(abs(number) <= LARGEST for number in numbers)
    assert 0 <= request.query.limit <= 1000
    assert request.query.sort[-1][0] in ("id", "created_at")
    assert {key for key, _ in request.query.sort} >= {"id", "created_at"}
    again = asked(request.link(None).partition("?")[2])
    assert again.query == request.query


@given(st.text('%&=;+ab0:",.éx\x00', max_size=60))
def test_no_query_string_breaks_the_parser(text: str) -> None:
    try:
        asked(quote(text, safe="%&=;+"))
    except Invalid:
        return
