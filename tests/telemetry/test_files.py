"""Log files: where they are, who reads them, and what happens when they are moved."""

import logging
import os
import stat
import time
from multiprocessing import get_context
from pathlib import Path

import orjson
import pytest

from imagereg.errors import ConfigurationError
from imagereg.settings import load_settings
from imagereg.telemetry import files
from imagereg.telemetry.files import LogFile
from imagereg.telemetry.logs import configure_logging, secrets_of


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice what was moved before each line."""
    monkeypatch.setattr(files, "LOOK_S", 0.0)


pytestmark = pytest.mark.usefixtures("own_logging")


def configure(tmp_path: Path, text: str) -> Path:
    """Configure logging by a file; return the log file it may name."""
    conf = tmp_path / "c.conf"
    conf.write_text(f"[DEFAULT]\n{text}\n".replace("{dir}", str(tmp_path)))
    configure_logging(load_settings([conf], environ={}))
    return tmp_path / "imagereg.log"


def handler(path: Path, **wanted: int) -> LogFile:
    """Return a handler that writes messages alone."""
    return LogFile(path, **wanted)  # type: ignore[arg-type] # the test's own shorthand


def line(text: str) -> logging.LogRecord:
    """Return a record with this message."""
    return logging.LogRecord("a", logging.INFO, "f", 1, text, (), None)


def test_lines_go_to_the_file_which_others_cannot_read(tmp_path: Path) -> None:
    log = configure(tmp_path, "log_dir = {dir}\nuse_json = true")

    logging.getLogger("imagereg.x").info("hello")
    logging.getLogger("imagereg.x").debug("not this")

    documents = [orjson.loads(row) for row in log.read_text().splitlines()]
    # A thread of an earlier test may have something to say, too.
    own = [row["message"] for row in documents if row["logger"] == "imagereg.x"]
    assert own == ["hello"]
    assert stat.S_IMODE(log.stat().st_mode) & 0o007 == 0


def test_formats_may_show_which_code_made_a_line(tmp_path: Path) -> None:
    shown = "%(message)s %(filename)s %(funcName)s"
    shows = f"log_dir = {{dir}}\nlogging_default_format_string = {shown}"
    for text in ("one", "two", "three"):
        # Whoever does not show it does not pay for it, and that is no lasting choice.
        log = configure(tmp_path, shows if text != "two" else "log_dir = {dir}")
        logging.getLogger("x").info(text)

    rows = log.read_text().splitlines()
    here = f"{Path(__file__).name} test_formats_may_show_which_code_made_a_line"
    assert {f"one {here}", f"three {here}"} <= set(rows)


def test_a_moved_file_is_noticed(tmp_path: Path) -> None:
    log = configure(tmp_path, "log_dir = {dir}")
    logging.getLogger("x").info("one")

    log.rename(tmp_path / "old")
    logging.getLogger("x").info("two")

    assert "one" in (tmp_path / "old").read_text()
    assert "two" in log.read_text()
    assert "one" not in log.read_text()


def test_debug_is_of_this_service_and_not_of_its_libraries(tmp_path: Path) -> None:
    log = configure(
        tmp_path,
        "log_dir = {dir}\ndebug = true\ndefault_log_levels = imagereg.requests=WARNING",
    )

    logging.getLogger("imagereg.x").debug("small step")
    logging.getLogger("imagereg.requests").info("a request")
    logging.getLogger("urllib3.connectionpool").debug("GET /?X-Amz-Signature=1")
    logging.getLogger("peewee").debug("select")

    text = log.read_text()
    assert "small step" in text
    assert "a request" not in text
    assert "GET" not in text
    assert "select" not in text


def test_both_file_and_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = configure(tmp_path, "log_dir = {dir}\nuse_stderr = true")

    logging.getLogger("x").info("hello")

    assert "hello" in log.read_text()
    assert "hello" in capsys.readouterr().err


def test_formats_are_the_operator_s(tmp_path: Path) -> None:
    log = configure(
        tmp_path,
        "log_dir = {dir}\nlog_date_format = %d\n"
        "logging_default_format_string = <%(levelname)s> %(message)s",
    )

    logging.getLogger("x").info("hello")

    assert "<INFO> hello" in log.read_text().splitlines()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("logging_default_format_string = %(nothing)s", "no field 'nothing'"),
        ("logging_context_format_string = %(message)", "is no format"),
        ("log_file = {dir}/none/x.log", "log_file: cannot be written"),
        ("use_syslog = true\nsyslog_log_facility = LOG_NONE", "no facility `LOG_NONE`"),
        ("log_config_append = {dir}/none.conf", "log_config_append: cannot be used"),
    ],
)
def test_what_cannot_be_is_a_fault(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        configure(tmp_path, text)


def test_a_file_of_logging_s_own_replaces_all(tmp_path: Path) -> None:
    (tmp_path / "logging.conf").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n"
        "[logger_root]\nlevel=WARNING\nhandlers=h\n"
        f"[handler_h]\nclass=FileHandler\nargs=('{tmp_path}/own.log',)\nformatter=f\n"
        "[formatter_f]\nformat=!%(message)s\n"
    )
    configure(tmp_path, "log_config_append = {dir}/logging.conf\nlog_dir = {dir}")

    logging.getLogger("x").warning("hello")

    assert "!hello" in (tmp_path / "own.log").read_text().splitlines()
    assert not (tmp_path / "imagereg.log").exists()


def test_a_full_file_is_moved_on_and_few_are_kept(tmp_path: Path) -> None:
    log = handler(tmp_path / "a.log", max_bytes=100, keep=2)

    for number in range(40):
        log.emit(line(f"{number:020}"))
    log.close()

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.log", "a.log.1", "a.log.2", "a.log.lock"]
    kept = "".join((tmp_path / name).read_text() for name in names[2::-1]).split()
    assert [int(row) for row in kept] == list(range(40))[-len(kept) :]
    assert len(kept) > 10
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 130


def test_a_new_day_begins_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("yesterday\n")
    # Some days have 25 hours.
    os.utime(path, (time.time() - 2 * 86_400,) * 2)

    log = handler(path, daily=True)
    log.emit(line("today"))
    log.emit(line("still"))
    log.close()

    assert path.read_text() == "today\nstill\n"
    assert (tmp_path / "a.log.1").read_text() == "yesterday\n"


def _write(path: Path, name: str) -> None:
    log = handler(path, max_bytes=500, keep=100)
    for number in range(300):
        log.emit(line(f"{name}-{number:03}"))
    log.close()


def test_processes_that_move_files_on_together_lose_no_line(tmp_path: Path) -> None:
    context = get_context("spawn")
    writers = [
        context.Process(target=_write, args=(tmp_path / "a.log", name))
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(300)

    rows = [
        row
        for path in tmp_path.iterdir()
        if not path.name.endswith(".lock")
        for row in path.read_text().split()
    ]
    assert len(rows) == len(set(rows)) == 900
    assert len(list(tmp_path.iterdir())) > 5


def test_what_the_configuration_keeps_secret_is_known(tmp_path: Path) -> None:
    conf = tmp_path / "c.conf"
    conf.write_text(
        "[imagereg]\nevent_webhook = https://u:pass-word@h/hook/secret-path\n"
        "[keystone_authtoken]\npassword = keystone-pw\nusername = nobody-secret\n"
        "[glance_store]\nstores = s3,http\ndefault_store = s3\n"
        "http_proxy_information = http:u:proxy-pw@h:1,https:http://u:other-pw@h:1\n"
        "s3_store_host = http://h\ns3_store_bucket = b\n"
        "s3_store_access_key = short\ns3_store_secret_key = s3-secret-key\n"
    )

    found = secrets_of(load_settings([conf], environ={}))

    assert set(found) == {
        *("pass-word", "/hook/secret-path", "keystone-pw", "s3-secret-key"),
        *("proxy-pw", "other-pw"),
    }
