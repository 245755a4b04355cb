"""Which tests run on which database engine.

Everything runs on each of them, a new file too, but for what stands in these tables.
`conftest.py` leaves those out when another engine than SQLite is asked for, and fails
a module that makes a database of SQLite all the same.  `.ci/run` asks for the other
two after SQLite.
"""

import os
from collections.abc import Mapping
from pathlib import Path

TESTS = Path(__file__).parent

#: Below `tests/`: what opens neither a server nor a database -> what it is about.
WITHOUT_DATABASE: Mapping[str, str] = {
    "identity": "names, passwords and tokens",
    "policy": "rules, which are pure",
    "protection": "rules on properties, which are pure",
    "rehearsal": "the gate's answers to requests nobody made",
    "settings": "configuration files",
    "stores": "bytes",
}

#: Below `tests/`: what is about SQLite alone -> what it reads that no other has.
#: A file or folder, a test of a file, or one of its cases.
SQLITE_ALONE: Mapping[str, str] = {
    "bench": "benchmarks that are run for their code, whatever they measure",
    "api/test_costs.py::test_a_start_reads_no_authorities_of_the_system": "what the "
    "driver of MariaDB reads at each start",
    "api/test_health.py::test_a_database_that_is_gone_fails_the_node": "its files",
    "cli/test_db.py": "the file below `state_dir`, which is the default; "
    "db/test_server_upgrades.py has the commands on the others",
    "db/test_check.py::test_a_column_of_another_sort_is_told": "its types",
    "db/test_check.py::test_no_value_that_clients_may_send_is_a_flaw[nul]": "texts "
    "with a NUL, which PostgreSQL refuses",
    "db/test_check.py::test_what_only_a_person_can_judge_is_told[trigger]": "the "
    "words of its triggers",
    "db/test_list_plans.py": "its plans; db/test_server_plans.py has the others'",
    "db/test_check.py::test_a_damaged_file_is_told": "its file",
    "db/test_check.py::test_more_than_a_batch_is_mended": "a shelf that MariaDB puts "
    "right by itself",
    "db/test_migrations.py": "its released files; db/test_server_upgrades.py has the "
    "others'",
    "db/test_purge.py::test_transactions_are_small_and_leave_room_for_others": "its "
    "lock on the whole file",
    "db/test_sqlite.py": "its files and locks",
    "test_server.py::test_faults_of_policy_and_protection_files_stop_the_start": "the "
    "default database",
    "test_server.py::test_nobody_is_administrator_from_afar": "the default database",
    "test_packaging.py": "a container without a database of its own",
}


def why_not(nodeid: str, engine: str) -> str | None:
    """Return why a test does not run on an engine, None where it does.

    Args:
        nodeid: pytest's, from the root of the project; a path is one too.
    """
    if engine == "sqlite":
        return None
    return _reason(nodeid, WITHOUT_DATABASE) or _reason(nodeid, SQLITE_ALONE)


def may_use_sqlite(nodeid: str, engine: str) -> bool:
    """Return whether a test may make a database of SQLite."""
    return engine == "sqlite" and not _reason(nodeid, WITHOUT_DATABASE)


def sqlite_files(folder: Path) -> set[str]:
    """Return the databases of SQLite below a folder."""
    # Unlike `Path.rglob`, this takes no offence at a folder that goes meanwhile.
    return {
        str(Path(where, name).relative_to(folder))
        for where, _, names in os.walk(folder)
        for name in names
        if name.endswith(".sqlite")
    }


def _reason(nodeid: str, table: Mapping[str, str]) -> str | None:
    name = nodeid.removeprefix("tests/")
    for key, reason in table.items():
        if name == key or name.startswith((f"{key}/", f"{key}::", f"{key}[")):
            return reason
    return None
