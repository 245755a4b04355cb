"""Definitions in the database, when somebody else was faster."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imagereg.db.engine import Engine
from imagereg.db.metadefs import NamespaceRepository
from imagereg.db.schema import prepare
from imagereg.errors import (
    Duplicate,
    ImageRegError,
    NamespaceNotFound,
    NamespaceProtected,
)
from imagereg.metadef_model import (
    Association,
    Kind,
    MetadefObject,
    MetadefTag,
    Namespace,
    NewNamespace,
)
from tests import databases

FULL = NewNamespace(
    name="N",
    objects=(MetadefObject("o"),),
    properties={"p": {"title": "P", "type": "string"}},
    tags=(MetadefTag("t"),),
    associations=(Association("R"),),
)
NAMESPACE = Namespace(id="1", name="N", created_at_us=5, updated_at_us=5)

Write = Callable[[NamespaceRepository], object]

WRITES: dict[str, Write] = {
    "object": lambda rows: rows.contents.add_object(NAMESPACE, MetadefObject("x")),
    "property": lambda rows: rows.contents.add_property(NAMESPACE, "x", {}),
    "tags": lambda rows: rows.contents.add_tags(NAMESPACE, (MetadefTag("x"),)),
    "association": lambda rows: rows.contents.associate(NAMESPACE, Association("x")),
    "rename": lambda rows: rows.contents.update_tag(NAMESPACE, "t", MetadefTag("x")),
    "fields": lambda rows: rows.update(NAMESPACE, replace(NAMESPACE, owner="x")),
    "rewrite": lambda rows: rows.rewrite(NAMESPACE, FULL),
}
DELETIONS: dict[str, Write] = {
    **{
        kind: lambda rows, kind=kind: rows.contents.remove(NAMESPACE, kind, "o")  # type: ignore[misc]  # the default binds the loop's value
        for kind in Kind
    },
    "clear": lambda rows: rows.contents.clear(NAMESPACE, Kind.TAG),
    "namespace": lambda rows: rows.delete(NAMESPACE),
}


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[NamespaceRepository]:
    url = databases.connection(tmp_path / "registry.sqlite")
    engine = Engine.connect(url, synchronous=False)
    prepare(engine)
    repository = NamespaceRepository(engine)
    repository.add(NAMESPACE, FULL)
    yield repository
    engine.close()


@pytest.mark.parametrize("write", [*WRITES, *DELETIONS])
def test_nothing_is_written_to_a_namespace_that_went_away(
    rows: NamespaceRepository, write: str
) -> None:
    rows.delete(NAMESPACE)
    # The name is taken again, by a namespace that nobody asked about.
    rows.add(replace(NAMESPACE, id="2"), FULL)
    successor = rows.get("N")
    before = rows.contents.all(successor)

    with pytest.raises(NamespaceNotFound):
        {**WRITES, **DELETIONS}[write](rows)

    assert rows.get("N") == successor
    assert rows.contents.all(successor) == before


@pytest.mark.parametrize("deletion", DELETIONS)
def test_protection_counts_from_the_moment_it_is_there(
    rows: NamespaceRepository, deletion: str
) -> None:
    rows.update(NAMESPACE, replace(NAMESPACE, protected=True))

    with pytest.raises(NamespaceProtected):
        DELETIONS[deletion](rows)

    assert len(rows.contents.all(NAMESPACE).tags) == 1


def test_a_failed_creation_leaves_nothing(rows: NamespaceRepository) -> None:
    other = replace(NAMESPACE, id="2", name="M")
    twice = replace(FULL, name="M", tags=(MetadefTag("t"), MetadefTag("t")))

    with pytest.raises(Duplicate):
        rows.add(other, twice)

    assert rows.find("M") is None
    assert rows.contents.all(other).objects == ()


def test_a_failed_replacement_of_tags_keeps_the_old_ones(
    rows: NamespaceRepository,
) -> None:
    tags = (MetadefTag("x"), MetadefTag("x"))

    with pytest.raises(ImageRegError):
        rows.contents.add_tags(NAMESPACE, tags, instead=True)

    assert [each.name for each in rows.contents.tags(NAMESPACE)] == ["t"]


def test_a_namespace_takes_its_content_along_and_leaves_resource_types(
    rows: NamespaceRepository,
) -> None:
    rows.delete(NAMESPACE)

    content = rows.contents.all(NAMESPACE)
    assert (content.objects, content.tags, content.associations) == ((), (), ())
    assert content.properties == {}
    assert [each.name for each in rows.contents.resource_types()] == ["R"]


def test_a_rewrite_keeps_the_times_of_what_stays(rows: NamespaceRepository) -> None:
    content = rows.contents.all(NAMESPACE)
    kept = replace(FULL, tags=(*content.tags, MetadefTag("new")))

    rows.rewrite(replace(NAMESPACE, updated_at_us=9), kept)

    times = {each.name: each.created_at_us for each in rows.contents.tags(NAMESPACE)}
    assert times == {"t": 5, "new": 9}
