"""What uploaded bytes turn out to be, and whether that is what they claim.

The recognising is oslo.utils' work, where the fixes for this class of fault land
first; what follows from it is decided here.  oslo.utils is untyped and takes a
tenth of a second to import, so this module alone imports it, at the first upload.

Its inspectors depend on how the stream is cut: a text descriptor of a VMDK is
recognised in one chunk or never, and the metadata of a VHDX are missed in a chunk
that is too long.  Therefore the head of the stream is shown in one piece, and what
follows in slices of this module's choosing, however the bytes came in.

Source: contract api-images 15.4.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from imagereg.errors import UnsafeContent

HEAD_BYTES = 1024 * 1024
"""Where every format must have shown itself; qemu reads no longer descriptors."""

SLICE_BYTES = 32 * 1024
"""Less than the 64 KiB that a VHDX keeps between its table and the items of it."""

MAX_VIRTUAL_BYTES = 2**63 - 1
"""What qemu opens at most, and what a database column holds."""

NO_INSPECTOR = frozenset({"aki", "ari", "ami", "ploop"})
KERNELS = frozenset({"aki", "ari"})
COUNTED = frozenset({"gpt", "luks"})
"""Formats whose virtual size is known from the number of bytes only."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FormatRules:
    """Section ``[image_format]``: what is accepted.

    Attributes:
        require_match: content must be what ``disk_format`` says.
        vmdk_allowed_types: createType values; none means no VMDK.
        gpt_nonfatal: safety checks of partition tables that only warn.
    """

    require_match: bool = True
    vmdk_allowed_types: tuple[str, ...] = ("streamOptimized", "monolithicSparse")
    gpt_nonfatal: tuple[str, ...] = ()


class Inspector:
    """Looks at one upload as it streams by.

    A refusal comes as soon as nothing that follows could avert it.
    """

    def __init__(
        self,
        container_format: str | None,
        disk_format: str | None,
        rules: FormatRules,
    ) -> None:
        self._claim = disk_format or ""
        self._rules = rules
        self._size = 0
        self._is_bare = container_format == "bare"
        # Raw is allowed to be anything, so nobody looks at it.
        is_inspected = self._is_bare and self._claim != "raw"
        self._head: list[bytes] | None = [] if is_inspected else None
        self._candidates: tuple[_Candidate, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether further bytes change the size at most, and no verdict."""
        return self._head is None and all(each.is_done for each in self._candidates)

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes.

        Raises:
            UnsafeContent: they are not acceptable, whatever may follow.
        """
        start, self._size = self._size, self._size + len(chunk)
        if self._head is None:
            self._show(chunk, start)
            return
        room = HEAD_BYTES - start
        self._head.append(chunk[:room])
        if self._size >= HEAD_BYTES:
            self._open_head()
            self._show(chunk[room:], HEAD_BYTES)

    def finish(self) -> int | None:
        """Return the virtual size, or None where nobody can know it.

        Raises:
            UnsafeContent: the content is not acceptable.
        """
        if self._is_bare and self._claim == "raw":
            return self._size or None
        if self._head is not None:
            self._open_head()
        claimed = self._claimed()
        if claimed is None:
            return None
        claimed.finish()
        self._check_safe(claimed)
        return self._check_size(claimed.virtual_size(self._size))

    def _open_head(self) -> None:
        """Show the head to every inspector; keep those that recognise it."""
        head = b"".join(self._head or ())
        self._head = None
        candidates = tuple(_Candidate(name, make()) for name, make in _known().items())
        for candidate in candidates:
            candidate.show(head, 0)
        found = tuple(each for each in candidates if each.matches())
        self._check_claim(tuple(each.name for each in found))
        self._candidates = tuple(each for each in found if each.name == self._claim)
        self._check_early()

    def _show(self, chunk: bytes, start: int) -> None:
        for candidate in self._candidates:
            if not candidate.is_done:
                candidate.show(chunk, start)
                self._check_early()

    def _claimed(self) -> "_Candidate | None":
        return next(iter(self._candidates), None)

    def _check_claim(self, found: tuple[str, ...]) -> None:
        """Refuse content that is not what it claims to be."""
        claim = self._claim
        if len(found) > 1 and not (claim == "iso" and set(found) == {"iso", "gpt"}):
            names = ", ".join(sorted(found))
            raise UnsafeContent(f"the content is several formats at once: {names}")
        if not found and claim in NO_INSPECTOR:
            return
        if found == ("gpt",) and claim in KERNELS:
            return  # The boot sector of a kernel looks like a partition table.
        if self._rules.require_match and claim not in found:
            what = f"of format {found[0]}" if found else "of no known format"
            raise UnsafeContent(
                f"the content does not match disk_format `{claim}`: it is {what}"
            )

    def _check_early(self) -> None:
        """Refuse what the claimed format's inspector already knows to be unsafe."""
        claimed = self._claimed()
        if claimed and (claimed.error or claimed.is_complete()):
            self._check_safe(claimed)

    def _check_safe(self, claimed: "_Candidate") -> None:
        nonfatal = self._rules.gpt_nonfatal if claimed.name == "gpt" else ()
        failures = claimed.failures()
        for name in failures.keys() & set(nonfatal):
            _log.warning("safety check %s failed: %s", name, failures[name])
        fatal = [why for name, why in failures.items() if name not in nonfatal]
        if not fatal and claimed.name == "vmdk":
            fatal = self._vmdk_faults(claimed)
        if fatal:
            raise UnsafeContent(f"the image failed safety checks: {'; '.join(fatal)}")

    def _vmdk_faults(self, claimed: "_Candidate") -> list[str]:
        """Say what else is wrong with a VMDK that oslo.utils lets pass."""
        if claimed.is_mere_descriptor():
            return ["descriptor (the data lie in other files)"]
        allowed = {name.lower() for name in self._rules.vmdk_allowed_types}
        return [] if claimed.vmdk_type() in allowed else ["this type is not allowed"]

    @staticmethod
    def _check_size(virtual_size: int) -> int | None:
        if virtual_size > MAX_VIRTUAL_BYTES:
            raise UnsafeContent("the image failed safety checks: absurd virtual size")
        return virtual_size if virtual_size > 0 else None


class _Candidate:
    """One inspector of oslo.utils.  Whatever breaks in it stays in it.

    Hostile input may make it raise anything, so all that looks at it is guarded.
    """

    def __init__(self, name: str, inspector: Any) -> None:  # noqa: ANN401 - untyped
        self.name = name
        self.error = ""
        self._inspector = inspector
        self._slice_bytes = SLICE_BYTES if name == "vhdx" else 0

    @property
    def is_done(self) -> bool:
        """Whether further bytes change nothing."""
        return bool(self.error) or self.is_complete()

    def show(self, chunk: bytes, start: int) -> None:
        """Let it look at ``chunk``, which begins at ``start`` of the stream."""
        for part in _slices(chunk, start, self._slice_bytes):
            if self.is_done:
                return
            try:
                self._inspector.eat_chunk(part)
            except Exception as error:  # noqa: BLE001 - see the class
                self.error = str(error) or type(error).__name__

    def finish(self) -> None:
        """Say that no more bytes follow."""
        self._inspector.finish()

    def matches(self) -> bool:
        """Return whether it recognises the content, be it broken otherwise."""
        return bool(self._ask("format_match", default=False))

    def is_complete(self) -> bool:
        """Return whether it has seen all that it wants."""
        return bool(self._ask("complete", default=False))

    def virtual_size(self, size_bytes: int) -> int:
        """Return the bytes that a machine sees, 0 when unknown.

        Done inspectors are no longer shown anything, so that those who count
        bytes are corrected by the true number of them.
        """
        size = int(self._ask("virtual_size", default=0))
        if self.name in COUNTED:
            size += size_bytes - int(self._ask("actual_size", default=0))
        return size

    def vmdk_type(self) -> str:
        """Return the createType of a VMDK, in lower case."""
        return str(self._ask("vmdktype", default=""))

    def is_mere_descriptor(self) -> bool:
        """Return whether a VMDK is a text that points to other files."""
        return not self._inspector.has_region("header")

    def failures(self) -> Mapping[str, str]:
        """Return names and reasons of the safety checks that fail."""
        if self.error:
            return {self.name: self.error}
        try:
            self._inspector.safety_check()
        except Exception as error:  # noqa: BLE001 - see the class
            failures = getattr(error, "failures", None) or {self.name: error}
            return {name: f"{name} ({why})" for name, why in failures.items()}
        return {}

    def _ask(self, name: str, *, default: object) -> Any:  # noqa: ANN401 - untyped
        try:
            return getattr(self._inspector, name)
        except Exception:  # noqa: BLE001 - see the class
            return default


def _slices(chunk: bytes, start: int, slice_bytes: int) -> Iterator[bytes]:
    """Cut ``chunk`` where the stream's offset is a multiple of ``slice_bytes``."""
    if not slice_bytes:
        yield chunk
        return
    first = 0
    while first < len(chunk):
        last = first + slice_bytes - (start + first) % slice_bytes
        yield chunk[first:last]
        first = last


@cache
def _known() -> Mapping[str, Any]:
    """Return format name -> inspector class; ``raw`` is what none recognises."""
    from oslo_utils.imageutils import format_inspector

    formats: Mapping[str, Any] = format_inspector.ALL_FORMATS
    return {name: kind for name, kind in formats.items() if name != "raw"}
