"""The benchmark of the upload path runs."""

from pathlib import Path

import pytest

from tests.bench import bench_upload_path


def test_the_benchmark_measures_every_way(tmp_path: Path) -> None:
    report = bench_upload_path.measure(tmp_path, mib=1, rounds=1)

    assert all(report.rate(way.name) > 0 for way in report.ways)
    assert [path.name for path in tmp_path.iterdir()] == [".tmp"]


def test_the_benchmark_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    bench_upload_path.main(["--mib", "1", "--rounds", "1"])

    assert "add, lanes" in capsys.readouterr().out
