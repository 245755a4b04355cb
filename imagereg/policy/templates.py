"""The right side of a check: text with ``%(name)s`` holes, filled from a target."""

from collections.abc import Mapping
from dataclasses import dataclass

from imagereg.errors import RuleSyntaxError


class _Probe:
    """Stands in for a target, to learn which names a text asks for.

    The answer 1 suits every conversion, so what fails here fails for any target.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def __getitem__(self, name: str) -> int:
        self.names.append(name)
        return 1

    def __repr__(self) -> str:
        raise TypeError("a hole needs a name")


@dataclass(frozen=True, slots=True)
class Template:
    """Text that is complete once a target has filled its holes.

    Attributes:
        text: as written.
        fields: target fields the text asks for, in order, with repetitions.
    """

    text: str
    fields: tuple[str, ...]

    @property
    def constant(self) -> str | None:
        """The text itself, where no target can change it; ``%%`` is one percent."""
        return None if self.fields else self.text.replace("%%", "%")

    @property
    def sole_field(self) -> str | None:
        """The name, where the text is one plain ``%(name)s`` and nothing else."""
        if len(self.fields) == 1 and self.text == f"%({self.fields[0]})s":
            return self.fields[0]
        return None

    def fill(self, target: Mapping[str, object]) -> str:
        """Return the text with every hole filled from ``target``.

        Raises:
            KeyError: the target lacks a field.
            TypeError, ValueError, OverflowError: a value does not suit its
                conversion, such as ``%(name)d`` with a text.
        """
        return self.text % target


def parse_template(text: str) -> Template:
    """Return ``text`` as a template.

    Python's own ``%`` decides what is well formed, because that is what the
    reference fills it with; a hole without a name would render the whole target
    and is refused.

    Raises:
        RuleSyntaxError: the holes are broken.  Source: contract policy, ruling P-2.
    """
    probe = _Probe()
    try:
        text % probe
    except (TypeError, ValueError, OverflowError, MemoryError) as broken:
        raise RuleSyntaxError(f"broken interpolation in `{text}`: {broken}") from broken
    return Template(text, tuple(probe.names))
