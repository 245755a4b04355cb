"""`imagereg policy matrix` and `diff`: who may do what, and what a change changes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from imagereg.cli.policy.sources import Source, take_all
from imagereg.errors import Invalid
from imagereg.model import Caller
from imagereg.protection.rules import FORMATS
from imagereg.rehearsal.matrix import (
    MARKS,
    Difference,
    Table,
    action_table,
    compare,
    find_properties,
    find_roles,
    property_table,
)
from imagereg.rehearsal.personas import LEGEND, PERSONAS
from imagereg.rehearsal.questions import Answer, Rehearsal
from imagereg.rehearsal.specs import parse_caller
from imagereg.rehearsal.tables import csv_text, html_text, json_text

_COLOURS = {Answer.ALLOW: "green", Answer.FORBIDDEN: "red", Answer.HIDDEN: "dim"}
#: Stands for the built-in rules where a file is expected.
DEFAULTS_WORD = "defaults"


@click.command()
@take_all
@click.option(
    "--output",
    type=click.Choice(["text", "csv", "json", "html"]),
    default="text",
    show_default=True,
)
@click.option("--action", "wanted", multiple=True, help="Show this action alone.")
@click.option(
    "--as",
    "others",
    multiple=True,
    metavar="NAME:roles=R,R,project=P",
    help="One more caller; projects of images are owner-project and member-project.",
)
@click.option("--property", "names", multiple=True, help="A property to show.")
def matrix(
    source: Source,
    output: str,
    wanted: tuple[str, ...],
    others: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    """Show what each persona may do to images of each visibility.

    yes is allowed, 403 forbidden, 404 hidden.  With property protections, a second
    table shows which role may do what to each property.
    """
    callers = {**PERSONAS, **dict(map(_parse_named, others))}
    tables = list(_make_tables(source.rehearsal, callers, names))
    if wanted:
        rows = tuple(row for row in tables[0].rows if row.name in wanted)
        tables[0] = Table("Actions", tables[0].head, tables[0].columns, rows)
    policy = ", ".join(map(str, source.found.files)) or "built-in rules"
    match output:
        case "csv":
            click.echo(csv_text(tables), nl=False)
        case "json":
            click.echo(json_text(tables), nl=False)
        case "html":
            click.echo(html_text(tables, LEGEND, policy), nl=False)
        case _:
            _print_tables(tables, policy)


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--old-protections", type=click.Path(path_type=Path))
@click.option("--new-protections", type=click.Path(path_type=Path))
@click.option("--format", "rule_format", type=click.Choice(FORMATS))
@click.option("--exit-code", is_flag=True, help="Exit status 1 if anything differs.")
def diff(
    old: str,
    new: str,
    old_protections: Path | None,
    new_protections: Path | None,
    rule_format: str | None,
    *,
    exit_code: bool,
) -> None:
    """Tell who gains and who loses what between two policy files.

    The word `defaults` stands for the built-in rules.  Personas are those of
    `imagereg policy matrix`, and a line says what all of them gain or lose.
    """
    before = _open(old, old_protections, rule_format).rehearsal
    after = _open(new, new_protections, rule_format).rehearsal
    found = [*compare(action_table(before), action_table(after))]
    if old_protections or new_protections:
        roles = tuple(dict.fromkeys((*find_roles(before), *find_roles(after))))
        names = (*find_properties(before), *find_properties(after))
        unique = tuple(dict.fromkeys(names))
        found += compare(
            property_table(before, unique, roles), property_table(after, unique, roles)
        )
    for sign, verb, chosen in (
        ("+", "gains", [each for each in found if each.gains]),
        ("-", "loses", [each for each in found if each.loses]),
        ("~", "is told otherwise", [e for e in found if not e.gains and not e.loses]),
    ):
        for line in _tell(chosen, sign, verb):
            click.echo(line)
    if not found:
        click.echo("nobody gains or loses anything")
    elif exit_code:
        raise SystemExit(1)


def _parse_named(text: str) -> tuple[str, Caller]:
    name, sign, spec = text.partition(":")
    if not sign:
        raise Invalid(f"`{text}` is not NAME:roles=R,R,project=P")
    return name, parse_caller(spec)


def _make_tables(
    rehearsal: Rehearsal, callers: dict[str, Caller], names: Sequence[str]
) -> Iterable[Table]:
    yield action_table(rehearsal, callers)
    if rehearsal.gate.guard.protections is not None:
        chosen = names or find_properties(rehearsal)
        yield property_table(rehearsal, chosen, find_roles(rehearsal))


def _open(text: str, protections: Path | None, rule_format: str | None) -> Source:
    if text == DEFAULTS_WORD:
        # An empty name of a file that is not there: nothing but built-in rules.
        return Source(Path("/dev/null"), (), protections, rule_format)
    if not Path(text).is_file():
        raise Invalid(
            f"`{text}` is no file; write `{DEFAULTS_WORD}` for built-in rules"
        )
    return Source(Path(text), (), protections, rule_format)


def _tell(found: Sequence[Difference], sign: str, verb: str) -> Iterable[str]:
    """Yield one line for each action and persona, its visibilities together."""
    grouped: dict[tuple[str, str, str, str], list[str]] = {}
    for each in found:
        change = f"{MARKS[each.before]} -> {MARKS[each.after]}"
        grouped.setdefault((each.column, each.row, change, ""), []).append(each.subject)
    colour = {"+": "green", "-": "red"}.get(sign, "yellow")
    for (column, row, change, _), subjects in grouped.items():
        where = ", ".join(filter(None, subjects))
        line = f"{sign} {column} {verb} {row}" + (f" ({where})" if where else "")
        yield click.style(f"{line}: {change}", fg=colour)


def _print_tables(tables: Sequence[Table], policy: str) -> None:
    """Print tables as text; the library that draws them is imported only here."""
    from rich.console import Console
    from rich.table import Table as Drawing

    widths = [_measure(table) for table in tables]
    console = Console(highlight=False)
    # A table that is too wide for a window is still of use in a file.
    console = Console(highlight=False, width=max([console.width, *widths]))
    console.print(f"Policy: {policy}", markup=False)
    for table in tables:
        drawing = Drawing(title=table.title, title_justify="left")
        for name in (*table.head, *table.columns):
            drawing.add_column(name, no_wrap=True)
        for row in table.rows:
            cells = [f"[{_COLOURS[a]}]{MARKS[a]}[/]" for a in row.answers]
            drawing.add_row(row.name, row.subject, *cells)
        console.print(drawing)
    for name, meaning in LEGEND.items():
        console.print(f"{name}  {meaning}", markup=False)


def _measure(table: Table) -> int:
    """Return how many characters a table needs in width."""
    rows = [(row.name, row.subject, *["yes"] * len(row.answers)) for row in table.rows]
    columns = zip((*table.head, *table.columns), *rows, strict=True)
    return sum(max(map(len, column)) + 3 for column in columns) + 1
