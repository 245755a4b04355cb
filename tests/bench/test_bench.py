"""Each benchmark runs once with the suite, so that none can rot."""

import json
from pathlib import Path

import pytest

from tests.bench import bench_transfer


def test_the_transfer_benchmark_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result.json"

    bench_transfer.main(
        ["--mib", "4", "--folder", str(tmp_path), "--json", str(result)]
    )

    measures = json.loads(result.read_text())["measures"]
    names = [one["name"] for one in measures]
    assert names == [
        *("upload sized", "upload chunked"),
        *("download", "download range"),
    ]
    assert all(one["mib_per_s"] > 0 and one["peak_mib"] > 0 for one in measures)
    assert "upload chunked" in capsys.readouterr().out
