"""`imagereg policy check`, `validate` and `lint`: try rules, and look for faults."""

import json
from collections.abc import Mapping
from pathlib import Path

import click

from imagereg.cli.policy.explaining import tell_rule
from imagereg.cli.policy.sources import FILE, Source, take_all, take_policy
from imagereg.errors import Invalid
from imagereg.policy.actions import BUILT_IN, REGISTERED
from imagereg.policy.explain import Explanation
from imagereg.policy.explain import explain as explain_rule
from imagereg.policy.lint import UNEXAMINED, Level, lint, nearest
from imagereg.policy.rules import RuleSet, load_rule_set


@click.command()
@take_policy
@click.option(
    "--access",
    required=True,
    type=FILE,
    help="The body of a token, as the identity service answers it.",
)
@click.option("--target", type=FILE, help="The target as JSON.  [default: the caller]")
@click.option("--rule", "name", help="Try this rule alone; exit status 1 if it fails.")
@click.option("--is_admin", is_flag=True, help="Set the credential is_admin.")
@click.option("--file-only", is_flag=True, help="Leave the built-in rules out.")
@click.option("--explain", "is_explained", is_flag=True, help="Show what decided.")
@click.option(
    "--enforcer_config", expose_value=False, help="Accepted and ignored; see --config."
)
def check(
    source: Source,
    access: Path,
    target: Path | None,
    name: str | None,
    *,
    is_admin: bool,
    file_only: bool,
    is_explained: bool,
) -> None:
    """Try rules for the owner of a token: `passed: NAME` or `failed: NAME`.

    As oslopolicy-checker, but all rules are tried, and built-in ones too.
    """
    rules = _rules_alone(source) if file_only else source.rules
    credentials = read_token(_read_json(access), is_admin=is_admin)
    given = flatten(_read_json(target)) if target else _own_target(credentials)
    if name is not None and name not in rules and not file_only:
        known = nearest(name, {*REGISTERED, *BUILT_IN, *rules})
        raise Invalid(f"there is no rule `{name}`{known}")
    passed = True
    for each in [name] if name is not None else sorted(rules):
        found = explain_rule(rules, credentials, each, given)
        passed = _tell(found, each, is_explained=is_explained)
    if name is not None and not passed:
        raise SystemExit(1)


@click.command()
@take_all
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
def validate(source: Source, *, strict: bool) -> None:
    """Make the checks of the service's start; exit status 1 if it would not start.

    Names that nothing asks for count as faults too: most are misspelt.
    """
    _tell_findings(source, strict=strict, codes={"unknown", "retired", "unasked"})


@click.command(name="lint")
@take_all
@click.option("--strict", is_flag=True, help="Fail on warnings and notes too.")
def lint_command(source: Source, *, strict: bool) -> None:
    """Tell what the author may not have meant; exit status 1 for errors."""
    _tell_findings(source, strict=strict, codes=None)


def read_token(document: Mapping[str, object], *, is_admin: bool) -> dict[str, object]:
    """Return the credentials of a token's body.

    Raises:
        Invalid: the document is no such body.

    Source: contract policy 11.
    """
    token = document.get("token")
    if not isinstance(token, dict):
        raise Invalid("the token's body lacks `token`")
    found = {**token, "is_admin": is_admin}
    try:
        found["roles"] = [role["name"] for role in token["roles"]]
        found["user_id"] = token["user"]["id"]
        if token.get("project"):
            found["project_id"] = token["project"]["id"]
        if token.get("domain"):
            found["domain_id"] = token["domain"]["id"]
    except (KeyError, TypeError) as error:
        raise Invalid(f"the token's body lacks {error}") from error
    if token.get("system"):
        found["system_scope"] = "all"
    return found


def flatten(document: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Return a target whose keys are paths with dots, as the reference makes them."""
    found: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found.update(flatten(value, f"{above}{key}."))
        else:
            found[f"{above}{key}"] = value
    return found


def _own_target(credentials: Mapping[str, object]) -> dict[str, object]:
    names = ("user_id", "project_id")
    return {name: credentials[name] for name in names if name in credentials}


def _rules_alone(source: Source) -> RuleSet:
    """Return the rules of the files; unknown names mean `default`, as elsewhere."""
    return load_rule_set(*source.places, registered={}, unknown_to_default=True)


def _read_json(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise Invalid(f"`{path}` is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Invalid(f"`{path}` holds no JSON object")
    return found


def _tell(found: Explanation, name: str, *, is_explained: bool) -> bool:
    """Print the outcome of one rule; return whether it passed."""
    passed = found.decision.allowed
    broken = [node for node in found.tree.walk() if node.asked and node.holds is None]
    if broken and not passed and found.tree.holds is None:
        click.echo(f"exception: {name}: {broken[-1].note}")
    else:
        click.echo(f"{'passed' if passed else 'failed'}: {name}")
    if is_explained:
        for line in tell_rule(found):
            click.echo(line)
    return passed


def _tell_findings(source: Source, *, strict: bool, codes: set[str] | None) -> None:
    """Print what lint finds, and fail for errors."""
    rules, protections = source.rules, source.protections
    sections = protections.sections if protections else ()
    used = {rule.policy for section in sections for rule in section.rules.values()}
    found = lint(source.found.entries, rules, source.texts, used)
    if codes is not None:
        found = tuple(each for each in found if each.code in codes)
    for each in found:
        click.echo(str(each), err=codes is not None)
    if not source.found.files:
        click.echo("no policy file: the built-in rules apply")
    elif codes is not None or not found:
        names = ", ".join(map(str, source.found.files))
        count = len(source.last_entries)
        click.echo(f"{names}: {count} rules, {len(found) or 'no'} findings")
    failing = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    if strict and codes is None:
        failing.add(Level.NOTE)
    if any(each.level in failing and each.code != UNEXAMINED for each in found):
        raise SystemExit(1)
