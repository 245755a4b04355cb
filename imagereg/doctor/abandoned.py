"""Images that come in parts, and whose clients went away before the last one.

They stay `uploading` and keep their bytes, because a client may go on after days; how
many, the operator says.  Images of which all bytes are there are none of these.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from imagereg.doctor.findings import Finding, Kind
from imagereg.images.staged import StagedData
from imagereg.model import format_time, now_us

HOUR_US = 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class AbandonedUploads:
    """Finds them, and puts them back to where they can begin anew.

    Attributes:
        limit_h: for how many hours a client may be silent (``staging_time_to_live``);
            0 is for ever.
    """

    staged: StagedData
    limit_h: int

    def collect(self, *, fix: bool) -> Iterator[Finding]:
        """Yield each one; with ``fix`` it is ``queued`` again, without its bytes."""
        if not self.limit_h:
            return
        before_us = now_us() - self.limit_h * HOUR_US
        for each in self.staged.rows.abandoned(before_us):
            finding = Finding(
                Kind.ABANDONED,
                self.staged.stores.staging.id,
                each.image_id,
                size=each.size,
                detail=f"nothing came since {format_time(each.since_us)}",
            )
            if fix:
                is_fixed = self.staged.give_up(each.image_id, before_us)
                finding = replace(finding, fixed=is_fixed)
            yield finding
