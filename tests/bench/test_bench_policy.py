"""The policy benchmark runs once with the suite, so that it cannot rot."""

import pytest

from tests.bench import bench_policy


def test_the_policy_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    bench_policy.main(["--repeat", "1"])

    lines = capsys.readouterr().out.splitlines()
    assert [line[-1] for line in lines] == ["x", "x"]
