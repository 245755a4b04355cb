"""Small protection files, written as a table."""

from imagereg.protection.rules import PolicyFacts, Protections, parse_protections


def section(header: str, values: str) -> str:
    """Return a section; ``values`` are create, read, update, delete, by blanks."""
    keys = zip(
        ("create", "read", "update", "delete"),
        values.split(),
        strict=True,
    )
    return "\n".join([f"[{header}]", *(f"{key} = {value}" for key, value in keys), ""])


def know_all(text: str) -> PolicyFacts:
    return PolicyFacts()


def roles(*sections: tuple[str, str]) -> Protections:
    """Return protections of format roles from pairs of header and four values."""
    text = "\n".join(section(*each) for each in sections)
    return parse_protections(text, "roles", know_all, source="pp.conf")


def policies(*sections: tuple[str, str]) -> Protections:
    """Return protections of format policies, every name being known."""
    text = "\n".join(section(*each) for each in sections)
    return parse_protections(text, "policies", know_all, source="pp.conf")
