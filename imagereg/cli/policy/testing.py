"""`imagereg policy test`: run the cases of rule authors."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from imagereg.cli.options import takes_config_files
from imagereg.cli.policy.sources import FILE
from imagereg.errors import Invalid
from imagereg.protection.rules import FORMATS
from imagereg.rehearsal.cases import find_case_files, load_cases
from imagereg.rehearsal.reports import junit_lines
from imagereg.rehearsal.runs import Coverage, Result, Runner, run_file


@click.command()
@click.argument(
    "places", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--policy", type=FILE, help="Test this file, not those that cases name.")
@takes_config_files("Test the policy and the protections of this configuration.")
@click.option("--protections", type=FILE, help="Likewise for the property protections.")
@click.option("--format", "rule_format", type=click.Choice(FORMATS))
@click.option("--min-coverage", type=click.FloatRange(0, 100), metavar="PERCENT")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option("--verbose", "-v", is_flag=True, help="Name passed cases, and gaps.")
def test(
    places: tuple[Path, ...],
    policy: Path | None,
    config_files: tuple[Path, ...],
    protections: Path | None,
    rule_format: str | None,
    min_coverage: float | None,
    junit: Path | None,
    *,
    verbose: bool,
) -> None:
    """Run the cases in these files, and in case files below these directories.

    A case file is named *.cases.json or *.cases.yaml.  Exit status 1 if a case
    fails, or if the cases try less than --min-coverage of a policy.
    """
    if config_files:
        policy, protections, rule_format = _configured(
            config_files, policy, protections
        )
    started = time.perf_counter()
    results, coverages = _run(places, policy, protections, rule_format)
    failed = _tell_results(results, verbose=verbose)
    covered = min([_tell_coverage(each, verbose=verbose) for each in coverages])
    taken_ms = (time.perf_counter() - started) * 1000
    count = sum(map(len, results.values()))
    click.echo(f"{count - failed} passed, {failed} failed in {taken_ms:.0f} ms")
    if junit is not None:
        junit.write_text("\n".join([*junit_lines(results), ""]), "utf-8")
    if covered < (min_coverage or 0):
        click.echo(f"coverage is below {min_coverage:g} %", err=True)
    if failed or covered < (min_coverage or 0):
        raise SystemExit(1)


def _run(
    places: tuple[Path, ...],
    policy: Path | None,
    protections: Path | None,
    rule_format: str | None,
) -> tuple[Mapping[Path, Sequence[Result]], Sequence[Coverage]]:
    """Return how all cases went, and what was tried of each policy they name."""
    runners: dict[object, Runner] = {}
    results: dict[Path, Sequence[Result]] = {}
    for path in find_case_files(places):
        file = load_cases(path)
        chosen = rule_format or file.rule_format
        key = (policy or file.policy, protections or file.protections, chosen)
        if key not in runners:
            runners[key] = Runner.for_file(file, policy, protections, rule_format)
        results[path] = run_file(runners[key], file)
    if not results:
        raise Invalid("no case files found")
    return results, [runner.coverage for runner in runners.values()]


def _configured(
    config_files: tuple[Path, ...], policy: Path | None, protections: Path | None
) -> tuple[Path | None, Path | None, str]:
    """Return the files that a configuration names, where the command names none."""
    from imagereg.settings import load_settings

    settings = load_settings(config_files)
    return (
        policy or settings.oslo_policy.policy_file,
        protections or settings.default.property_protection_file,
        settings.default.property_protection_rule_format,
    )


def _tell_results(results: Mapping[Path, Sequence[Result]], *, verbose: bool) -> int:
    """Print what failed; return how many did."""
    failed = 0
    for path, found in results.items():
        for result in found:
            if not result.passed:
                failed += 1
                click.secho(f"FAILED {path}: {result.case.name}", fg="red")
                click.echo(f"       {result.fault}")
            elif verbose:
                click.secho(f"passed {path}: {result.case.name}", fg="green")
    return failed


def _tell_coverage(coverage: Coverage, *, verbose: bool) -> float:
    """Print how much was tried; return it in percent."""
    parts = [
        f"{kind} {part}/{every}" for kind, (part, every) in coverage.counts.items()
    ]
    click.echo(f"coverage {coverage.percent:.1f} %: {', '.join(parts)}")
    if verbose:
        for line in coverage.missed:
            click.echo(f"  {line}")
    return coverage.percent
