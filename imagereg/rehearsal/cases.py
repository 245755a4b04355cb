"""Cases of rule authors: files that say who may do what, read and checked.

A file ``*.cases.yaml`` or ``*.cases.json`` holds a list of cases, or a mapping::

    policy: policy.json            # beside this file; without it: built-in rules
    protections: protections.conf  # likewise; without it: every property is free
    format: roles                  # or policies
    callers:
      reader: {roles: [reader], project: p1}
    images:
      private: {owner: p1, visibility: private, members: [p2]}
    cases:
      - name: a reader does not delete
        caller: reader             # a name of above, a persona, or a mapping
        image: private             # a name of above, or a mapping
        action: delete_image
        expect: forbidden          # allow, deny, forbidden (403) or hidden (404)
        decided_by: delete_image   # optional: the rule that decides
      - name: nobody sees the secret
        caller: {roles: [member]}
        property: x_secret
        operation: read            # create, read, update or delete
        expect: deny
        section: ^x_secret$        # optional: the section that decides

``deny`` is either 403 or 404.  With both ``action`` and ``property``, the action has
to be allowed as well.  ``target`` instead of ``image`` gives rules bare fields.  The
form of other tools is understood too: ``{name, creds, target, rule, expect}`` asks the
rule alone, where ``expect`` is true or false.

Source: contract policy 11.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from imagereg.errors import ConfigurationError, ImageRegError, Invalid
from imagereg.model import Caller, Operation
from imagereg.policy.actions import DEFAULTS, Action
from imagereg.policy.lint import nearest
from imagereg.rehearsal.personas import PERSONAS, subject_for
from imagereg.rehearsal.questions import (
    Answer,
    FieldsTarget,
    NewSubject,
    Question,
    SameSubject,
    StoredSubject,
    Subject,
    actions_for,
)
from imagereg.rehearsal.specs import caller_from, image_from, read_document

ENDINGS = (".cases.json", ".cases.yaml", ".cases.yml")

_FILE_KEYS = frozenset(
    {"policy", "protections", "format", "callers", "images", "cases"}
)
_CASE_KEYS = frozenset(
    {
        *("name", "caller", "image", "target", "action", "property", "operation"),
        *("expect", "decided_by", "section"),
    }
)
_BARE_KEYS = frozenset({"name", "creds", "target", "rule", "expect"})
_EXPECTED: Mapping[str, frozenset[Answer]] = {
    "allow": frozenset({Answer.ALLOW}),
    "true": frozenset({Answer.ALLOW}),
    "deny": frozenset({Answer.FORBIDDEN, Answer.HIDDEN}),
    "false": frozenset({Answer.FORBIDDEN, Answer.HIDDEN}),
    "forbidden": frozenset({Answer.FORBIDDEN}),
    "hidden": frozenset({Answer.HIDDEN}),
}


@dataclass(frozen=True)
class BareQuestion:
    """Whether a rule holds for these credentials and fields, and nothing else."""

    credentials: Mapping[str, object]
    target: Mapping[str, object]
    rule: str


@dataclass(frozen=True)
class Case:
    """One expectation.

    Attributes:
        expected: the answers that meet it.
        decided_by: the rule that has to decide, empty where any may.
        section: the header of the section that has to decide, likewise.
    """

    name: str
    question: Question | BareQuestion
    expected: frozenset[Answer]
    decided_by: str = ""
    section: str = ""


@dataclass(frozen=True)
class CaseFile:
    """What one file expects, and of which policy.

    Attributes:
        policy: None where the file names none.
        protections: likewise.
    """

    path: Path
    cases: tuple[Case, ...]
    policy: Path | None = None
    protections: Path | None = None
    rule_format: str = "roles"


@dataclass(frozen=True)
class _Names:
    """What the cases of a file may refer to by name."""

    callers: Mapping[str, Caller] = field(default_factory=dict)
    images: Mapping[str, StoredSubject] = field(default_factory=dict)


def find_case_files(places: Sequence[Path]) -> tuple[Path, ...]:
    """Return the case files among these files, and in these directories at any depth.

    Raises:
        Invalid: a place does not exist.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not place.exists():
            raise Invalid(f"`{place}` does not exist")
        if place.is_file():
            found[place] = None
            continue
        for ending in ENDINGS:
            found.update(dict.fromkeys(place.rglob(f"*{ending}")))
    return tuple(sorted(found))


def load_cases(path: Path) -> CaseFile:
    """Return the cases of a file.

    Raises:
        Invalid: the file cannot be read.
        ConfigurationError: every fault of every case.
    """
    document = read_document(path)
    head: Mapping[str, object] = document if isinstance(document, Mapping) else {}
    rows = head.get("cases") if head else document
    if not isinstance(rows, list) or not rows:
        raise Invalid(f"`{path}` holds no list of cases")
    faults = [f"{path}: {text}" for text in _unknown_keys(head, _FILE_KEYS)]
    names = _read_names(path, head, faults)
    cases: list[Case] = []
    for number, row in enumerate(rows, start=1):
        try:
            cases.append(_read_case(row, number, names))
        except ImageRegError as error:
            faults.append(f"{path}: {_title(row, number)}: {error.message}")
    counts = Counter(each.name for each in cases)
    twice = sorted(name for name, count in counts.items() if count > 1)
    faults += [f"{path}: two cases are named `{name}`" for name in twice]
    if faults:
        raise ConfigurationError(faults)
    return CaseFile(
        path,
        tuple(cases),
        _beside(path, head.get("policy")),
        _beside(path, head.get("protections")),
        str(head.get("format", "roles")),
    )


def _beside(path: Path, name: object) -> Path | None:
    return None if name is None else path.parent / str(name)


def _title(row: object, number: int) -> str:
    name = row.get("name") if isinstance(row, Mapping) else None
    return f"case {number}" if name is None else f"case `{name}`"


def _unknown_keys(row: Mapping[str, object], known: frozenset[str]) -> Iterator[str]:
    for key in row:
        if key not in known:
            yield f"unknown key `{key}`{nearest(str(key), known)}"


def _read_names(path: Path, head: Mapping[str, object], faults: list[str]) -> _Names:
    """Return the named callers and images of a file."""
    callers: dict[str, Caller] = {}
    images: dict[str, StoredSubject] = {}
    for key in ("callers", "images"):
        named = head.get(key, {})
        if not isinstance(named, Mapping):
            faults.append(f"{path}: `{key}` maps names to {key}")
            continue
        for name, spec in named.items():
            try:
                if key == "callers":
                    callers[name] = caller_from(_mapping(spec, "a caller"))
                else:
                    images[name] = image_from(_mapping(spec, "an image"))
            except ImageRegError as error:
                faults.append(f"{path}: {key}: `{name}`: {error.message}")
    return _Names(callers, images)


def _mapping(spec: object, what: str) -> Mapping[str, object]:
    if not isinstance(spec, Mapping):
        raise Invalid(f"{what} is a mapping")
    return spec


def _read_case(row: object, number: int, names: _Names) -> Case:
    """Return one case.

    Raises:
        Invalid: it is none; the message says why.
    """
    given = _mapping(row, "a case")
    is_bare = "rule" in given
    for fault in _unknown_keys(given, _BARE_KEYS if is_bare else _CASE_KEYS):
        raise Invalid(fault)
    expected = _EXPECTED.get(str(given.get("expect")).lower())
    if expected is None:
        raise Invalid("`expect` is allow, deny, forbidden or hidden")
    name = str(given.get("name", f"case {number}"))
    if is_bare:
        question = BareQuestion(
            _mapping(given.get("creds", {}), "`creds`"),
            _mapping(given.get("target", {}), "`target`"),
            str(given["rule"]),
        )
        return Case(name, question, expected)
    decided_by, section = (
        str(given.get("decided_by", "")),
        str(given.get("section", "")),
    )
    return Case(name, _read_question(given, names), expected, decided_by, section)


def question_for(
    caller: Caller, action: str, subject: Subject | None = None
) -> Question:
    """Return what a request for ``action`` asks; without a subject, as in a table.

    Raises:
        Invalid: there is no such action, or it is not about an image.
    """
    if action not in {*Action}:
        raise Invalid(f"there is no action `{action}`{nearest(action, DEFAULTS)}")
    usual = subject_for(Action(action))
    if isinstance(subject, StoredSubject) and not isinstance(usual, StoredSubject):
        if action != Action.ADD_IMAGE:
            raise Invalid(f"`{action}` is not about an image")
        subject = NewSubject(subject.image.owner, subject.image.visibility)
    subject = subject or usual
    actions: tuple[str, ...] = (action,)
    if isinstance(subject, StoredSubject):
        actions = actions_for(Action(action))
    return Question(caller, actions, subject)


def _read_question(given: Mapping[str, object], names: _Names) -> Question:
    action, prop = str(given.get("action", "")), str(given.get("property", ""))
    caller = _read_caller(given.get("caller", {}), names)
    subject = _read_subject(given, names)
    if action:
        question = question_for(caller, action, subject)
    elif prop:
        question = Question(caller, (), subject or SameSubject())
    else:
        raise Invalid("a case names an `action`, a `property`, or a `rule`")
    if not prop:
        return question
    text = str(given.get("operation", Operation.READ))
    if text not in {*Operation}:
        raise Invalid(f"`{text}` is no operation on a property")
    return replace(question, operation=Operation(text), name=prop)


def _read_caller(spec: object, names: _Names) -> Caller:
    if not isinstance(spec, str):
        return caller_from(_mapping(spec, "a caller"))
    known = {**PERSONAS, **names.callers}
    if spec not in known:
        raise Invalid(f"there is no caller `{spec}`{nearest(spec, known)}")
    return known[spec]


def _read_subject(given: Mapping[str, object], names: _Names) -> Subject | None:
    if "target" in given:
        return SameSubject(FieldsTarget(values=_mapping(given["target"], "`target`")))
    spec = given.get("image")
    if spec is None:
        return None
    if not isinstance(spec, str):
        return image_from(_mapping(spec, "an image"))
    if spec not in names.images:
        raise Invalid(f"there is no image `{spec}`{nearest(spec, names.images)}")
    return names.images[spec]
