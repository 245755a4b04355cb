"""The benchmark of logs and numbers runs and tells each way."""

import pytest

from tests.bench import bench_telemetry

pytestmark = pytest.mark.long


@pytest.mark.parametrize("ask", sorted(bench_telemetry.ASKS))
def test_the_benchmark_runs_and_compares(
    ask: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_telemetry.main(["--ask", ask, "--requests", "5", "--turns", "1"])

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(bench_telemetry.WAYS)
    assert all("ratio" in line for line in lines[1:])
