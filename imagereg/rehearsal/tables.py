"""Tables as CSV, JSON and one self-contained HTML page."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from imagereg.rehearsal.matrix import MARKS, Table

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; }
table { border-collapse: collapse; margin: 0 0 2em; }
caption { font-weight: bold; text-align: left; padding: .4em 0; }
th, td { border: 1px solid #ccc; padding: .2em .6em; text-align: center; }
th[scope=row], td.subject { text-align: left; font-weight: normal; }
thead th { position: sticky; top: 0; background: #f3f3f3; }
.allow { background: #d9f2d9; } .forbidden { background: #f9d9d9; }
.hidden { background: #e8e8e8; }
"""


def csv_text(tables: Sequence[Table]) -> str:
    """Return one row for each cell, so that a spreadsheet can filter and pivot."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("table", "name", "subject", "caller", "answer"))
    for table in tables:
        for row in table.rows:
            for subject in row.subject.split(", "):
                for column, answer in zip(table.columns, row.answers, strict=True):
                    place = (table.title.lower(), row.name, subject)
                    writer.writerow((*place, column, answer.value))
    return lines.getvalue()


def json_text(tables: Sequence[Table]) -> str:
    """Return the tables as they are, as JSON."""
    document = {
        table.title.lower(): [
            {
                table.head[0]: row.name,
                table.head[1]: row.subject.split(", ") if row.subject else [],
                "answers": dict(zip(table.columns, row.answers, strict=True)),
            }
            for row in table.rows
        ]
        for table in tables
    }
    return json.dumps(document, indent=2) + "\n"


def html_text(tables: Sequence[Table], legend: Mapping[str, str], policy: str) -> str:
    """Return a page that needs no other file and no network."""
    return "\n".join(_html_lines(tables, legend, policy)) + "\n"


def _html_lines(
    tables: Sequence[Table], legend: Mapping[str, str], policy: str
) -> Iterator[str]:
    title = f"Who may do what: {escape(policy)}"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{title}</h1>"
    yield "<dl>"
    for name, meaning in legend.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(meaning)}</dd>"
    yield "</dl>"
    for table in tables:
        yield f"<table><caption>{escape(table.title)}</caption><thead><tr>"
        heads = (*table.head, *table.columns)
        yield "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
        yield "</tr></thead><tbody>"
        for row in table.rows:
            cells = "".join(
                f'<td class="{answer.value}">{MARKS[answer]}</td>'
                for answer in row.answers
            )
            subject = f'<td class="subject">{escape(row.subject)}</td>'
            yield f'<tr><th scope="row">{escape(row.name)}</th>{subject}{cells}</tr>'
        yield "</tbody></table>"
    yield "</body></html>"
