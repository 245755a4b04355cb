"""Results of cases as JUnit XML, which build servers read."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from imagereg.rehearsal.runs import Result


def junit_lines(results: Mapping[Path, Sequence[Result]]) -> Iterator[str]:
    """Yield a JUnit XML document with one suite for each file, line by line."""
    every = [result for found in results.values() for result in found]
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield f"<testsuites {_counts(every)}>"
    for path, found in results.items():
        yield f"  <testsuite name={_quote(str(path))} {_counts(found)}>"
        for result in found:
            yield from _case_lines(path, result)
        yield "  </testsuite>"
    yield "</testsuites>"


def _case_lines(path: Path, result: Result) -> Iterator[str]:
    name, where = _quote(result.case.name), _quote(str(path))
    head = f'    <testcase classname={where} name={name} time="{result.taken_s:.6f}"'
    if result.passed:
        yield f"{head}/>"
        return
    yield f"{head}>"
    yield f"      <failure message={_quote(result.fault)}/>"
    yield "    </testcase>"


def _counts(results: Sequence[Result]) -> str:
    failed = sum(not result.passed for result in results)
    taken_s = sum(result.taken_s for result in results)
    return f'tests="{len(results)}" failures="{failed}" errors="0" time="{taken_s:.6f}"'


def _quote(text: str) -> str:
    """Return an attribute's value in quotes, without what XML cannot hold."""
    return quoteattr("".join(c if c.isprintable() else "?" for c in text))
