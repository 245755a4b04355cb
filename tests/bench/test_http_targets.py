"""The comparison of two services runs the other one, and judges what it saw."""

import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.bench.http_load import ask_once
from tests.bench.http_report import Measure, Memory, Report, middle
from tests.bench.http_services import beside
from tests.bench.http_targets import judge


def report(memory_mib: float, costs: Mapping[str, float], failures: int = 0) -> Report:
    measures = tuple(
        Measure(name, 1, 9, 1.0, cost, 1.0, 1.0, 0, failures)
        for name, cost in costs.items()
    )
    memory = (Memory(1000, 1.0, memory_mib, memory_mib),)
    return Report("it", 2, 0.0, 1.0, measures, memory)


def test_another_service_runs_as_long_as_it_is_measured() -> None:
    command = f"{sys.executable} -m http.server {{port}} --bind 127.0.0.1"

    with beside(command, 1) as (service, processes):
        status, _ = ask_once(service.address, service.request("GET", "/v2"))
        spent = processes.cpu_s()
        memory = processes.memory(1)

    assert status == 404
    assert spent >= 0
    # The kernel counts what is resident a few pages late, and what is mapped exactly.
    assert 0 < memory.all_mib <= memory.own_mib + 1
    assert memory.own_mib <= memory.resident_mib
    with pytest.raises(ConnectionError):
        ask_once(service.address, b"")


def test_a_service_that_does_not_start_is_told_of() -> None:
    with pytest.raises(RuntimeError, match="false 1"), beside("false {images}", 1):
        pass


@pytest.mark.parametrize(
    ("name", "cost", "holds"),
    [
        ("show", 1.25, True),
        ("show", 1.26, False),
        ("create", 1.25, True),
        ("list 100 of 1000", 0.66, True),
        ("list 100 by name of 1000", 0.68, False),
        ("list, rare tag of 1000", 1.25, True),
        ("list, rare tag of 10000", 0.51, False),
        ("list, rare tag of 10000", 0.5, True),
    ],
)
def test_costs_are_judged_by_the_other_services(
    name: str, cost: float, holds: bool
) -> None:
    theirs, ours = report(100, {name: 10.0}), report(50, {name: cost})

    said = judge(theirs, ours).splitlines()

    assert said[0].startswith(f"CPU: {name}, c=1 ")
    assert said[0].endswith("DOES NOT HOLD") is not holds
    assert all(line.endswith(" holds") for line in said[1:])
    assert len(said) == 4


def test_protections_failures_and_memory_are_judged() -> None:
    known = {"show, no protections": 1.0, "show, 20 protections": 1.06}
    theirs, ours = report(100, known), report(51, known, failures=1)

    said = judge(theirs, ours)

    assert said.count("DOES NOT HOLD") == len(said.splitlines()) == 4


@pytest.mark.parametrize(("cost", "holds"), [(1.25, True), (1.26, False)])
def test_a_list_shall_cost_as_much_with_many_images(cost: float, holds: bool) -> None:
    sizes = {"list 100 of 1000, in turn": 1.0, "list 100 of 9000, in turn": cost}
    ours = report(1, sizes)
    ours = replace(ours, memory=(*ours.memory, Memory(9000, 1.0, 1.0, 1.0)))

    said = judge(report(100, {}), ours).splitlines()

    assert said[0].startswith("growth: list 100, 1000 to 9000 ")
    assert said[0].endswith("DOES NOT HOLD") is not holds


def test_of_many_turns_the_median_ratio_counts_and_all_failures_do() -> None:
    turns = [(1.0, 1.1), (9.0, 90.0), (2.0, 1.0), (3.0, 3.6), (4.0, 5.2)]
    measured = [
        [Measure("show", 1, 10, 1.0, cost, 1.0, 1.0, 1, 1) for cost in costs]
        for costs in turns
    ]

    few, many = middle(measured)

    assert (few.cpu_ms, many.cpu_ms) == (3.0, 3.6)
    assert few.requests == many.requests == 50
    assert (many.others, many.failures) == (5, 5)
