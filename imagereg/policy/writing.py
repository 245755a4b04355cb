"""Policy files as text: samples, the rules in force, and other forms of a file.

Source: contract policy 11.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from imagereg.policy.actions import REGISTERED, RETIRED, Default
from imagereg.policy.checks import RuleCheck
from imagereg.policy.files import Entry
from imagereg.policy.language import canonical, parse, parse_rule
from imagereg.policy.rules import RuleSet

_WIDTH = 86


def sample_lines(*, exclude_deprecated: bool = False) -> Iterator[str]:
    """Yield a YAML file with every built-in rule, commented out and described."""
    for default in REGISTERED.values():
        yield from _describe(default, exclude_deprecated=exclude_deprecated)
        yield f"#{_yaml_line(default.name, default.check)}"
        yield ""


def effective_rules(rules: RuleSet, entries: Sequence[Entry]) -> Mapping[str, str]:
    """Return the rules in force: those of files first, then untouched built-in ones."""
    names = dict.fromkeys(entry.name for entry in entries)
    names |= dict.fromkeys(name for name in REGISTERED if name in rules)
    return {name: canonical(rules.rules[name].check) for name in names}


def redundant_rules(entries: Sequence[Entry]) -> Mapping[str, str]:
    """Return the entries that say what the built-in rule says."""
    return {
        entry.name: canonical(parse_rule(entry.value))
        for entry in entries
        if _is_redundant(entry)
    }


def upgraded_rules(entries: Sequence[Entry]) -> Mapping[str, object]:
    """Return the entries with deprecated names replaced, and retired ones left out.

    An old name that still governs something stays beside those that came of it.
    """
    found: dict[str, object] = {
        entry.name: entry.value for entry in entries if entry.name not in RETIRED
    }
    for default in REGISTERED.values():
        old = default.old_name
        if old is None or old not in found or default.name in found:
            continue
        # An old name that merely points at the new one would be a circle.
        if parse_rule(found[old]) != RuleCheck(default.name):
            found[default.name] = found[old]
    return found


def json_text(rules: Mapping[str, object]) -> str:
    """Return a policy file in JSON."""
    return json.dumps(rules, indent=4) + "\n"


def yaml_lines(rules: Mapping[str, object]) -> Iterator[str]:
    """Yield a policy file in YAML, without comments."""
    for name, value in rules.items():
        yield _yaml_line(name, value)


def converted_lines(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a file in YAML with what each entry governs.

    Entries that equal the built-in rule are commented out, and names that nothing
    asks for come last, under a warning.
    """
    unknown = [entry for entry in entries if entry.name not in REGISTERED]
    for entry in entries:
        if entry.name in REGISTERED:
            yield from _describe(REGISTERED[entry.name], exclude_deprecated=True)
            mark = "#" if _is_redundant(entry) else ""
            yield f"{mark}{_yaml_line(entry.name, entry.value)}"
            yield ""
    if unknown:
        yield "# WARNING: nothing asks for these names, other rules may refer to them."
        for entry in unknown:
            yield _yaml_line(entry.name, entry.value)


def _is_redundant(entry: Entry) -> bool:
    default = REGISTERED.get(entry.name)
    if default is None:
        return False
    return canonical(parse_rule(entry.value)) == canonical(parse(default.check))


def _describe(default: Default, *, exclude_deprecated: bool) -> Iterator[str]:
    yield from (f"# {line}" for line in wrap(default.guards, _WIDTH))
    if default.scope is not None:
        yield f"# Scope: {default.scope}"
    if default.old is None or exclude_deprecated:
        return
    old = f'"{default.old_name or default.name}": {json.dumps(default.old)}'
    told = f"Older rule: {old}; it also admits while enforce_new_defaults is false."
    yield from (f"# {line}" for line in wrap(told, _WIDTH))


def _yaml_line(name: str, value: object) -> str:
    """Return one entry; a JSON text or list is the same in YAML."""
    return f"{json.dumps(name)}: {json.dumps(value)}"
