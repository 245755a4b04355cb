"""The form of a log line: text, or a JSON object.

What clients sent can stand in any message, so no character of one may end the line,
colour a terminal or hide what follows; and what looks like a key is masked, although
no code hands keys to a logger: a library might.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

import orjson

from imagereg.occasion import Occasion, current

MASK = "***"

#: Of imagereg itself, where no option says otherwise.
CONTEXT_FORMAT = (
    "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s"
    " [%(request_id)s %(user_id)s %(project_id)s] %(message)s"
)
DEFAULT_FORMAT = (
    "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [-] %(message)s"
)

#: C0 and C1 controls, line separators, marks that turn the direction of text, and
#: halves of characters, which no encoding can write.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

_SECRETS = (
    # user:password@host of a URL.
    (re.compile(r"(?<=//)[^/\s@]+(?=@)"), MASK),
    # What signs a URL of a store.
    (
        re.compile(
            r"(?i)\b((?:x-amz-)?(?:signature|credential|security-token)"
            r"|awsaccesskeyid|x-auth-token|x-service-token|authorization)"
            r"(['\"]?\s*[=:]\s*['\"]?)(?:basic\s+|bearer\s+)?[^\s&'\",]+"
        ),
        rf"\1\2{MASK}",
    ),
    # What a query says it keeps secret.
    (
        re.compile(
            r"(?i)([?&;][\w.-]*(?:sig|credential|token|passw|secret|key)[\w.-]*=)"
            r"[^\s&'\"`]+"
        ),
        rf"\1{MASK}",
    ),
    # Tokens of Keystone, whoever names them.
    (re.compile(r"\bgAAAAA[\w-]{20,}={0,2}"), MASK),
)

#: Without any of these, in small letters, nothing of `_SECRETS` can stand in a text.
_HINTS = (
    "@",
    "?",
    "signature",
    "credential",
    "token",
    "accesskeyid",
    "authoriz",
    "gaaaaa",
)


class Access:
    """The one line that tells of a request; written out only if somebody logs it."""

    __slots__ = ("occasion",)

    def __init__(self, occasion: Occasion) -> None:
        self.occasion = occasion

    def __str__(self) -> str:
        """Return the line as text."""
        o = self.occasion
        cut = " cut" if o.is_cut else ""
        return (
            f"{o.method} {o.path} {o.status}{cut} route={o.template} peer={o.peer}"
            f" roles={o.roles} refused_by={o.refused_by} in={o.bytes_in}"
            f" out={o.bytes_out} duration={o.duration_s:.6f}"
        )

    def fields(self) -> Mapping[str, object]:
        """Return the same by name, for JSON."""
        o = self.occasion
        return {
            "method": o.method,
            "path": o.path,
            "route": o.template,
            "status": o.status,
            "cut": o.is_cut,
            "peer": o.peer,
            "roles": [] if o.roles == "-" else o.roles.split(","),
            "refused_by": None if o.refused_by == "-" else o.refused_by,
            "bytes_in": o.bytes_in,
            "bytes_out": o.bytes_out,
            "duration_s": round(o.duration_s, 6),
        }


def clean(text: str, secrets: Sequence[str] = ()) -> str:
    """Return ``text`` fit for a line: no controls, no keys, none of ``secrets``."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    small = text.lower()
    if any(hint in small for hint in _HINTS):
        for pattern, mask in _SECRETS:
            text = pattern.sub(mask, text)
    # What is printable has none of them, and that is found out sooner.
    if not text.isprintable():
        text = _UNSAFE.sub(_escape, text)
    return text


def _escape(match: re.Match[str]) -> str:
    return repr(match[0])[1:-1]


def _traceback(
    formatter: logging.Formatter, record: logging.LogRecord, secrets: Sequence[str]
) -> str:
    """Return the lines of a traceback, none of which looks like one of the log."""
    found = ""
    if record.exc_info:
        found = formatter.formatException(record.exc_info)
    if record.stack_info:
        found = f"{found}\n{formatter.formatStack(record.stack_info)}"
    return "\n".join(
        f"    {clean(line, secrets)}" for line in found.split("\n") if line
    )


class TextLines(logging.Formatter):
    """Lines as the operator's formats want them.

    Args:
        context: the format of lines that belong to a request or its job.
        default: that of all others.
        date: how times are written.
        secrets: texts of the configuration that no line may hold.
    """

    def __init__(
        self, context: str, default: str, date: str, secrets: Sequence[str] = ()
    ) -> None:
        super().__init__(context, date)
        self.secrets = secrets
        self._default = default
        self._context = context
        self._second = ("", 0)

    def formatTime(  # noqa: N802 - the base class calls it so
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the time; each second is written out once."""
        second = int(record.created)
        text, known = self._second
        if known != second:
            text = super().formatTime(record, datefmt)
            self._second = (text, second)
        return text

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with its traceback in lines of their own below."""
        occasion = current()
        values = _EMPTY | record.__dict__
        values["message"] = record.getMessage()
        values["asctime"] = self.formatTime(record, self.datefmt)
        if occasion is None:
            line = clean(self._default % values, self.secrets)
        else:
            line = clean(self._context % (values | _context(occasion)), self.secrets)
        if not record.exc_info and not record.stack_info:
            return line
        below = _traceback(self, record, self.secrets)
        return f"{line}\n{below}" if below else line


class JSONLines(logging.Formatter):
    """Each line a JSON object.

    Args:
        secrets: texts of the configuration that no line may hold.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self.secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        message = record.getMessage()
        cleaned = clean(message, self.secrets)
        document: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": cleaned,
        }
        occasion = current()
        if occasion is not None:
            document |= {
                "request_id": clean(occasion.request_id),
                "user_id": clean(occasion.user_id),
                "project_id": clean(occasion.project_id),
            }
        if isinstance(record.msg, Access):
            fields = record.msg.fields()
            # The message holds all of them.
            document |= fields if cleaned == message else _cleaned(fields)
        if below := _traceback(self, record, self.secrets):
            document["traceback"] = below
        return orjson.dumps(document).decode()


def _cleaned(fields: Mapping[str, object]) -> dict[str, object]:
    def cleaned(value: object) -> object:
        if isinstance(value, str):
            return clean(value)
        if isinstance(value, list):
            return [clean(str(item)) for item in value]
        return value

    return {name: cleaned(value) for name, value in fields.items()}


def _context(occasion: Occasion) -> dict[str, object]:
    """Return what formats may name, in the words of the reference's own."""
    user, project = occasion.user_id, occasion.project_id
    return {
        "request_id": occasion.request_id,
        "user_id": user,
        "user": user,
        "project_id": project,
        "project": project,
        "tenant": project,
        "user_identity": f"{user} {project} - - -",
    }


#: The same for a line that belongs to nothing.
_EMPTY: dict[str, object] = {
    **dict.fromkeys(
        (
            *("request_id", "user_id", "user", "project_id", "project", "tenant"),
            *("user_identity", "global_request_id", "domain", "user_domain"),
            *("project_domain", "resource_uuid", "system_scope"),
        ),
        "-",
    ),
    **dict.fromkeys(("instance", "resource", "color", "reset_color"), ""),
}

NO_CONTEXT: Mapping[str, object] = MappingProxyType(_EMPTY)
