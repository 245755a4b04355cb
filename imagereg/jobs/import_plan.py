"""What an import has to do, and how far it is, as its job's payload tells.

Source: contract api-images 7 and 18.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imagereg.db.jobs import Job
from imagereg.db.places import FAILED
from imagereg.jobs.import_request import ImportMethod
from imagereg.jobs.import_rights import caller_of
from imagereg.model import Caller, Image, Status

#: The property that tells clients which stores are still to be filled.
IMPORTING = "os_glance_importing_to_stores"

#: The statuses of an image whose stores are being filled.
UNDER_WAY = (Status.IMPORTING, Status.ACTIVE, Status.DEACTIVATED)


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """One import.

    Attributes:
        source: where the data lie, as the request says.
        stores: ids of the stores to fill, in order.
        must_succeed: one store that fails undoes the others.
        caller: whoever began it.
        started: the first step was made.
        steps: how many plugins are through.
        old_fields: core fields that plugins changed, as they were.
        old_properties: properties likewise; None was not there.
        done: stores that hold the data.
        failed: stores that do not.
        failure: why the import failed; what is left is to clear up.
    """

    method: ImportMethod
    stores: tuple[str, ...]
    caller: Caller
    source: Mapping[str, object] = field(default_factory=dict)
    must_succeed: bool = True
    started: bool = False
    steps: int = 0
    old_fields: Mapping[str, object] = field(default_factory=dict)
    old_properties: Mapping[str, str | None] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    failure: str = ""

    @classmethod
    def of(cls, job: Job) -> "ImportPlan":
        """Return the plan that a job's payload holds."""
        values = dict(job.payload)
        for name in ("stores", "done", "failed"):
            values[name] = _names(values.get(name))
        values["caller"] = caller_of(values["caller"])  # type: ignore[arg-type] # likewise
        values["method"] = ImportMethod(str(values["method"]))
        return cls(**values)  # type: ignore[arg-type] # written by `Imports.begin` and by notes

    @property
    def copies(self) -> bool:
        """Whether the image has its data already."""
        return self.method == ImportMethod.COPY_IMAGE

    @property
    def left(self) -> tuple[str, ...]:
        """The stores that nothing is known of yet."""
        known = {*self.done, *self.failed}
        return tuple(store for store in self.stores if store not in known)


def lists(
    image: Image, *, left: Iterable[str], failed: Iterable[str], several: bool
) -> Mapping[str, str | None]:
    """Return the properties that tell clients how far the stores are.

    They stay when all is over, as empty texts, because clients wait for that.

    Args:
        image: as it is now.
        failed: stores to add to those that failed before.
        left: stores still to be filled, which have not failed any more.
        several: clients know stores by their ids.
    """
    if not several:
        return {IMPORTING: "", FAILED: ""}
    before = str(image.properties.get(FAILED, "")).split(",")
    wanted = set(left)
    all_failed = ({name for name in before if name} - wanted) | set(failed)
    return {
        IMPORTING: ",".join(sorted(wanted)),
        FAILED: ",".join(sorted(all_failed)),
    }


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
