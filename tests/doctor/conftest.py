"""A whole registry in this process, and the doctor that looks at it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagereg.db.deletions import DeletionRepository
from imagereg.db.inventory import Inventory
from imagereg.doctor.collection import Collection, Wanted
from imagereg.doctor.findings import Finding
from imagereg.doctor.verification import Sample, Verification
from tests.registry import SEVERAL_STORES, LocalRegistry


@dataclass(frozen=True)
class Doctor:
    """What looks at one registry."""

    collection: Collection
    verification: Verification

    @classmethod
    def of(cls, registry: LocalRegistry) -> "Doctor":
        """Return the doctor of a registry."""
        recovery = registry.registry.recovery
        inventory = Inventory(registry.registry.engine)
        return cls(
            Collection(
                inventory,
                DeletionRepository(registry.registry.engine),
                recovery.uploads,
                recovery.stores,
                recovery.removal,
                recovery,
            ),
            Verification(inventory, recovery.stores, recovery.removal),
        )

    def gc(
        self,
        store: str | None = None,
        *,
        fix: bool = False,
        foreign: bool = False,
        settled_s: float = 0,
    ) -> list[Finding]:
        """Return what `imagereg store gc` would print."""
        return list(self.collection.run(Wanted(store, fix, foreign, settled_s)))

    def verify(
        self, store: str | None = None, count: int | None = None, *, fix: bool = False
    ) -> list[Finding]:
        """Return what `imagereg store verify` would print."""
        found = self.verification.run(Sample(store, count), fix=fix)
        return [finding for _, finding in found if finding is not None]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    """Yield a registry with two file stores and the web."""
    made = LocalRegistry(tmp_path, SEVERAL_STORES)
    yield made
    made.close()


@pytest.fixture
def doctor(registry: LocalRegistry) -> Doctor:
    return Doctor.of(registry)
