"""Put namespaces from files into the database, and take them out again.

The operator does this at the machine itself, with the files of the database in
hand, so no gate is asked.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from imagereg.db.metadefs import NamespaceQuery, NamespaceRepository
from imagereg.metadef_model import Content, Namespace, NewNamespace
from imagereg.metadefs.files import OWNER
from imagereg.metadefs.merging import Change, Effect, Mode, plan
from imagereg.model import now_us

_ALL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Loader:
    """The use cases, bound to what they work on."""

    repository: NamespaceRepository

    def load(
        self,
        namespaces: Iterable[NewNamespace],
        mode: Mode,
        *,
        prefer_new: bool = False,
        dry_run: bool = False,
    ) -> Sequence[Change]:
        """Store namespaces, each all or nothing, and return what that changed."""
        changes: list[Change] = []
        for each in namespaces:
            found = self.repository.find(each.name)
            before = (found, self.repository.contents.all(found)) if found else None
            # A file that names no owner takes nobody's namespace away.
            owner = each.owner or (found.owner if found else OWNER)
            new = replace(each, owner=owner)
            planned = plan(new, before, mode, prefer_new=prefer_new)
            if planned.result is not None and not dry_run:
                self._store(planned.result, found)
            changes += planned.changes
        return changes

    def unload(
        self, names: Iterable[str], *, force: bool = False, dry_run: bool = False
    ) -> Sequence[Change]:
        """Delete namespaces, protected ones by force alone; unknown names are fine."""
        changes: list[Change] = []
        for name in names:
            found = self.repository.find(name)
            if found is None:
                continue
            if found.protected and not force:
                changes.append(Change(name, Effect.PROTECTED))
                continue
            if not dry_run:
                self._delete(found)
            changes.append(Change(name, Effect.REMOVED))
        return changes

    def stored(
        self, resource_type: str | None = None
    ) -> Iterator[tuple[Namespace, Content]]:
        """Yield all namespaces by name, or those meant for one resource type."""
        query = NamespaceQuery(
            project_id=None,
            is_admin=True,
            limit=_ALL,
            resource_types=() if resource_type is None else (resource_type,),
            sort_key="namespace",
            ascending=True,
        )
        for namespace, _ in self.repository.page(query):
            yield namespace, self.repository.contents.all(namespace)

    def _delete(self, namespace: Namespace) -> None:
        if namespace.protected:
            self.repository.update(namespace, replace(namespace, protected=False))
        self.repository.delete(namespace)

    def _store(self, new: NewNamespace, before: Namespace | None) -> None:
        time = now_us()
        namespace = Namespace(
            id=str(uuid4()) if before is None else before.id,
            name=new.name,
            created_at_us=time if before is None else before.created_at_us,
            updated_at_us=time,
            visibility=new.visibility,
            protected=new.protected,
            owner=new.owner,
            display_name=new.display_name,
            description=new.description,
        )
        if before is None:
            self.repository.add(namespace, new)
        else:
            self.repository.rewrite(namespace, new)
