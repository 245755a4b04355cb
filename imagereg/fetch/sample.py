"""The commented sample file of a node, written from the declarations of the options.

``conf/imagereg-fetch.conf`` is this text, and a test keeps it so.
"""

from collections.abc import Iterator

from imagereg.fetch.config import SECTIONS, FileSystem
from imagereg.settings.sample import comment_lines, section_lines

_HEAD = """\
Configuration of a compute node for imagereg-fetch, with every option and its default.

A line that starts with "#" and a name is an option: take the "#" away to set it.
The sections have the names that compute services give them, so that one file can
serve both; what else such a file holds is left alone.

The file is that of --config, else those of IMAGEREG_FETCH_CONFIG, else
/etc/imagereg/imagereg-fetch.conf.
"""


def sample_lines() -> Iterator[str]:
    """Yield the lines of the file."""
    yield from comment_lines(_HEAD)
    for section, table in SECTIONS.items():
        yield from section_lines(section, table)
        if section == "image_file_url":
            yield from section_lines("image_file_url:fast", FileSystem)
