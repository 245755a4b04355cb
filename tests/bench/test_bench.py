"""Each benchmark runs once with the suite, so that none can rot."""

import json
import tempfile
from pathlib import Path

import pytest

from tests.bench import (
    bench_cache,
    bench_fetch,
    bench_lists,
    bench_parallel,
    bench_s3,
    bench_stalled,
    bench_targets,
    bench_transfer,
)


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


def test_the_list_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    bench_lists.main(["--images", "100", "200", "--rounds", "1"])

    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 2 + len(list(bench_lists.cases(100)))


@pytest.mark.long
def test_the_s3_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    bench_s3.main(["--mib", "16", "--rounds", "1", "--part-mib", "5"])

    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 1 + 2 * len(bench_s3.WAYS)


def test_the_comparison_with_the_floors_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_targets.main(["--mib", "4", "--rounds", "1", "--folder", str(tmp_path)])

    printed = capsys.readouterr().out
    for name in ("upload sized", "upload chunked", "download whole", "download range"):
        assert f"\n{name}, " in printed


def test_the_benchmark_of_fetching_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_fetch.main(["--mib", "8", "--rounds", "1", "--folder", str(tmp_path)])

    printed = capsys.readouterr().out
    for name in bench_fetch.FLOORS:
        assert f"\n{name}: " in printed


def test_the_benchmark_with_stalled_peers_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench_stalled.main(["--peers", "4", "--requests", "10"])

    assert "\nstalled " in capsys.readouterr().out


@pytest.mark.long
def test_the_cache_benchmark_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_cache.main(["--mib", "4", "--folder", str(tmp_path)])

    printed = capsys.readouterr().out.splitlines()
    assert [line[:16].strip() for line in printed[1:6]] == [
        *("file", "past the cache", "miss", "hit", "8 misses"),
    ]
    assert printed[6].startswith("CPU of a hit to a file: ")


def test_the_benchmark_of_parallel_transfers_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_parallel.main(
        ["--mib", "2", "--transfers", "1", "3", "--folder", str(tmp_path)]
    )

    assert len(capsys.readouterr().out.splitlines()) == 2 + 2 * 3


@pytest.mark.long
def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    # A folder of its own, because pytest would keep the image for later runs.
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        report = bench_transfer.measure(
            1024 * bench_transfer.MiB, workers=1, folder=Path(folder)
        )

    peaks = {one.name: one.peak_mib for one in report.measures}
    assert max(peaks.values()) <= report.idle_mib + 32, (report.idle_mib, peaks)
