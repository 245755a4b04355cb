"""YAML policy files to entries; imported only when a file is not plain JSON.

Nodes are read rather than values, because values have lost their lines and tags:
``name: !`` is an empty text with a tag, which would allow everyone (ruling P-2).
"""

import yaml

from imagereg.errors import RuleSyntaxError
from imagereg.policy.language import Unreadable

Pairs = list[tuple[str, object, int]]
Faults = list[tuple[int, str]]

_TEXT = "tag:yaml.org,2002:str"


class MalformedYAML(ValueError):
    """The text is no YAML mapping of names.  ``line`` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        self.line = line
        super().__init__(message)


class _Loader(yaml.SafeLoader):
    """Remembers which nodes carry a tag, which the nodes themselves do not tell."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.tagged: set[int] = set()

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node."""
        tag = getattr(self.peek_event(), "tag", None)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        if tag is not None:
            self.tagged.add(id(node))
        return node


def read_yaml(text: str) -> tuple[Pairs, Faults]:
    """Return name, value and line of every entry, and line and text of every fault.

    Raises:
        MalformedYAML: no YAML, more than one document, or no mapping.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise MalformedYAML(what, mark.line + 1 if mark else 1) from error
    except RecursionError as error:
        raise MalformedYAML("too deeply nested", 1) from error
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return [], []
    if not isinstance(root, yaml.MappingNode):
        line = root.start_mark.line + 1
        raise MalformedYAML("expected names with rules", line)
    return _entries(root, loader.tagged)


def _entries(root: yaml.MappingNode, tagged: set[int]) -> tuple[Pairs, Faults]:
    """Return the pairs of the outermost mapping, well formed ones and faults apart."""
    pairs: Pairs = []
    faults: Faults = []
    for key, node in root.value:
        line = key.start_mark.line + 1
        name = key.value if isinstance(key, yaml.ScalarNode) else f"a {key.id}"
        if key.tag != _TEXT or id(key) in tagged:
            faults.append((line, f"rule `{name}`: a name is a text, quote it"))
            continue
        try:
            pairs.append((name, _value(node, tagged), line))
        except RuleSyntaxError as wrong:
            pairs.append((name, Unreadable(str(wrong)), line))
    return pairs, faults


def _value(node: yaml.Node, tagged: set[int], depth: int = 0) -> object:
    """Return a text, or a list of texts and lists of texts.

    Raises:
        RuleSyntaxError: the node is anything else, or tagged.
    """
    if id(node) in tagged:
        raise RuleSyntaxError("a YAML tag, so the rule needs quotes")
    if isinstance(node, yaml.SequenceNode) and depth < 2:
        return [_value(inner, tagged, depth + 1) for inner in node.value]
    if node.tag != _TEXT:
        kind = node.tag.rpartition(":")[2]
        raise RuleSyntaxError(f"a rule is a text, not {kind}")
    return str(node.value)
