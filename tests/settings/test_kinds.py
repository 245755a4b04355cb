"""The kinds of values."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.settings import kinds, special
from imagereg.settings.kinds import Kind, bracketed, choice, integer, names

KINDS: dict[str, Kind[Any]] = {
    "bool": kinds.BOOL,
    "int": integer(),
    "positive": integer(1),
    "port": kinds.PORT,
    "text": kinds.TEXT,
    "choice": choice("x", "y"),
    "folded": choice("x", "y", fold=True),
    "list": names(),
    "known": names("x", "y"),
    "bracketed": bracketed(),
    "brackets": bracketed("x", "y"),
    "ports": kinds.PORTS,
    "pairs": kinds.PAIRS,
    "quota": kinds.QUOTA,
    "host": kinds.HOST,
    "networks": kinds.NETWORKS,
    "url": kinds.HTTP_URL,
    "path": kinds.PATH,
    "paths": kinds.CONFIG_PATHS,
    "hash": special.HASH,
    "flavor": special.FLAVOR,
    "backends": special.BACKENDS,
    "uri": special.FILE_URI,
    "database": special.DATABASE,
    "mode": special.MODE,
    "datadirs": special.DATADIRS,
    "levels": special.LEVELS,
    "folders": special.FOLDERS,
}

GOOD: list[tuple[str, str, object]] = [
    *[("bool", text, True) for text in ("true", "1", "on", "yes", "YES", "True")],
    *[("bool", text, False) for text in ("false", "0", "off", "no", "Off")],
    ("int", "5", 5),
    ("int", "-5", -5),
    ("int", "+5", 5),
    ("int", "007", 7),
    ("positive", "1", 1),
    ("port", "0", 0),
    ("port", "65535", 65535),
    ("text", "", ""),
    ("text", "a, b", "a, b"),
    ("choice", "x", "x"),
    ("folded", "X", "x"),
    ("list", "", ()),
    ("list", ",", ()),
    ("list", " a , b ", ("a", "b")),
    ("list", "a,,b", ("a", "", "b")),
    ("list", "a,", ("a",)),
    ("list", '"a,b",c', ('"a', 'b"', "c")),  # quotes do not hold a comma
    ("list", "[a]", ("[a]",)),
    ("list", "a,\nb", ("a", "b")),
    ("known", "y,x", ("y", "x")),
    ("bracketed", "[]", ()),
    ("bracketed", "[ a, b ]", ("a", "b")),
    ("bracketed", "[a,\nb]", ("a", "b")),
    ("brackets", "[y]", ("y",)),
    ("ports", "[80, 443]", (80, 443)),
    ("ports", "[]", ()),
    ("folders", "", ()),
    ("folders", "/a:/b/, /c d:/e/", ((Path("/a"), "/b/"), (Path("/c d"), "/e/"))),
    ("pairs", "", {}),
    ("pairs", "a:1, b : 2", {"a": "1", "b": "2"}),
    ("pairs", "a:1:2", {"a": "1:2"}),
    ("pairs", "a:", {"a": ""}),
    ("quota", "0", 0),
    ("quota", "10", 10),
    ("quota", "10B", 10),
    ("quota", "1KB", 1024),
    ("quota", "2MB", 2 * 1024**2),
    ("quota", "3GB", 3 * 1024**3),
    ("quota", "4TB", 4 * 1024**4),
    ("host", "a", "a"),
    ("host", "a-1.example.org.", "a-1.example.org."),
    ("host", "10.0.0.1", "10.0.0.1"),
    ("host", "::1", "::1"),
    ("networks", "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
    ("networks", "", ()),
    ("url", "http://h", "http://h"),
    ("url", "https://h:1/p?q", "https://h:1/p?q"),
    ("path", "a/b", Path("a/b")),
    ("paths", "a", (Path("a"),)),
    ("paths", "", ()),
    ("hash", "sha256", "sha256"),
    ("hash", "md5", "md5"),
    ("flavor", "", ""),
    ("flavor", "keystone", "keystone"),
    ("flavor", "trusted-headers+caching", "trusted-headers+caching"),
    ("flavor", "cachemanagement", "cachemanagement"),
    ("backends", "a:file,b:s3", {"a": "file", "b": "s3"}),
    ("backends", "", {}),
    ("uri", "file:///a%20b", "file:///a%20b"),
    ("database", "sqlite:///a", "sqlite:///a"),
    ("database", "postgresql+psycopg2://u@h/d", "postgresql+psycopg2://u@h/d"),
    ("database", "mysql://h/d?charset=utf8", "mysql://h/d?charset=utf8"),
    ("mode", "640", 0o640),
    ("mode", "0", 0),
    ("mode", "-1", 0),
    ("datadirs", "/a", ((Path("/a"), 0),)),
    ("datadirs", "/a:5", ((Path("/a"), 5),)),
    ("datadirs", "/a:b:-5", ((Path("/a:b"), -5),)),
    ("datadirs", "", ()),
    ("levels", "", ()),
    ("levels", "a.b=info, c = DEBUG", (("a.b", "INFO"), ("c", "DEBUG"))),
]

BAD: list[tuple[str, str]] = [
    *[("bool", text) for text in ("", "t", "y", "2", "none", "enabled")],
    *[("int", text) for text in ("x", "1.0", "0x10", "1_000", "5 5", "\u0665", "--1")],
    ("positive", "0"),
    ("port", "65536"),
    ("port", "-1"),
    *[("choice", text) for text in ("", "X", "z")],
    ("folded", "z"),
    ("known", "x,z"),
    *[("bracketed", text) for text in ("", "a", "[a", "a]")],
    ("brackets", "[z]"),
    *[("ports", text) for text in ("80", "[x]", "[65536]")],
    *[("folders", text) for text in ("/a", "a:/b/", "/a:b/", "/a:/b", "/a:/b//")],
    *[("folders", text) for text in ("/a:/b c/", "/a:/b\n/", "/a:/b/,/a:/c/")],
    *[("pairs", text) for text in ("a", ":1", "a:1,", "a:1,a:2")],
    *[("quota", text) for text in ("x", "1 GB", "1gb", "1.5GB", "-1", "1PB", "GB")],
    *[("host", text) for text in ("a_b", "[::1]", "1.2.3", "-a", "a..b", "::x", "a/8")],
    ("host", "1.2.3.4/8"),
    ("host", ".".join(["a" * 60] * 5)),
    *[("networks", text) for text in ("x", "10.0.0.1/8", "10.0.0.0/33")],
    *[("url", text) for text in ("h", "ftp://h", "http:/h", "http://", "http://a b")],
    *[("hash", text) for text in ("", "sha-512!", "shake_128")],
    *[("flavor", text) for text in ("Keystone", "keystone+", "x", "caching+keystone")],
    *[("backends", text) for text in ("a", "a:", "os_glance_x:file", "a/b:file")],
    *[("backends", text) for text in ("a:file,A:file", "OS_Glance_x:file", "..:file")],
    *[("uri", text) for text in ("/a", "file://a", "http:///a")],
    *[("database", text) for text in ("x", "oracle://h", "mysql", "mysql+://h")],
    *[("mode", text) for text in ("x", "648", "1777", "240")],
    *[("datadirs", text) for text in ("/a:b", "/a:", "/a:1:")],
    *[("levels", text) for text in ("a", "a=", "=INFO", "a=LOUD")],
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_good_texts_are_read(kind: str, text: str, value: object) -> None:
    assert KINDS[kind].read([text]) == value


@pytest.mark.parametrize(("kind", "text"), BAD)
def test_bad_texts_are_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        KINDS[kind].read([text])


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_what_is_shown_is_read_again(kind: str, text: str, value: object) -> None:
    shown = KINDS[kind].show(value)

    assert KINDS[kind].read(shown or [""]) == value


def test_every_kind_has_good_cases_and_all_that_can_fail_bad_ones() -> None:
    assert {kind for kind, _, _ in GOOD} == KINDS.keys()
    assert KINDS.keys() - {kind for kind, _ in BAD} == {"text", "path", "paths", "list"}


def test_only_the_last_text_of_a_scalar_counts() -> None:
    assert kinds.BOOL.read(["nonsense", "yes"]) is True


def test_every_text_of_a_repeatable_kind_counts() -> None:
    assert kinds.CONFIG_PATHS.read(["a", "", "b"]) == (Path("a"), Path("b"))
    assert special.DATADIRS.read(["/a:1", "/b"]) == ((Path("/a"), 1), (Path("/b"), 0))


def test_a_directory_with_two_priorities_is_refused() -> None:
    with pytest.raises(ValueError, match="two priorities"):
        special.DATADIRS.read(["/a:1", "/a:2"])


def test_bounds_are_said_in_words() -> None:
    assert integer(1, 5).words == "a whole number from 1 to 5"
    assert integer(1).words == "a whole number of at least 1"
    assert integer().words == "a whole number"


def test_an_unset_value_is_shown_as_nothing() -> None:
    assert kinds.HOST.show(None) == ("",)


@given(st.sampled_from(sorted(KINDS)), st.text())
def test_any_text_is_read_or_refused_with_words(kind: str, text: str) -> None:
    try:
        value = KINDS[kind].read([text])
    except ValueError as error:
        assert str(error)
    else:
        assert KINDS[kind].read(KINDS[kind].show(value) or [""]) == value


@given(st.integers())
def test_whole_numbers_are_read_as_they_are(number: int) -> None:
    assert integer().read([str(number)]) == number


ITEM = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters=","),
    min_size=1,
)


@given(st.lists(ITEM))
def test_lists_survive_writing_and_reading(items: list[str]) -> None:
    for kind in (names(), bracketed()):
        assert kind.read(kind.show(tuple(items))) == tuple(items)
