"""The files that install the service: units of systemd and the Containerfile."""

import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.cli.test_help import parsed
from tests.server import PROGRAM, Server, eventually, free_port
from tests.wire import Client

TOP = Path(__file__).parent.parent
CONF = TOP / "conf"
UNITS = sorted(CONF.glob("*.service"))

#: The exposure that systemd counts, 0 to 10; what is left is the network.
MOST_EXPOSED = 1.5


class _Unit(RawConfigParser):
    """A unit, as far as none of its options counts twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, comment_prefixes=("#",), delimiters=("=",))
        self.optionxform = str  # type: ignore[assignment,method-assign] # as its documentation does it
        self.read(path)


def commands(path: Path) -> list[list[str]]:
    """Return all commands of ours that a unit runs."""
    service = _Unit(path)["Service"]
    lines = [line for name, line in service.items() if name.startswith("ExecStart")]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: str(path.name))
def test_a_unit_runs_commands_that_there_are(path: Path) -> None:
    found = commands(path)

    assert found
    for program, *arguments in found:
        assert program == "/opt/imagereg/bin/imagereg"
        assert parsed(["imagereg", *arguments]).startswith("imagereg ")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: str(path.name))
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is missing")
def test_systemd_finds_a_unit_safe(path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= MOST_EXPOSED


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is missing")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path in (*UNITS, *CONF.glob("*.timer")):
        text = path.read_text().replace("/opt/imagereg/bin/imagereg", str(PROGRAM))
        (tmp_path / path.name).write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    # It tells of units that this machine lacks as well.
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert ours == []


@pytest.mark.parametrize("path", UNITS, ids=lambda path: str(path.name))
def test_a_unit_lets_processes_see_each_other(path: Path) -> None:
    service = _Unit(path)["Service"]

    assert (service["ProtectProc"], service["ProcSubset"]) == ("default", "all")
    assert service["User"] == "imagereg"


def test_the_server_tells_systemd_when_it_is_ready(tmp_path: Path) -> None:
    assert _Unit(CONF / "imagereg.service")["Service"]["Type"] == "notify"
    where = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(where))
        listener.settimeout(60)
        server = Server(tmp_path, prefix=("env", f"NOTIFY_SOCKET={where}")).start()
        said = listener.recv(4096)
        server.stop()

    assert b"READY=1" in said.splitlines()


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of the Containerfile, stage by stage."""
    text = (CONF / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = []
    for line in filter(str.strip, joined.splitlines()):
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest.strip()))
    return found


def last(word: str) -> str:
    """Return the argument of the last instruction of this kind, of the last stage."""
    return [rest for name, rest in stages()[-1] if name == word][-1]


def test_everything_that_is_copied_is_there() -> None:
    copied = [
        rest.split() for stage in stages() for word, rest in stage if word == "COPY"
    ]
    sources = [
        source
        for words in copied
        if not words[0].startswith("--from=")
        for source in words[:-1]
    ]

    assert {"pyproject.toml", "README.md", "LICENSE", "imagereg"} <= set(sources)
    assert all((TOP / source).exists() for source in sources)


def test_nothing_runs_as_root() -> None:
    user, _, group = last("USER").partition(":")

    # Numbers, so that who runs it can tell without looking inside.
    assert int(user) > 0
    assert int(group) > 0
    instructions = [word for word, _ in stages()[-1]]
    assert instructions.index("USER") > max(
        number for number, word in enumerate(instructions) if word in ("RUN", "COPY")
    )


def entry() -> Sequence[str]:
    return [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))]


def environment() -> Mapping[str, str]:
    pairs = (word.partition("=") for word in last("ENV").split())
    return {name: value for name, _, value in pairs}


def run(where: Path, port: int) -> "subprocess.Popen[bytes]":
    """Run what the container does, with files of the test in place of its own."""
    program, *arguments = entry()
    assert program == "imagereg"
    assert arguments[-2:] == ["--port", "9292"]
    variables = {**environment(), "PATH": f"{PROGRAM.parent}:/usr/bin:/bin"}
    variables["IMAGEREG_STATE_DIR"] = str(where / "state")
    return subprocess.Popen(
        [PROGRAM, *arguments[:-1], str(port)],
        cwd=where,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_the_entry_command_runs(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "imagereg.conf").write_text(
        "[DEFAULT]\nworkers = 1\n[paste_deploy]\nflavor = trusted-headers\n"
    )
    process = run(tmp_path, port)

    def answers() -> bool:
        try:
            return Client(f"http://127.0.0.1:{port}").get("/versions").status == 200
        except OSError:
            return False

    try:
        assert eventually(answers, 60)
        assert (tmp_path / "state" / "registry.sqlite").exists()
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_without_a_configuration_a_container_serves_nobody(tmp_path: Path) -> None:
    process = run(tmp_path, free_port())

    _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert b"nobody checks identities" in said
