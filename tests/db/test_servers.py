"""PostgreSQL and MariaDB keep the contract that SQLite keeps."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from imagereg.db.engine import Engine
from tests import databases
from tests.db.conformance import Connect, EngineConformance

pytestmark = pytest.mark.skipif(
    databases.NAME == "sqlite",
    reason="`.ci/run` runs it with IMAGEREG_TEST_DATABASE=postgresql, then mariadb",
)


class TestServer(EngineConformance):
    @pytest.fixture
    def connect(self) -> Iterator[Connect]:
        url = databases.connection(f"/{uuid4()}")
        yield lambda: Engine.connect(url)
