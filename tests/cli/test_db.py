"""`imagereg db`: what it says, and how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imagereg.cli import main
from imagereg.db.engine import Engine
from imagereg.db.schema import latest, upgrade, version
from tests.conftest import Serve
from tests.db.released import VERSIONS, restore

FIRST = VERSIONS[0]


def run(where: Path, *words: str) -> Result:
    """Run `imagereg db` on the database below ``where``."""
    conf = where / "imagereg.conf"
    if not conf.exists():
        conf.write_text(f"[imagereg]\nstate_dir = {where}/state\n")
    return CliRunner().invoke(main, ["db", words[0], "--config", str(conf), *words[1:]])


def opened(where: Path) -> Engine:
    return Engine.connect(f"sqlite:///{where}/state/registry.sqlite", synchronous=False)


def test_an_older_database_is_upgraded_when_asked(tmp_path: Path) -> None:
    restore(FIRST, tmp_path)

    done = [
        run(tmp_path, *words.split())
        for words in (
            "version",
            "check",
            "upgrade --dry-run",
            "version",
            "upgrade",
            "version",
            "check",
            "upgrade",
        )
    ]

    assert [each.exit_code for each in done] == [1, 1, 0, 1, 0, 0, 0, 0]
    told = [each.stdout.strip() for each in done]
    assert told[0] == f"the database has 1, this program works with {latest()}"
    assert "run `imagereg db upgrade`" in told[1]
    assert told[2] == told[4]
    assert told[2].startswith("2: an index of locations by URL")
    assert told[6] == "all is well"
    assert told[7] == f"nothing to do: the database has version {latest()}"


def test_an_empty_database_is_made(tmp_path: Path) -> None:
    assert run(tmp_path, "version").exit_code == 1
    assert run(tmp_path, "upgrade").stdout == f"{latest()}: all tables\n"
    assert run(tmp_path, "check").exit_code == 0


@pytest.mark.parametrize("command", ["upgrade", "purge"])
def test_a_database_of_the_future_is_refused(command: str, tmp_path: Path) -> None:
    restore(FIRST, tmp_path)
    engine = opened(tmp_path)
    engine.insert("schema_versions", [{"version": 1_000, "applied_at_us": 0}])
    engine.close()

    done = run(tmp_path, command)

    assert done.exit_code == 1
    assert "the database has schema version 1000" in done.stderr
    assert "Traceback" not in done.output


def test_purge_upgrades_nothing(tmp_path: Path) -> None:
    restore(FIRST, tmp_path)

    done = run(tmp_path, "purge")

    assert done.exit_code == 1
    assert "run `imagereg db upgrade`" in done.stderr
    engine = opened(tmp_path)
    assert version(engine) == FIRST
    engine.close()


def test_flaws_are_1_and_mended_ones_0(tmp_path: Path) -> None:
    restore(FIRST, tmp_path)
    engine = opened(tmp_path)
    upgrade(engine)
    engine.execute("DROP INDEX images_owner_name")
    engine.execute("UPDATE images SET shelf = 2 WHERE name = 'public'")
    engine.close()

    done = [run(tmp_path, "check", *more) for more in ((), ("--fix",), ())]

    assert [each.exit_code for each in done] == [1, 0, 0]
    assert "index images_owner_name of table images is missing" in done[0].stdout
    assert "1 images on a wrong shelf" in done[0].stdout
    assert "2 flaws, 2 left" in done[0].stdout
    assert "2 flaws, 0 left" in done[1].stdout


def test_rows_of_unknown_tables_are_not_compared(tmp_path: Path) -> None:
    restore(FIRST, tmp_path)
    engine = opened(tmp_path)
    upgrade(engine)
    engine.execute("DROP TABLE image_members")
    engine.close()

    done = run(tmp_path, "check", "--json", "--fix")

    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["flaws"][0] == {
        "what": "table image_members is missing",
        "advice": "restore the database from a backup, or mend it by hand",
        "fixed": False,
    }


def test_purge_says_what_went(tmp_path: Path) -> None:
    restore(FIRST, tmp_path)
    engine = opened(tmp_path)
    upgrade(engine)
    buried = engine.rows("SELECT id FROM image_tombstones")[0][0]
    engine.insert(
        "image_tags",
        [{"image_id": buried, "tag": str(n), "created_at_us": 1} for n in range(3)],
    )
    engine.close()

    done = [
        run(tmp_path, "purge", *words.split())
        for words in (
            "--age-in-days 36500",
            "--age_in_days 0 --max_rows 2",
            "--age-in-days 0 --max-rows -1",
        )
    ]

    assert [each.exit_code for each in done] == [0, 0, 0]
    assert [each.stdout for each in done] == [
        "0 rows removed\n",
        "image_tags: 2\n2 rows removed; there may be more\n",
        "image_tags: 1\n1 rows removed\n",
    ]


@pytest.mark.parametrize(
    "words", ["purge --age-in-days -1", "purge --max-rows -2", "check --age 1"]
)
def test_wrong_usage_is_2(words: str, tmp_path: Path) -> None:
    assert run(tmp_path, *words.split()).exit_code == 2


def test_a_server_answers_while_the_database_is_looked_after(serve: Serve) -> None:
    server = serve()
    client = server.client()
    kept = str(client.create(name="kept")["id"])
    gone = [str(client.create()["id"]) for _ in range(5)]
    for image_id in gone:
        assert client.request("DELETE", f"/v2/images/{image_id}").status == 204
    conf = str(server.where / "etc" / "imagereg.conf")
    words = [["purge", "--age-in-days", "0", "--max-rows", "-1"], ["check", "--fix"]]

    done = [
        CliRunner().invoke(main, ["db", each[0], "--config", conf, *each[1:]])
        for each in words
    ]

    assert [each.exit_code for each in done] == [0, 0], [each.output for each in done]
    assert client.request("GET", f"/v2/images/{kept}").json()["name"] == "kept"
    client.create(name="later")
    again = client.request("POST", "/v2/images", document={"id": gone[0]})
    assert again.status == 409


@pytest.mark.usefixtures("own_logging")
def test_a_server_starts_on_no_schema_but_its_own(tmp_path: Path) -> None:
    restore(FIRST, tmp_path)
    conf = tmp_path / "imagereg.conf"
    conf.write_text(f"[imagereg]\nstate_dir = {tmp_path}/state\nauto_upgrade = false\n")

    done = CliRunner().invoke(main, ["serve", "--config", str(conf)])

    assert done.exit_code == 1
    assert "the database has schema version 1" in done.stderr
    assert "run `imagereg db upgrade`" in done.stderr
    engine = opened(tmp_path)
    assert version(engine) == FIRST
    engine.close()
