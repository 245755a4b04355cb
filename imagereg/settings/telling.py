"""Options of section [imagereg] about events and the audit record.

Source: contract config 9.
"""

# `option` builds a dataclass field, as `dataclasses.field` does.

from dataclasses import dataclass
from pathlib import Path

from imagereg.settings.kinds import (
    BOOL,
    HTTP_URL,
    NAME,
    WORKING_PATH,
    integer,
    names,
)
from imagereg.settings.options import Table, option


@dataclass(frozen=True)
class TellingOptions(Table):
    """Who is told what happened, and how."""

    event_webhook: str | None = option(
        HTTP_URL,
        None,
        "A URL to which image events are posted as JSON.",
        secret=True,
        example="https://events.example.org/images",
    )
    event_webhook_secret: str | None = option(
        NAME,
        None,
        "Signs each request to that URL, in the header X-Imagereg-Signature.",
        secret=True,
        example="a-long-random-text",
    )
    event_webhook_timeout: int = option(
        integer(1), 10, "How long that URL may take to answer.", unit="seconds"
    )
    event_log: Path | None = option(
        WORKING_PATH,
        None,
        "A file to which image events are appended as JSON lines.",
        example="/var/log/imagereg/events.jsonl",
    )
    event_properties: tuple[str, ...] = option(
        names(),
        (),
        "Custom properties that events show; * is all of them, protected ones too.",
        shown="unset",
        example="os_distro,os_version",
    )
    event_downloads: bool = option(
        BOOL, False, "Tell of downloads too, at the price of a write for each."
    )
    event_attempts: int = option(
        integer(1),
        30,
        "An event that was refused so often is dropped.",
        unit="attempts",
    )
    event_max_age: int = option(
        integer(1), 86400, "So is one that is older.", unit="seconds"
    )
    event_max_pending: int = option(
        integer(1),
        100_000,
        "And the oldest, when more than these wait for the file or the URL.",
        unit="events",
    )
    audit_log: Path | None = option(
        WORKING_PATH,
        None,
        "A file to which JSON lines are appended for each change, before it and after,"
        " and each refusal: who, what, which image, with which outcome, by which rule.",
        example="/var/log/imagereg/audit.jsonl",
    )
    audit_reads: bool = option(BOOL, False, "Record reads in that file too.")
    audit_fsync: bool = option(
        BOOL,
        False,
        "Change and answer only when the line that tells of it is safe on the disk.",
    )
