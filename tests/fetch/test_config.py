"""The configuration of a node, and the sample of it."""

from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError
from imagereg.fetch.config import FetchConfig, FileSystem, load_fetch_config
from imagereg.fetch.sample import sample_lines

SAMPLE = Path(__file__).parents[2] / "conf" / "imagereg-fetch.conf"

COMPUTE = """
[DEFAULT]
compute_driver = libvirt.LibvirtDriver
[glance]
api_servers = http://one:9292, http://two:9292
num_retries = 7
[image_file_url]
filesystems = fast, archive
[image_file_url:fast]
id = fs-1
mountpoint = /mnt/images
[image_file_url:archive]
id = fs-2
mountpoint = /mnt/archive
readonly_check = false
[image_cache]
layout = compat
instances_path = $state/instances
state = /var/lib/nova
"""


def test_the_sample_is_what_the_declarations_say() -> None:
    assert SAMPLE.read_text() == "\n".join(sample_lines()) + "\n"


def test_the_sample_sets_nothing() -> None:
    assert load_fetch_config([SAMPLE]) == FetchConfig()


def test_a_file_of_a_compute_service_is_read(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    path.write_text(COMPUTE)

    config = load_fetch_config([path])

    assert config.endpoints == ("http://one:9292", "http://two:9292")
    assert config.glance.num_retries == 7
    assert config.filesystems == (
        FileSystem("fs-1", Path("/mnt/images"), True),
        FileSystem("fs-2", Path("/mnt/archive"), False),
    )
    assert config.cache.instances_path == Path("/var/lib/nova/instances")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "node.conf"
    path.write_text(
        "[image_file_url]\nfilesystems = fast, slow\n"
        "[image_file_url:fast]\nid = fs-1\nmountpoint = relative\n"
        "[image_cache]\nlayout = odd\n"
    )

    with pytest.raises(ConfigurationError) as caught:
        load_fetch_config([path])

    text = "\n".join(caught.value.faults)
    for part in ("an absolute path", "[image_file_url:slow] id: must be set", "layout"):
        assert part in text


def test_the_command_line_goes_before_the_files(tmp_path: Path) -> None:
    path = tmp_path / "node.conf"
    path.write_text("[glance]\nnum_retries = 7\n")

    config = load_fetch_config([path], {("glance", "num_retries"): "1"})

    assert config.glance.num_retries == 1
