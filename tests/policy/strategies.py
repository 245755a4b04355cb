"""Random rules, near misses of rules, credentials and targets."""

from itertools import product

from hypothesis import strategies as st

Values = dict[str, object]

_WORDS = ("a", "b", "A", "p1", "None", "True", "5", "public", "ä")
NAMES = ("r0", "r1", "r2", "r3")

_FIELDS = ("project_id", "owner", "visibility", "number", "flag", "tags", "a.b", "gone")
_HOLES = tuple(f"%({name})s" for name in _FIELDS)
_ODD_HOLES = (
    *("%(number)d", "%(flag)r", "%(owner)5s", "%%", "%(visibility)s-%(owner)s"),
    "%(a)d",
)
_MATCHES = (*_WORDS, *_HOLES, *_HOLES, *_ODD_HOLES)
_LITERALS = ("'a'", '"public"', "None", "True", "5", "0x5", "[]", "{}", "''", "-5")
_PATHS = (
    *("user_id", "project_id", "is_admin", "roles", "gone", "ROLE", "service_roles"),
    *("token.user.id", "token.projects.id", "token.gone.id", "user_id.x", "nested"),
    *("user-id", "True.x", "token", "token.projects", "ä"),
)
# Each leaf is one draw, because drawing is what a random case costs.
_ROLES = tuple(f"role:{match}" for match in _MATCHES)
_RULES = tuple(f"rule:{name}" for name in (*NAMES, "default", "zz"))
_LITERAL = tuple(map(":".join, product(_LITERALS, _MATCHES)))
_CREDENTIAL = tuple(map(":".join, product(_PATHS, _MATCHES)))
LEAVES = st.one_of(
    *map(st.sampled_from, (_ROLES, _RULES, _LITERAL, _CREDENTIAL, ("@", "!")))
)

_SHAPES = st.sampled_from(
    [
        *("({0})", "( {0} )", "not {0}", "NOT {0}", "not ({0})", "{0}"),
        *("{0} and {1}", "{0} And {1}", "({0} and\t{1})", "{0} and ({1})"),
        *("{0} or {1}", "{0} OR {1}", "({0} or  {1})", "{0} or ({1})"),
        *("{0} or {1} and {0}", "{0} and {1} or {0}", "{0} or not {1}"),
    ]
)


def _written(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return rules written from ``leaves``, with blanks and letter case at random."""
    return st.recursive(
        leaves,
        lambda inner: st.builds(_shape, _SHAPES, inner, inner),
        max_leaves=5,
    )


def _shape(shape: str, first: str, second: str) -> str:
    return shape.replace("{1}", second).replace("{0}", first)


RULES = _written(LEAVES)

_LISTED = st.one_of(LEAVES, st.sampled_from(["role:a b", ""]))
LISTS = st.lists(st.one_of(_LISTED, st.lists(LEAVES, max_size=3)), max_size=3)

_SCRAPS = st.sampled_from(
    [
        *("(", ")", "()", "and", "or", "not", "foo", '"foo"', "'a':'b'", "role:", ":x"),
        *("class:x", "1x:y", "$a:b", "a b", "user_id:100%", "role:%(x", "%(owner)s:a"),
        *(
            "user_id:%(owner)q",
            "user_id:%s",
            "a..b:c",
            "'a' 'b':c",
            "(role:a",
            "role:a)",
        ),
        *("'\\d':a", "[1:a", "0x:y", "rule", "user_id:%", "user_id:%d"),
    ]
)
NEAR_MISSES = st.one_of(
    _written(st.one_of(LEAVES, _SCRAPS)),
    st.lists(st.one_of(LEAVES, _SCRAPS, st.text(max_size=3)), max_size=5).map(" ".join),
    st.text(max_size=12),
)


_VALUES = st.sampled_from([*_WORDS, 5, True, False, None])
CREDENTIALS = st.fixed_dictionaries(
    {},
    optional={
        "roles": st.lists(st.sampled_from(["a", "A", "b", "public", "ä"]), max_size=3),
        "service_roles": st.lists(st.sampled_from(_WORDS), max_size=2),
        "user_id": _VALUES,
        "project_id": _VALUES,
        "is_admin": st.booleans(),
        "ROLE": _VALUES,
        "nested": st.lists(st.lists(_VALUES, max_size=1), max_size=2),
        "user-id": _VALUES,
        "ä": _VALUES,
        "token": st.fixed_dictionaries(
            {},
            optional={
                "user": st.fixed_dictionaries({"id": _VALUES}),
                "projects": st.lists(
                    st.fixed_dictionaries({}, optional={"id": _VALUES}), max_size=2
                ),
            },
        ),
    },
)
TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "project_id": st.sampled_from([*_WORDS, None]),
        "owner": st.sampled_from([*_WORDS, None]),
        "visibility": st.sampled_from(["public", "private"]),
        "number": st.sampled_from([5, 7]),
        "flag": st.booleans(),
        "tags": st.lists(st.sampled_from(_WORDS), max_size=2),
        "a.b": st.sampled_from(_WORDS),
        "a": st.sampled_from(_WORDS),
    },
)
QUESTIONS = st.lists(st.tuples(CREDENTIALS, TARGETS), min_size=1, max_size=2)
RULE_SETS = st.dictionaries(
    st.sampled_from([*NAMES, "default"]),
    st.one_of(RULES, RULES, LISTS),
    min_size=1,
    max_size=3,
)
