"""Definitions from files and to files, and what loading them changes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imagereg.cli import main
from imagereg.errors import ConfigurationError
from imagereg.metadefs.files import read_builtin, read_path
from imagereg.metadefs.lint import known_properties
from tests import databases
from tests.conftest import Serve

FILE = {
    "namespace": "Site::Cars",
    "visibility": "public",
    "protected": True,
    "created_at": "2020-01-01T00:00:00Z",
    "resource_type_associations": [
        {"name": "OS::Glance::Image", "updated_at": "2020-01-01T00:00:00Z"}
    ],
    "properties": {
        "wheels": {
            "title": "Wheels",
            "type": "integer",
            "enum": [3, 4],
            "default": 4,
            "required": [],
        }
    },
    "objects": [{"name": "Engine", "description": None, "properties": {}}],
    "tags": [{"name": "fast"}],
}


class Site:
    """A folder of definitions, a database, and the command line."""

    def __init__(self, where: Path) -> None:
        self.files = where / "files"
        self.files.mkdir()
        self.conf = where / "imagereg.conf"
        self.conf.write_text(
            f"[imagereg]\nstate_dir = {where}\n"
            f"[database]\nconnection = {databases.of(where)}\n"
        )

    def write(self, **fields: object) -> None:
        document = {**FILE, **fields}
        document = {n: v for n, v in document.items() if v is not None}
        (self.files / "cars.json").write_text(json.dumps(document))

    def attempt(self, *arguments: object) -> Result:
        group, command, *rest = map(str, arguments)
        return CliRunner().invoke(
            main, [group, command, "--config", str(self.conf), *rest]
        )

    def run(self, *arguments: object) -> list[str]:
        result = self.attempt(*arguments)
        assert result.exit_code == 0, result.output
        return result.output.splitlines()

    def load(self, *options: str) -> list[str]:
        return self.run("metadefs", "load", self.files, *options)

    def exported(self) -> dict[str, object]:
        (document,) = json.loads("\n".join(self.run("metadefs", "export")))
        assert isinstance(document, dict)
        return document


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.write(objects=[{"name": "Engine", "properties": {}}])
    return site


def test_files_of_other_services_are_taken_as_they_are(site: Site) -> None:
    report = site.load()

    assert report == ["Site::Cars: added", "1 added"]
    assert site.exported() == {
        "namespace": "Site::Cars",
        "visibility": "public",
        "protected": True,
        "owner": "admin",
        "resource_type_associations": [{"name": "OS::Glance::Image"}],
        "properties": {
            "wheels": {
                "type": "integer",
                "title": "Wheels",
                "default": "4",
                "enum": ["3", "4"],
            }
        },
        "objects": [{"name": "Engine", "properties": {}}],
        "tags": [{"name": "fast"}],
    }


WHEELS = {"title": "Wheels", "type": "string"}
DOORS = {"title": "Doors", "type": "integer"}


@pytest.mark.parametrize(
    ("options", "report", "properties", "tags"),
    [
        ((), {"Site::Cars: there already"}, {"wheels": "integer"}, {"fast"}),
        (
            ("--mode", "merge"),
            {
                "Site::Cars property doors: added",
                "Site::Cars property wheels: kept as it is",
                "Site::Cars tag red: added",
            },
            {"wheels": "integer", "doors": "integer"},
            {"fast", "red"},
        ),
        (
            ("--mode", "merge", "--prefer-new"),
            {
                "Site::Cars property doors: added",
                "Site::Cars property wheels: changed",
                "Site::Cars tag red: added",
            },
            {"wheels": "string", "doors": "integer"},
            {"fast", "red"},
        ),
        (
            ("--mode", "replace"),
            {
                "Site::Cars property doors: added",
                "Site::Cars property wheels: changed",
                "Site::Cars tag red: added",
                "Site::Cars tag fast: removed",
            },
            {"wheels": "string", "doors": "integer"},
            {"red"},
        ),
    ],
)
def test_each_mode_does_what_its_report_says(
    site: Site,
    options: tuple[str, ...],
    report: set[str],
    properties: dict[str, str],
    tags: set[str],
) -> None:
    site.load()
    site.write(
        properties={"wheels": WHEELS, "doors": DOORS},
        objects=[{"name": "Engine", "properties": {}}],
        tags=[{"name": "red"}],
    )
    before = site.exported()

    tried = site.load(*options, "--dry-run")
    unchanged = site.exported()
    told = site.load(*options)
    after = site.exported()

    assert set(told[:-1]) == report
    assert tried[:-1] == told[:-1]
    assert unchanged == before
    found = after["properties"]
    assert isinstance(found, dict)
    assert {name: each["type"] for name, each in found.items()} == properties
    assert {each["name"] for each in after["tags"]} == tags  # type: ignore[attr-defined]  # a list


def test_fields_follow_the_file_only_when_it_counts(site: Site) -> None:
    site.load()
    site.write(description="Cars", objects=None, owner="p1")

    merged = site.load("--mode", "merge")
    kept = site.exported()
    replaced = site.load("--mode", "replace")

    assert merged[0] == "Site::Cars: kept as it is"
    assert "description" not in kept
    assert set(replaced[:-1]) == {
        "Site::Cars: changed",
        "Site::Cars object Engine: removed",
    }
    assert site.exported()["owner"] == "p1"


def test_what_was_exported_loads_without_a_change(site: Site, tmp_path: Path) -> None:
    site.load()
    site.run("metadefs", "load", "--builtin")

    files = site.run("metadefs", "export", tmp_path / "out")
    again = site.run("metadefs", "load", tmp_path / "out", "--mode", "replace")

    assert len(files) == len(read_builtin()) + 1
    assert again == ["nothing to do"]


def test_protected_namespaces_go_by_force_alone(site: Site) -> None:
    site.load()

    gentle = site.run("metadefs", "unload", site.files)
    forced = site.run("metadefs", "unload", "--namespace", "Site::Cars", "--force")

    assert gentle[0] == "Site::Cars: protected, so it stays"
    assert forced[0] == "Site::Cars: removed"
    assert site.run("metadefs", "unload", "--all") == ["nothing to do"]


def test_one_fault_keeps_every_file_out(site: Site) -> None:
    (site.files / "a.json").write_text("{")
    (site.files / "b.json").write_text('{"namespace": "b", "colour": "red"}')
    (site.files / "twin.json").write_text(json.dumps({"namespace": "Site::Cars"}))

    result = site.attempt("metadefs", "load", site.files)

    assert result.exit_code == 1
    assert "a.json: not JSON" in result.output
    assert "b.json: `colour` is not known here" in result.output
    assert "twin.json: namespace `Site::Cars` is in another file" in result.output
    assert json.loads("\n".join(site.run("metadefs", "export"))) == []


@pytest.mark.parametrize(
    "arguments",
    [("load",), ("load", "--builtin", "."), ("unload",)],
)
def test_a_command_without_a_clear_source_is_refused(
    site: Site, arguments: tuple[str, ...]
) -> None:
    assert site.attempt("metadefs", *arguments).exit_code == 2


def test_an_unknown_namespace_cannot_be_exported(site: Site) -> None:
    assert site.attempt("metadefs", "export", "--namespace", "x").exit_code == 1


def test_an_empty_folder_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no \*\.json"):
        read_path(tmp_path)


def test_the_catalogue_describes_all_it_defines() -> None:
    known = known_properties(read_builtin())

    for name, definitions in known.items():
        assert len(definitions) == 1, name
        assert definitions[0].get("description"), name
    assert {"hw_firmware_type", "os_secure_boot", "trait:HW_CPU_X86_AVX2"} <= {*known}


def test_an_image_file_is_linted(site: Site, tmp_path: Path) -> None:
    image = tmp_path / "image.json"
    image.write_text(json.dumps({"name": "n", "size": 1, "hw_firmware_type": "efi"}))
    nested = tmp_path / "nested.json"
    nested.write_text(json.dumps({"properties": {"hw_diskbus": "virtio"}}))

    wrong = site.attempt("props", "lint", image)
    slip = site.attempt("props", "lint", nested, "--builtin")
    strict = site.attempt("props", "lint", nested, "--builtin", "--strict")
    by_site = site.attempt("props", "lint", image, "--definitions", site.files)

    assert wrong.exit_code == 1
    assert "`efi` is none of: bios, uefi" in wrong.output
    assert (slip.exit_code, strict.exit_code) == (0, 1)
    assert by_site.output.endswith("1 properties, no findings\n")
    assert site.attempt("props", "lint", "no-such-id").exit_code == 1


def test_a_running_server_shows_what_was_loaded(serve: Serve) -> None:
    server = serve()
    client = server.client()
    conf = ("--config", str(server.where / "etc" / "imagereg.conf"))
    image = client.create(hw_disk_bus="nvme", os_distro="debian")

    loaded = CliRunner().invoke(main, ["metadefs", "load", "--builtin", *conf])
    linted = CliRunner().invoke(main, ["props", "lint", str(image["id"]), *conf])
    shown = client.get("/v2/metadefs/namespaces/imagereg::Firmware").json()

    assert loaded.exit_code == 0
    assert linted.exit_code == 1
    assert linted.output.startswith("error: hw_disk_bus: `nvme` is none of: fdc")
    assert len(linted.output.splitlines()) == 1
    assert shown["properties"]["hw_firmware_type"]["enum"] == ["bios", "uefi"]
    assert (shown["owner"], shown["protected"]) == ("admin", True)
