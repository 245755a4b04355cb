"""What is written for people is true."""

import configparser
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagereg.api.routes import ROUTES
from imagereg.policy.actions import DEFAULTS
from imagereg.policy.rules import load_rule_set
from imagereg.settings import load_settings
from tests.server import PROGRAM, Server

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text()
MAP = (TOP / "imagereg" / "README.md").read_text()

#: What may stand at the top of the project, beside files that begin with a dot.
TOP_LEVEL = {
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "imagereg",
    "policies",
    "conf",
    "tests",
}


def blocks(section: str, language: str) -> list[str]:
    """Return the code blocks of one section of the README."""
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_nothing_else_lies_at_the_top() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=TOP, check=True, capture_output=True, text=True
    )
    names = {line.split("/")[0] for line in listed.stdout.splitlines()}

    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_the_map_names_every_room() -> None:
    rooms = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (TOP / "imagereg").iterdir()
        if (path / "__init__.py").exists()
        or (path.suffix == ".py" and path.name != "__init__.py")
    }
    table = re.findall(r"^\| `([^`]+)` \|", MAP, re.MULTILINE)

    assert set(table) == rooms


def test_the_files_and_names_on_the_map_exist() -> None:
    for path, names in re.findall(r"`(\w+/\w+\.py|\w+\.py)(?:: ([^`]+))?`", MAP):
        found = [TOP / path, TOP / "imagereg" / path]
        source = next((file for file in found if file.exists()), None)
        assert source is not None, path
        for name in re.findall(r"\w+", names.partition("(")[0]):
            assert name in source.read_text(), (path, name)


@pytest.mark.parametrize("action", list(DEFAULTS))
def test_each_action_is_in_the_readme(action: str) -> None:
    assert f"| `{action}` |" in README


def test_each_route_is_in_the_readme() -> None:
    listed = set(re.findall(r"^\| (\w+) \| `(/[^`]*)` \|", README, re.MULTILINE))
    bound = {
        (
            "any" if route.method == "*" else route.method,
            re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path),
        )
        for route in ROUTES
    }

    assert listed == bound


def test_the_sample_configuration_loads() -> None:
    settings = load_settings([TOP / "conf" / "imagereg.conf"], environ={})

    assert settings.default_store == "file"


@pytest.mark.parametrize("path", sorted((TOP / "policies").glob("policy*.json")))
def test_the_sample_policies_load(path: Path) -> None:
    if not path.name.endswith("cases.json"):
        assert "get_image" in load_rule_set(path)


def test_there_are_exactly_two_setup_commands() -> None:
    commands = [
        line for block in blocks("Start", "sh") for line in block.splitlines() if line
    ]

    assert len(commands) == 2
    assert commands[0].endswith("imagereg serve")
    assert commands[1].endswith("pytest -n 2 --dist loadfile")


def test_the_curl_example_runs_as_written(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve({"paste_deploy": {"flavor": None}})
    script = next(b for b in blocks("First image", "sh") if "curl" in b)

    run(script, server, tmp_path)


def test_the_upload_example_runs_as_written(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve({"paste_deploy": {"flavor": None}})
    script = next(b for b in blocks("Configuration", "sh") if "imagereg upload" in b)

    image_id = run(script, server, tmp_path).strip()

    assert server.client().show(image_id)["status"] == "active"


def test_the_fetch_example_runs_as_written(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve({"paste_deploy": {"flavor": None}})
    client = server.client()
    image_id = client.create()["id"]
    assert client.upload(image_id, b"bytes of a disk").status == 204
    (script,) = (b for b in blocks("Configuration", "sh") if "imagereg-fetch" in b)

    to_path, to_cache = run(f"id={image_id}\n{script}", server, tmp_path).split()

    assert Path(tmp_path, to_path).read_bytes() == b"bytes of a disk"
    assert Path(to_cache).read_bytes() == b"bytes of a disk"


def test_the_first_rules_have_the_effect_that_is_told(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    config, protections = blocks("First rule", "ini")
    (policy,) = blocks("First rule", "json")
    (script,) = blocks("First rule", "sh")
    (tmp_path / "policy.json").write_text(policy)
    (tmp_path / "protections.conf").write_text(protections)
    parser = configparser.ConfigParser()
    parser.read_string(config)
    sections = {name: dict(parser[name]) for name in ("oslo_policy", "imagereg")}
    sections["oslo_policy"]["policy_file"] = str(tmp_path / "policy.json")
    shared = dict(parser.defaults())
    shared["property_protection_file"] = str(tmp_path / "protections.conf")
    server = serve({"DEFAULT": shared, **sections, "paste_deploy": {"flavor": None}})

    output = run(script, server, tmp_path)

    refused, made, shown, listed, kept = output.split("\x1e")
    assert "403" in refused
    assert "attribute `billing_code` is reserved" in refused
    assert json.loads(made)["status"] == "queued"
    assert "billing_code" not in json.loads(shown)
    assert json.loads(listed)["images"] == []
    assert "403" in kept
    assert "delete_image" in kept


def run(script: str, server: Server, folder: Path) -> str:
    """Run a script of the README against a server; answers come record by record."""
    assert shutil.which("curl"), "curl is missing: install the package curl"
    script = script.replace("http://127.0.0.1:9292", server.base)
    script = re.sub(r"^(curl .*)$", r"\1; printf '\\x1e'", script, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\x1e")
