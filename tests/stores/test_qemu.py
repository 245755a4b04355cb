"""qemu-img as it is run on hostile files: real program, real files."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from imagereg.errors import StoreUnavailable, UnsafeContent
from imagereg.stores import qemu

MIB = 1024 * 1024


def make(path: Path, *options: str, size: str = "8M") -> Path:
    subprocess.run(["qemu-img", "create", "-q", *options, path, size], check=True)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("driver", "disk_format"),
    [
        ("qcow2", "qcow2"),
        ("vdi", "vdi"),
        ("vhdx", "vhdx"),
        ("vmdk", "vmdk"),
        ("raw", "raw"),
        ("raw", "iso"),
        ("parallels", "ploop"),
    ],
)
def test_examine_tells_the_size_of_what_is_as_claimed(
    tmp_path: Path, driver: str, disk_format: str
) -> None:
    source = make(tmp_path / "disk", "-f", driver)
    info = qemu.examine(source, disk_format, ("monolithicSparse",))
    assert (info.format, info.virtual_size) == (driver, 8 * MIB)


def test_a_vhd_may_round_its_size_up(tmp_path: Path) -> None:
    info = qemu.examine(make(tmp_path / "disk", "-f", "vpc"), "vhd")
    assert info.format == "vpc"
    assert 8 * MIB <= info.virtual_size < 9 * MIB


@pytest.mark.parametrize("claimed", ["raw", "vmdk", "qed"])
def test_content_of_another_format_is_refused(tmp_path: Path, claimed: str) -> None:
    with pytest.raises(UnsafeContent, match=f"the content is qcow2, not {claimed}"):
        qemu.examine(make(tmp_path / "disk", "-f", "qcow2"), claimed)


def test_a_backing_file_is_refused_although_it_exists(tmp_path: Path) -> None:
    base = written(tmp_path / "base", bytes(MIB))
    source = make(tmp_path / "disk", "-f", "qcow2", "-b", str(base), "-F", "raw")
    with pytest.raises(UnsafeContent):
        qemu.examine(source, "qcow2")


def test_an_external_data_file_is_refused(tmp_path: Path) -> None:
    option = f"data_file={tmp_path / 'data'}"
    source = make(tmp_path / "disk", "-f", "qcow2", "-o", option)
    with pytest.raises(UnsafeContent):
        qemu.examine(source, "qcow2")


def test_external_extents_are_refused(tmp_path: Path) -> None:
    option = "subformat=monolithicFlat"
    source = make(tmp_path / "disk.vmdk", "-f", "vmdk", "-o", option)
    with pytest.raises(UnsafeContent):
        qemu.examine(source, "vmdk", ("monolithicFlat",))


def test_a_vmdk_of_a_type_that_is_not_accepted_is_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "disk", "-f", "vmdk")
    with pytest.raises(UnsafeContent, match="monolithicSparse is not accepted"):
        qemu.examine(source, "vmdk", ("streamOptimized",))


@pytest.mark.parametrize("between", ["qcow2", "vmdk", "raw"])
def test_a_disk_keeps_its_content_through_conversions(
    tmp_path: Path, between: str
) -> None:
    content = os.urandom(2 * MIB) + bytes(4 * MIB) + os.urandom(2 * MIB)
    source = written(tmp_path / "source", content)
    there, back = tmp_path / "there", tmp_path / "back"
    qemu.convert(source, "raw", there, between)
    qemu.convert(there, between, back, "raw", ("monolithicSparse",))
    assert back.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "back",
        "source",
        "there",
    ]


def test_the_files_belong_to_this_process_again_afterwards(tmp_path: Path) -> None:
    source = make(tmp_path / "disk", "-f", "qcow2")
    qemu.convert(source, "qcow2", tmp_path / "out", "raw")
    for path in (source, tmp_path / "out"):
        assert path.stat().st_uid == os.geteuid()
        assert path.stat().st_nlink == 1


def test_a_refused_conversion_leaves_nothing(tmp_path: Path) -> None:
    source = make(tmp_path / "disk", "-f", "qcow2")
    with source.open("r+b") as file:
        file.seek(48)
        file.write(b"\xff" * 8)  # The offset of the refcount table.
    with pytest.raises(UnsafeContent):
        qemu.convert(source, "qcow2", tmp_path / "out", "raw")
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]
    assert source.stat().st_uid == os.geteuid()


@pytest.mark.parametrize(
    "bounds",
    [
        qemu.Bounds(cpu_s=1, wall_s=600.0, output_bytes=qemu.GiB),
        qemu.Bounds(wall_s=0.2, output_bytes=qemu.GiB),
        qemu.Bounds(output_bytes=4 * MIB),
    ],
    ids=["cpu", "time", "output"],
)
def test_what_takes_more_than_it_may_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounds: qemu.Bounds
) -> None:
    # Scattered blocks make qemu look at many places for little data.
    source = tmp_path / "source"
    with source.open("wb") as file:
        for start in range(50_000):
            file.seek(start * 192 * 1024)
            file.write(b"x" * 4096)

    def told(_virtual_size: int) -> qemu.Bounds:
        return bounds

    monkeypatch.setattr(qemu, "_bounds_for", told)
    with pytest.raises(UnsafeContent, match=r"takes (too long|more time)"):
        qemu.convert(source, "raw", tmp_path / "out", "qcow2")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_runs_it_as_nobody() -> None:
    """What is root's alone cannot be read, even if nobody noticed the reference."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        secret = written(folder / "secret", b"s" * MIB)
        source = make(folder / "disk", "-f", "qcow2", "-b", str(secret), "-F", "raw")
        command = ("convert", "-f", "qcow2", "-O", "raw", "source", "target")

        def convert() -> None:
            with qemu._private(source) as room, tempfile.TemporaryFile() as answer:
                qemu._run(command, room, qemu.Bounds(output_bytes=qemu.GiB), answer)

        convert()
        secret.chmod(0o600)
        with pytest.raises(UnsafeContent):
            convert()


def test_a_missing_program_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "disk", "-f", "qcow2")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert qemu.missing_programs() == ("qemu-img", "prlimit")
    with pytest.raises(StoreUnavailable, match="this machine has no prlimit"):
        qemu.examine(source, "qcow2")
