"""`imagereg policy explain`: the decision, why, and what would change it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from imagereg.cli.policy.sources import Source, take_all
from imagereg.errors import Invalid
from imagereg.model import Caller, Operation
from imagereg.policy.actions import BUILT_IN, DEFAULTS, REGISTERED, Action
from imagereg.policy.explain import Explanation, Node
from imagereg.policy.lint import nearest
from imagereg.protection.guard import Reason
from imagereg.rehearsal.cases import question_for
from imagereg.rehearsal.personas import make_image, subject_for
from imagereg.rehearsal.questions import (
    Answer,
    FieldsTarget,
    Question,
    SameSubject,
    StoredSubject,
)
from imagereg.rehearsal.reasons import Account, account_for
from imagereg.rehearsal.specs import parse_caller, parse_image

_ANSWERS = {
    Answer.ALLOW: ("allowed", "green"),
    Answer.FORBIDDEN: ("denied (403)", "red"),
    Answer.HIDDEN: ("denied (404, as if it did not exist)", "red"),
}
_VALUES = {True: ("yes", "green"), False: ("no ", "red"), None: ("?  ", "yellow")}


@click.command()
@click.argument("what", nargs=-1, metavar="RULE | METHOD PATH")
@take_all
@click.option(
    "--as",
    "caller_text",
    default="",
    metavar="roles=R,R,project=P",
    help="The caller; or a persona: adm, own, rdr, mbr, oth, svc.",
)
@click.option(
    "--image",
    "image_text",
    metavar="FILE",
    help="The image, as JSON or YAML, or as owner=P,visibility=V,... in place.",
)
@click.option("--property", "name", default="", help="Ask about a custom property.")
@click.option(
    "--op",
    "operation",
    type=click.Choice([each.value for each in Operation]),
    default="read",
    show_default=True,
    help="What is done to that property.",
)
def explain(
    source: Source,
    what: tuple[str, ...],
    caller_text: str,
    image_text: str | None,
    name: str,
    operation: str,
) -> None:
    """Tell how a request would be decided, why, and what would change it.

    RULE is the name of an action or of any other rule; METHOD PATH is a request,
    such as `GET /v2/images/{image_id}/file`.  Without --image, an active private
    image of the caller's own project is looked at.
    """
    caller = parse_caller(caller_text)
    action = _find_action(source, what, asked=bool(name))
    image = parse_image(image_text) if image_text else None
    question = _make_question(caller, action, image)
    if name:
        question = replace(question, operation=Operation(operation), name=name)
    account = account_for(source.rehearsal, question)
    for line in _tell(account):
        click.echo(line)
    if isinstance(question.subject, StoredSubject) and image is None:
        click.echo("  assumed  a private image of the caller's project; see --image")


def _find_action(source: Source, what: tuple[str, ...], *, asked: bool) -> str:
    """Return the rule that is meant; empty where only a property is asked about."""
    if not what and asked:
        return ""
    if len(what) == 2:
        method, path = what
        action = find_route(method, path)
        click.echo(f"{method.upper()} {path} asks {action}")
        return action
    if len(what) != 1:
        raise Invalid("name one rule, or a method and a path")
    if what[0] not in source.rules and what[0] != Action.DISCOVER:
        known = nearest(what[0], {*REGISTERED, *BUILT_IN, *source.rules})
        raise Invalid(f"there is no rule `{what[0]}`{known}")
    return what[0]


def find_route(method: str, path: str) -> Action:
    """Return the action of a request.

    Raises:
        Invalid: no route has this method and path.
    """
    # Imported here, because routes bring the whole server along.
    from imagereg.api.routes import ROUTES

    parts = path.partition("?")[0].rstrip("/").split("/")
    for route in ROUTES:
        wanted = route.path.rstrip("/").split("/")
        if route.method in ("*", method.upper()) and _matches(wanted, parts):
            return route.action
    raise Invalid(f"there is no route `{method.upper()} {path}`")


def _matches(wanted: list[str], parts: list[str]) -> bool:
    """Return whether a path is of a route; the last hole may take several parts."""
    if wanted[-1].startswith("<path:"):
        parts = [*parts[: len(wanted) - 1], "/".join(parts[len(wanted) - 1 :])]
    return len(parts) == len(wanted) and all(
        each == part or (each.startswith("<") and part != "")
        for each, part in zip(wanted, parts, strict=True)
    )


def _make_question(
    caller: Caller, action: str, image: StoredSubject | None
) -> Question:
    """Return what is asked; without an image, about one of the caller's project."""
    if not action:
        return Question(caller, (), image or SameSubject())
    own = make_image("private", caller.project_id)
    if action not in DEFAULTS:
        # A rule by itself, of the operator or a building block, sees fields alone.
        fields = dict((image or own).seen_by(caller).fields(caller))
        return Question(caller, (action,), SameSubject(FieldsTarget(values=fields)))
    if image is None and isinstance(subject_for(Action(action)), StoredSubject):
        image = own
    return question_for(caller, action, image)


def _tell(account: Account) -> Iterator[str]:
    verdict = account.verdict
    text, colour = _ANSWERS[verdict.answer]
    subject = verdict.action or f"property {account.question.name}"
    yield f"{click.style(text, fg=colour, bold=True)}: {subject}"
    yield f"  because  {verdict.stage.value}"
    if verdict.message:
        yield f"  answer   {verdict.message}"
    if account.explanation is not None:
        yield from tell_rule(account.explanation)
    if account.shown is not None:
        yield "  and the rule that shows the image refuses too:"
        yield from tell_rule(account.shown)
    if verdict.section is not None:
        yield from _tell_section(verdict.section, account.question)
    if verdict.allowed:
        return
    if not account.remedies:
        yield "  none of the changes that were tried would allow it"
    for index, remedy in enumerate(account.remedies):
        head = "to allow" if index == 0 else "      or"
        yield f"  {head}  {', and '.join(map(str, remedy))}"


def tell_rule(explanation: Explanation) -> Iterator[str]:
    """Yield the rule that decided, where it is, and its tree with values."""
    decision = explanation.decision
    yield f"  rule     {decision.rule} = {explanation.text}"
    yield f"  at       {_shorten(explanation.place)}"
    if decision.scope:
        yield f"  scope    a token of {decision.scope} scope is required"
    yield from _tell_node(explanation.tree, 1)


def _tell_node(node: Node, depth: int) -> Iterator[str]:
    text, colour = _VALUES[node.holds]
    value = click.style(text, fg=colour)
    words = {"And": "all of", "Or": "one of", "Not": "not"}
    name = words.get(type(node.check).__name__, str(node.check))
    notes = [node.note] if node.note else []
    if node.rule is not None:
        place = node.rule.origin
        notes.append(_shorten(str(place)) if place else "built-in default")
    if not node.asked:
        notes.append("not asked")
    note = f"   ({'; '.join(notes)})" if notes else ""
    yield f"  {'  ' * depth}{value} {name}{note}"
    for child in node.children:
        yield from _tell_node(child, depth + 1)


def _tell_section(section: Reason, question: Question) -> Iterator[str]:
    operation = question.operation
    if not section.section:
        where = f" ({section.file})" if section.file else ""
        yield f"  section  none{where}: {section.why}"
        return
    place = f"{section.file}:{section.line}" if section.line else "built in"
    yield f"  section  [{section.section}] ({_shorten(place)}): {section.why}"
    line = f", line {section.rule_line}" if section.rule_line else ""
    yield f"  value    {operation} = {' '.join(section.rule.split())}{line}"


def _shorten(place: str) -> str:
    """Return a place without the directory one is in."""
    return place.removeprefix(f"{Path.cwd()}/")
