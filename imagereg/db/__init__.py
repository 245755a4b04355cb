"""Metadata in a relational database, through Peewee.

Repositories take and return the frozen values of `model.py`; no row leaves this
room.  Nothing here knows HTTP, stores or policy.
"""

import sys

#: Drivers that Peewee imports where they are installed, whichever engine is used.
_DRIVERS = ("psycopg2", "psycopg2cffi", "psycopg", "pymysql", "MySQLdb")


def _import_peewee() -> None:
    """Import Peewee without drivers of database servers.

    They are a third of the memory of a process on SQLite, and a quarter of its start.
    The dialect of an engine imports its own.
    """
    hidden = {name: None for name in _DRIVERS if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type] # None: there is no such module
    try:
        import peewee  # noqa: F401 - for those who import it from now on
    finally:
        for name in hidden:
            del sys.modules[name]


_import_peewee()
