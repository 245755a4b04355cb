"""The reference reader, asked the same questions.

It comes with the rule engine that the policy tests ask; only this module knows it.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg, types

from imagereg.errors import ConfigurationError
from imagereg.settings.syntax import fold_section, parse_entries
from tests.settings.conftest import Load
from tests.settings.test_kinds import BAD, GOOD, KINDS

LINES = (
    *("[DEFAULT]", "[s]", "[S]", "[ s ]", "[", "[]", "[s] x", "[a]b]"),
    *("a = 1", "a=", "b : x", 'b: "q"', "c = 'x", "a b = 1", "a = x = y", "a: x:y"),
    *("  more", "\tmore", "  # more", '  "z"', " [s]", "# c", "; c", "", "   "),
    *("= 1", "noise", 'c="a" # x', "a = ' '", "d = 100%", "d = ${x}"),
)
TYPES: dict[str, Callable[[str], object]] = {
    "bool": types.Boolean(),
    "int": types.Integer(),
    "positive": types.Integer(min=1),
    "port": types.Port(),
    "text": types.String(),
    "choice": types.String(choices=["x", "y"]),
    "list": types.List(),
    "bracketed": types.List(bounds=True),
    "ports": types.List(types.Port(), bounds=True),
    "pairs": types.Dict(),
    "host": types.HostAddress(),
}
# The contract wants decimal digits; a name may end in a dot, which stays.
DIFFERENT = {("int", "1_000"), ("int", "\u0665"), ("host", "a-1.example.org.")}
SHARED = [
    (kind, text)
    for kind, text in [*((kind, text) for kind, text, _ in GOOD), *BAD]
    if kind in TYPES and (kind, text) not in DIFFERENT
]


def _parse_by_reference(text: str) -> dict[tuple[str, str], list[str]] | None:
    """Return the values of a file by section and name, or None if it is refused."""
    sections: dict[str, dict[str, list[str]]] = {}
    with TemporaryDirectory() as directory:
        file = Path(directory) / "a.conf"
        file.write_text(text, encoding="utf-8")
        try:
            cfg.ConfigParser(str(file), sections).parse()
        except cfg.ParseError:
            return None
    values: dict[tuple[str, str], list[str]] = {}
    for section, options in sections.items():
        for name, texts in options.items():
            values.setdefault((fold_section(section), name), []).extend(texts)
    return values


def _parse(text: str) -> dict[tuple[str, str], list[str]] | None:
    entries, faults = parse_entries(text, "a.conf")
    values: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        values.setdefault((entry.section, entry.name), []).append(entry.value)
    return None if faults else values


@given(st.lists(st.sampled_from(LINES), max_size=8).map("\n".join))
def test_files_are_read_alike(text: str) -> None:
    expected, found = _parse_by_reference(text), _parse(text)

    assert (found is None) == (expected is None)
    # Sections that differ in case are merged there by spelling, not by line.
    assert {key: sorted(texts) for key, texts in (found or {}).items()} == {
        key: sorted(texts) for key, texts in (expected or {}).items()
    }


@pytest.mark.parametrize(("kind", "text"), SHARED)
def test_values_are_read_alike(kind: str, text: str) -> None:
    try:
        expected = TYPES[kind](text)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            KINDS[kind].read([text])
    else:
        found = KINDS[kind].read([text])
        assert (list(found) if isinstance(found, tuple) else found) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("$restore", "${restore}x", "<$restore>", "${task.work_dir}/x", "$$restore"),
        *("\\$restore", "100% $ $1 ${} $-", "$bind_port", "${bind_host}.", "$a\\$b$$c"),
        *(
            "$task.work_dir",
            "$nothing",
            "$nothing.at_all",
            "$restore.d",
            "\\\\$restore",
        ),
    ],
)
def test_references_are_replaced_alike(load: Load, text: str) -> None:
    source = f"[DEFAULT]\nlog_date_format = {text}\nrestore = r\na = 1\n"
    source += "[task]\nwork_dir = /w\n"
    Path("r.conf").write_text(source, encoding="utf-8")
    conf = cfg.ConfigOpts()
    names = ("log_date_format", "restore", "a", "bind_host")
    conf.register_opts([cfg.StrOpt(name) for name in names])
    conf.register_opts([cfg.PortOpt("bind_port", default=9292)])
    conf.register_opts([cfg.StrOpt("work_dir")], group="task")
    conf(["--config-file", "r.conf"], default_config_files=[], default_config_dirs=[])

    try:
        expected: str | None = conf.log_date_format
    except (cfg.NoSuchOptError, cfg.NoSuchGroupError, cfg.TemplateSubstitutionError):
        expected = None
    try:
        found: str | None = load(source).default.log_date_format
    except ConfigurationError:
        found = None

    assert found == expected
