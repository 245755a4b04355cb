"""Policy cases as pytest items, and the fixture ``policy`` for tests in Python.

Files named ``*.cases.json`` and ``*.cases.yaml`` are collected, see `cases.py` for
their form.  The fixture asks the built-in rules, or the files that these settings of
pytest name: ``imagereg_policy``, ``imagereg_protections`` and
``imagereg_protections_format``, with paths beside the settings file::

    def test_a_reader_downloads_nothing(policy):
        reader = policy.as_(roles=["reader"], project="p1")
        assert not reader.can("download_image", {"owner": "p1"})
        assert not policy.as_(roles=["member"]).can_property("read", "x_secret")

pytest imports this module in every run, so everything heavy is imported when it is
needed; ``-p no:imagereg_policy`` switches it off.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from imagereg.model import Caller, Image
    from imagereg.rehearsal.cases import Case
    from imagereg.rehearsal.questions import Question, Rehearsal
    from imagereg.rehearsal.runs import Runner

_ENDINGS = (".cases.json", ".cases.yaml", ".cases.yml")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings that name the files of the fixture."""
    parser.addini("imagereg_policy", "Policy file of the fixture `policy`.")
    parser.addini("imagereg_protections", "Its property-protection file.")
    parser.addini(
        "imagereg_protections_format", "The format of that file.", default="roles"
    )


def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> "CaseModule | None":
    """Return a collector for a file of cases."""
    if not file_path.name.endswith(_ENDINGS):
        return None
    module: CaseModule = CaseModule.from_parent(parent, path=file_path)
    return module


class CaseModule(pytest.File):
    """A file of cases."""

    def collect(self) -> Iterator["CaseItem"]:
        """Yield one item for each case; a faulty file is an error of collection."""
        from imagereg.errors import ImageRegError
        from imagereg.rehearsal.cases import load_cases
        from imagereg.rehearsal.runs import Runner

        try:
            file = load_cases(self.path)
            runner = Runner.for_file(file)
        except ImageRegError as error:
            raise self.CollectError(error.message) from error
        for case in file.cases:
            item: CaseItem = CaseItem.from_parent(
                self, name=case.name, case=case, runner=runner
            )
            yield item


class CaseFailed(Exception):
    """The policy decides otherwise than the case expects."""


class CaseItem(pytest.Item):
    """One case."""

    def __init__(
        self, name: str, parent: CaseModule, case: "Case", runner: "Runner"
    ) -> None:
        super().__init__(name, parent)
        self.case = case
        self.runner = runner

    def runtest(self) -> None:
        """Ask the policy."""
        result = self.runner.run(self.case)
        if not result.passed:
            raise CaseFailed(result.fault)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None
    ) -> str:
        """Return what was expected and what came, without a traceback."""
        if isinstance(excinfo.value, CaseFailed):
            return f"{self.path.name}: {self.name}\n  {excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return how reports name this case."""
        return self.path, None, f"{self.path.name}: {self.name}"


class PolicyCaller:
    """Someone of whom a test asks what it may do."""

    def __init__(self, rehearsal: "Rehearsal", caller: "Caller") -> None:
        self._rehearsal = rehearsal
        self._caller = caller

    def can(
        self, action: str, image: "Mapping[str, object] | Image | None" = None
    ) -> bool:
        """Return whether the gate would allow the action, ownership and all.

        ``image`` is a record, or a mapping in the form of the Image API with
        ``members`` beside; without one, the target is as in `imagereg policy matrix`.
        """
        return self._rehearsal.ask(self._question(action, image)).allowed

    def why(
        self, action: str, image: "Mapping[str, object] | Image | None" = None
    ) -> str:
        """Return one line that says why the action is allowed or refused."""
        from imagereg.policy.explain import reason
        from imagereg.rehearsal.reasons import account_for

        account = account_for(self._rehearsal, self._question(action, image))
        told = [reason(found) for found in (account.explanation,) if found]
        return "; ".join([account.verdict.stage.value, *told])

    def can_property(self, operation: str, name: str) -> bool:
        """Return whether the protections allow an operation on a property."""
        from imagereg.model import Operation
        from imagereg.rehearsal.questions import Question, SameSubject

        wanted = Operation(operation)
        question = Question(self._caller, (), SameSubject(), wanted, name)
        return self._rehearsal.ask(question).allowed

    def _question(
        self, action: str, image: "Mapping[str, object] | Image | None"
    ) -> "Question":
        from imagereg.model import Image
        from imagereg.rehearsal.cases import question_for
        from imagereg.rehearsal.questions import StoredSubject
        from imagereg.rehearsal.specs import image_from

        if image is None:
            return question_for(self._caller, action)
        if isinstance(image, Image):
            return question_for(self._caller, action, StoredSubject(image))
        return question_for(self._caller, action, image_from(image))


class Policy:
    """What the fixture ``policy`` is."""

    def __init__(self, rehearsal: "Rehearsal") -> None:
        self._rehearsal = rehearsal

    def as_(self, **who: object) -> PolicyCaller:
        """Return a caller: ``roles``, ``project``, ``user`` and whatever rules read."""
        from imagereg.rehearsal.specs import caller_from

        return PolicyCaller(self._rehearsal, caller_from(who))


@pytest.fixture(scope="session")
def policy(pytestconfig: pytest.Config) -> Policy:
    """Return the policy that the settings of pytest name."""
    from imagereg.policy.rules import load_rule_set
    from imagereg.rehearsal.files import load_rehearsal

    def find(name: str) -> Path | None:
        text = str(pytestconfig.getini(name))
        return (
            (pytestconfig.inipath or pytestconfig.rootpath).parent / text
            if text
            else None
        )

    rules = load_rule_set(find("imagereg_policy"))
    rule_format = str(pytestconfig.getini("imagereg_protections_format"))
    return Policy(load_rehearsal(rules, find("imagereg_protections"), rule_format))
