"""The commented sample file, written from the declarations of the options.

``conf/imagereg.conf`` is this text, and a test keeps it so.  A line that starts
with ``#`` and a name is an option; take the ``#`` away to set it.
"""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from imagereg.settings.catalog import SHARED_STORE_SECTION, STAGING, TASKS
from imagereg.settings.dump import escape_text
from imagereg.settings.load import SECTIONS
from imagereg.settings.options import Option, Table, options_of
from imagereg.settings.storage import (
    CommonOptions,
    FileStoreSettings,
    HTTPStoreSettings,
    S3StoreSettings,
)

_WIDTH = 77
_HEAD = """\
Configuration of imagereg, with every option and its default.

A line that starts with "#" and a name is an option: take the "#" away to set it.
What follows the "#" there is the default, or an example where nothing is set.
A comment starts at the first character of a line and nowhere else.  An indented
line continues the value above it, so never indent a name.  $name, ${name} and
${section.name} insert the value of another option; write $$ for a dollar sign.

This file is looked for in the working directory, then in /etc/imagereg; the
option --config-file or the variable IMAGEREG_CONFIG names another one, or several.
OS_<SECTION>__<OPTION> in the environment goes before any file, for instance
OS_DEFAULT__BIND_PORT=9393.  "imagereg config check" lists all faults at once,
"imagereg config dump" shows what is in force and why.
"""
_STORES = """\
With enabled_backends each store has a section with its id as name.  The four here
belong to the example enabled_backends = {example}.
In single-store mode the options of the drivers stand in [glance_store] instead.
"""
_RESERVED = {
    STAGING: "Where uploads wait for their import; takes the options of a file store.",
    TASKS: "The work area of tasks; takes the options of a file store.",
}
_SHARED = """\
Defaults for the sections of all stores: any option of theirs may stand here.
"""
EXAMPLE_BACKENDS = "fast:file,wide:file,cheap:s3,web:http"
_DIRECTORY = "filesystem_store_datadir"
_DIRECTORIES = "filesystem_store_datadirs"
_FILE_OPTIONS = tuple(options_of(FileStoreSettings))


def sample_lines() -> Iterator[str]:
    """Yield the lines of the file."""
    yield from comment_lines(_HEAD)
    for section, table in SECTIONS.items():
        yield from section_lines(section, table)
    yield ""
    yield from comment_lines(_STORES.format(example=EXAMPLE_BACKENDS))
    one = tuple(name for name in _FILE_OPTIONS if name != _DIRECTORIES)
    yield from section_lines("fast", FileStoreSettings, one)
    yield from _options(CommonOptions, tuple(options_of(CommonOptions)))
    yield from section_lines("wide", FileStoreSettings, (_DIRECTORIES,))
    yield from section_lines("cheap", S3StoreSettings)
    yield from section_lines("web", HTTPStoreSettings)
    for section in (STAGING, TASKS):
        name = section.split("_")[2]
        yield from ("", f"[{section}]")
        yield from comment_lines(_RESERVED[section])
        yield f"# A path.  Default: <state_dir>/{name}"
        yield f"#{_DIRECTORY} = /var/lib/imagereg/{name}"
    yield ""
    yield from comment_lines(_SHARED)
    yield f"[{SHARED_STORE_SECTION}]"


def section_lines(
    section: str, table: type[Table], names: Sequence[str] = ()
) -> list[str]:
    """Return the lines of one section, of all its options or of those named."""
    first, *_ = (table.__doc__ or "").splitlines()
    lines = ["", f"[{section}]", *comment_lines(first)]
    return lines + list(_options(table, names or tuple(options_of(table))))


def _options(table: type[Table], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        option = options_of(table)[name]
        default = option.shown or ",".join(option.kind.show(option.default)) or "unset"
        unit = f", in {option.unit}" if option.unit else ""
        yield ""
        yield from comment_lines(option.text)
        yield from comment_lines(
            f"Value: {option.kind.words}{unit}.  Default: {default}"
        )
        yield f"#{name} = {_value(option)}"


def _value(option: Option) -> str:
    return option.example or escape_text(option.kind.show(option.default)[0])


def comment_lines(text: str) -> Iterator[str]:
    """Yield comment lines; what is divided by an empty line is filled by itself."""
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        yield from ["#"] if number else []
        lines = wrap(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)
        yield from (f"# {line}" for line in lines)
