"""What the identity service says of a token, and what follows from it.

Source: contract auth 1.2.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from imagereg.errors import IdentityUnavailable

#: Paths of access rules: one segment by any name, or whatever follows.
_WILD = re.compile(r"\*\*|\*|\{[^/{}]*\}")


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One kind of request that an application credential may be used for."""

    service: str
    method: str
    path: str

    def admits(self, service: str, method: str, path: str) -> bool:
        """Return whether a request is of this kind."""
        is_ours = (self.service, self.method.upper()) == (service, method)
        return is_ours and _pattern(self.path).fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class Token:
    """Whom a token stands for, and where.

    Attributes:
        expires_at: seconds since 1970.
        catalog: the image services of the token's catalogue, as the header
            ``X-Service-Catalog`` spells them; empty if there is none.
        access_rules: what the application credential behind it may be used for; None
            is everything.
    """

    expires_at: float
    user_id: str
    user_name: str | None = None
    user_domain_id: str | None = None
    user_domain_name: str | None = None
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    project_domain_name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    system_scope: str | None = None
    roles: frozenset[str] = frozenset()
    is_admin_project: bool = True
    catalog: str = field(default="", repr=False)
    access_rules: tuple[AccessRule, ...] | None = None

    def admits(self, service: str, method: str, path: str) -> bool:
        """Return whether the token may be used for a request."""
        if self.access_rules is None:
            return True
        return any(rule.admits(service, method, path) for rule in self.access_rules)


def parse_token(body: bytes) -> Token:
    """Return what the body of an answer says.

    Raises:
        IdentityUnavailable: it is no such document, so nobody knows whose token it is.
    """
    try:
        return _token(orjson.loads(body)["token"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # Their texts quote the document.
        kind = type(error).__name__
        raise IdentityUnavailable(f"an answer is no token: {kind}") from None


def _token(said: Mapping[str, Any]) -> Token:
    user, project = said["user"], said.get("project") or {}
    user_domain, project_domain = user.get("domain") or {}, project.get("domain") or {}
    domain, system = said.get("domain") or {}, said.get("system") or {}
    restricted = said.get("application_credential") or {}
    return Token(
        expires_at=datetime.fromisoformat(said["expires_at"]).timestamp(),
        user_id=_text(user["id"]) or "",
        user_name=_text(user.get("name")),
        user_domain_id=_text(user_domain.get("id")),
        user_domain_name=_text(user_domain.get("name")),
        project_id=_text(project.get("id")),
        project_name=_text(project.get("name")),
        project_domain_id=_text(project_domain.get("id")),
        project_domain_name=_text(project_domain.get("name")),
        domain_id=_text(domain.get("id")),
        domain_name=_text(domain.get("name")),
        system_scope="all" if system.get("all") is True else None,
        roles=frozenset(_roles(said)),
        is_admin_project=said.get("is_admin_project", True) is True,
        catalog=_catalog(said.get("catalog") or ()),
        access_rules=_access_rules(restricted.get("access_rules")),
    )


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value or None


def _roles(said: Mapping[str, Any]) -> Iterator[str]:
    """Yield role names as ruling U-4 wants them."""
    names = (role["name"].strip().lower() for role in said.get("roles") or ())
    return (name for name in names if name)


def _catalog(services: Any) -> str:  # noqa: ANN401 - a part of a document
    """Return the image services in the older layout, which is that of the header.

    The rest of the catalogue is left out: nobody needs it, and it is long.
    """
    kept = [
        {
            "type": "image",
            "name": service.get("name", ""),
            "endpoints": [
                {
                    "region": endpoint.get("region") or endpoint.get("region_id"),
                    f"{endpoint['interface']}URL": endpoint["url"],
                }
                for endpoint in service.get("endpoints", ())
            ],
        }
        for service in services
        if service["type"] == "image"
    ]
    return orjson.dumps(kept).decode() if kept else ""


def _access_rules(rules: Any) -> tuple[AccessRule, ...] | None:  # noqa: ANN401 - as above
    if rules is None:
        return None
    return tuple(
        AccessRule(rule["service"], rule["method"], rule["path"]) for rule in rules
    )


def _pattern(path: str) -> re.Pattern[str]:
    """Return what a path of a rule matches: `**` anything, `*` and `{tag}` a segment.

    The module `re` keeps the compiled patterns; rules are few.
    """
    parts, end = [], 0
    for wild in _WILD.finditer(path):
        parts.append(re.escape(path[end : wild.start()]))
        parts.append(".*" if wild[0] == "**" else "[^/]+")
        end = wild.end()
    return re.compile("".join([*parts, re.escape(path[end:])]), re.DOTALL)
