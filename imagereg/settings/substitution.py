r"""Insert the values of other options where ``$`` names them.

``$name``, ``${name}``, ``$section.name`` and ``${section.name}`` stand for the
text of another option; ``$$`` and ``\$`` are a dollar sign; a dollar sign before
anything else is itself.  A bare name is looked up in the section where it stands,
then in ``[DEFAULT]``.  Source: contract config 1, observed on the reference.
"""

import re
from collections.abc import Mapping

from imagereg.settings.options import Table, options_of
from imagereg.settings.sources import Sources, Written
from imagereg.settings.syntax import SHARED_SECTION

_NAME = r"[A-Za-z_][A-Za-z0-9_.]*"
_REFERENCE = re.compile(
    rf"\\\$|\$(?:(?P<escaped>\$)|(?P<plain>{_NAME})|\{{(?P<braced>{_NAME})\}})"
)
_Key = tuple[str, str]


class BrokenReference(ValueError):
    """A ``$`` reference leads nowhere, or back to where it stands.

    Attributes:
        place: where the text with the reference stands.
    """

    place = ""


class Substituted:
    """The sources, read with all references replaced.

    What can be referred to is any option that imagereg honours, and any other
    that the sources hold: wider than the reference, which wants it registered.
    """

    def __init__(
        self, sources: Sources, tables: Mapping[str, tuple[type[Table], ...]]
    ) -> None:
        self._sources = sources
        self._tables = tables

    def find(self, section: str, name: str) -> Written | None:
        """Return what was written, with its references replaced.

        Raises:
            BrokenReference: a reference leads nowhere, or to itself.
        """
        written = self._sources.find(section, name)
        if written is None or not any("$" in text for text in written.texts):
            return written
        trail = ((section, name),)
        try:
            texts = tuple(self._replace(text, trail) for text in written.texts)
        except BrokenReference as error:
            error.place = written.place
            raise
        return Written(texts, written.place)

    def _replace(self, text: str, trail: tuple[_Key, ...]) -> str:
        def value(match: re.Match[str]) -> str:
            name = match["plain"] or match["braced"]
            return self._text(name, trail) if name else "$"

        return _REFERENCE.sub(value, text) if "$" in text else text

    def _text(self, reference: str, trail: tuple[_Key, ...]) -> str:
        head, dot, tail = reference.rpartition(".")
        section = trail[-1][0]
        keys = [(head, tail)] if dot else [(section, tail), (SHARED_SECTION, tail)]
        for key in keys:
            if key in trail:
                raise BrokenReference(f"`${reference}` leads back to itself")
            if (written := self._sources.find(*key)) is not None:
                return self._replace(written.texts[-1], (*trail, key))
            if (default := self._default(key)) is not None:
                return default
        raise BrokenReference(f"`${reference}` names no option that is known or set")

    def _default(self, key: _Key) -> str | None:
        section, name = key
        for table in self._tables.get(section, ()):
            if option := options_of(table).get(name):
                return option.kind.show(option.default)[-1]
        return None
