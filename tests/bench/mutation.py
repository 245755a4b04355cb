"""Which faults of the rule engine its own tests would let pass: a mutation run.

    python tests/bench/mutation.py                    # all of both rooms, half an hour
    python tests/bench/mutation.py policy/lint protection/probe

Each mutant (`mutants.py`) runs against the tests that reach its line, those first that
are quick or have found faults before, in a process of its own that starts from a
session with everything imported.  A fault in a function replaces the function's code;
one that works at import makes the process import everything anew.

Survivors are printed, and a line of figures for each module.  A survivor that need not
be killed stands in `survivors.txt` under the reason; an entry there that excuses
nothing, because its mutant is killed or gone, is printed as well.  Either makes the
run fail.
"""

import argparse
import gc
import mmap
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TextIO

import coverage
import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.mutants import mutants  # noqa: E402 # the path comes first

ROOMS = ("policy", "protection")
TESTS = tuple(f"tests/{room}" for room in ROOMS)
FATES = ("killed", "explained", "unexplained")
EXPLAINED = Path(__file__).with_name("survivors.txt")

# A mutant that loops ends here: so much longer than the test took, or its import.
LEAST_S, TIMES_SLOWER, LONGEST_S = 1, 4, 60
MOST_BYTES = 3 << 30

_ARGUMENTS = ("-x", "-s", "--tb=native", "--assert=plain", "-p", "no:cacheprovider")


class _Mutated(MetaPathFinder, Loader):
    """A module with a fault, to be brought into this process."""

    def __init__(self, path: Path, before: CodeType, code: CodeType) -> None:
        self._name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self._path, self._code = path, code
        known = dict(_codes(before))
        found = _codes(code)
        #: The functions that differ; empty for a fault that works at import.
        self.changed: Mapping[str, CodeType] = {
            name: one for name, one in found if known.get(name) != one
        }

    def swap(self) -> bool:
        """Replace the functions that differ; return whether that is all."""
        if not self.changed:
            return False
        live = dict(_functions(vars(sys.modules[self._name]), self._name))
        if not live.keys() >= self.changed.keys():
            return False
        for name, code in self.changed.items():
            live[name].__code__ = code
        return True

    def import_again(self, items: list[pytest.Item], folder: Path) -> int:
        """Import everything anew, and run the files that hold the tests."""
        re.purge()  # What `re` warns of, it tells only when it compiles.
        for known in list(sys.modules):
            if known.partition(".")[0] in ("imagereg", "tests"):
                del sys.modules[known]
        sys.meta_path.insert(0, self)
        files = list(dict.fromkeys(item.path for item in items))
        own = [file for file in files if file.stem == f"test_{self._path.stem}"]
        others = [file for file in files if file not in own]
        for some in filter(None, (own, others)):
            status = pytest.main([*_ARGUMENTS, f"--basetemp={folder}", *map(str, some)])
            if status:
                return status
        return 0

    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> ModuleSpec | None:
        """Return how the module is imported, and leave others to others."""
        if fullname != self._name:
            return None
        return spec_from_file_location(fullname, self._path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with its mutant."""
        exec(self._code, module.__dict__)


class Run:
    """One session of pytest, whose tests are run again for each mutant."""

    def __init__(self, modules: Sequence[str], reasons: Path, out: TextIO) -> None:
        self.blemishes = 0
        self._modules = modules
        self._reasons = reasons
        self._out = out
        self._taken_s: dict[str, float] = {}
        self._kills: Counter[str] = Counter()
        #: Where a process says which test it is at, so that it need not end well.
        self._at = mmap.mmap(-1, 4)
        self._coverage = coverage.Coverage(
            data_file=None,
            config_file=False,
            include=[str(ROOT / "imagereg" / room / "*.py") for room in ROOMS],
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all tests as they are, then those for each mutant."""
        self._coverage.start()
        for item in session.items:
            self._coverage.switch_context(item.nodeid)
            begun_s = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            self._taken_s[item.nodeid] = time.process_time() - begun_s
        self._coverage.stop()
        if session.testsfailed or not self._passes_as_is(session):
            raise pytest.UsageError("the tests fail without any fault")
        gc.freeze()  # Nothing is moved in the processes to come, so little is copied.
        totals: Counter[str] = Counter()
        for module in self._modules:
            fates = self._try_module(session, module)
            self._tell(_row(module, fates))
            totals += fates
        self._tell(_row("all", totals))
        return True

    def _try_module(self, session: pytest.Session, name: str) -> Counter[str]:
        """Try every mutant of one module, and tell which survive unexplained."""
        path = ROOT / "imagereg" / f"{name}.py"
        before = compile(path.read_text(), str(path), "exec", dont_inherit=True)
        reached = self._coverage.get_data().contexts_by_lineno(str(path))
        fates: Counter[str] = Counter()
        excused = explained(self._reasons, name)
        needless = set(excused)
        for mutant in mutants(path):
            fault = _Mutated(path, before, mutant.code)
            ids = {one for line in mutant.lines for one in reached.get(line, ())}
            items = [item for item in session.items if item.nodeid in ids]
            if not (fault.changed and items):
                # What works at import may matter to whoever knows the module.
                fault.changed, items = {}, [*session.items]
            if not self._passes(items, fault):
                fates["killed"] += 1
            elif mutant.key in excused:
                fates["explained"] += 1
                needless.discard(mutant.key)
            else:
                fates["unexplained"] += 1
                self._blame(f"{path.name}:{mutant.lines.start}: {name}: {mutant.key}")
        for key in sorted(needless):
            self._blame(f"{self._reasons.name}: excuses nothing: {name}: {key}")
        return fates

    def _passes_as_is(self, session: pytest.Session) -> bool:
        """Return whether the tests pass again, in both ways of trying a mutant."""
        path = ROOT / "imagereg" / f"{self._modules[0]}.py"
        code = compile(path.read_text(), str(path), "exec", dont_inherit=True)
        same = _Mutated(path, code, code)
        return self._passes(session.items) and self._passes(session.items, same)

    def _passes(
        self, items: list[pytest.Item], fault: "_Mutated | None" = None
    ) -> bool:
        """Return whether no test fails, hangs or cannot be imported."""
        items.sort(
            key=lambda one: self._taken_s[one.nodeid] / (1 + self._kills[one.nodeid])
        )
        with tempfile.TemporaryDirectory() as folder:
            child = os.fork()
            if not child:
                _restrict()
                os._exit(self._try(items, fault, Path(folder)))
            _, status = os.waitpid(child, 0)
            _end_group(child)
        if status:
            at = int.from_bytes(self._at[:])
            self._kills[items[at].nodeid] += 1
        return status == 0

    def _try(
        self, items: list[pytest.Item], fault: "_Mutated | None", folder: Path
    ) -> int:
        """Run the tests, and return the status to exit with."""
        try:
            self._at[:] = bytes(4)
            if fault and not fault.swap():
                return fault.import_again(items, folder)
            items[0].config._tmp_path_factory._basetemp = folder  # type: ignore[attr-defined] # pytest has no other way
            for index, item in enumerate(items):
                self._at[:] = index.to_bytes(4)
                _allow(LEAST_S + TIMES_SLOWER * self._taken_s[item.nodeid])
                re.purge()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                if item.session.testsfailed:
                    return 1
        except BaseException:  # noqa: BLE001 # a mutant may fail in any way
            return 1
        return 0

    def _blame(self, text: str) -> None:
        self.blemishes += 1
        self._tell(text)

    def _tell(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


def _row(name: str, fates: Counter[str]) -> str:
    figures = (f"{fates[fate]:>6} {fate}" for fate in FATES)
    return f"{name:<24}{fates.total():>6} mutants{''.join(figures)}"


def _restrict() -> None:
    """Keep what a mutant does from outliving it, and from being seen."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    _allow(LONGEST_S)


def _allow(limit_s: float) -> None:
    """End this process when it has worked, or in all taken, too long from now on."""
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    signal.alarm(int(10 * limit_s))


def _end_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # Nothing is left of it.


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """Yield the functions of a module and of its classes, as compiled."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            if one.co_flags & 0x1:  # Optimized, which the body of a class is not.
                yield one.co_qualname, one
            else:
                yield from _codes(one)


def _functions(
    names: Mapping[str, object], module: str
) -> Iterator[tuple[str, FunctionType]]:
    """Yield the functions of an imported module and of its classes."""
    for value in list(names.values()):
        found = getattr(value, "__func__", None) or getattr(value, "fget", value)
        if getattr(found, "__module__", "") != module:
            continue
        if isinstance(found, FunctionType):
            yield found.__qualname__, found
        elif isinstance(found, type):
            yield from _functions(vars(found), module)


def explained(reasons: Path, module: str) -> frozenset[str]:
    """Return the keys of a module's mutants that need not be killed."""
    lines = reasons.read_text().splitlines()
    start = f"{module}: "
    return frozenset(
        line.removeprefix(start) for line in lines if line.startswith(start)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all mutants of modules; return 1 if one survives unexplained."""
    every = [
        f"{room}/{path.stem}"
        for room in ROOMS
        for path in sorted((ROOT / "imagereg" / room).glob("[!_]*.py"))
    ]
    parser = argparse.ArgumentParser(description="Try faults in the rule engine.")
    parser.add_argument("modules", nargs="*", choices=[*every, []], metavar="module")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="files or folders")
    parser.add_argument("--explained", type=Path, default=EXPLAINED, help="a file")
    options = parser.parse_args(arguments)
    reasons = options.explained.resolve()
    os.chdir(ROOT)
    # A failure is enough: no smaller example is needed, and none is remembered.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile(
        "mutation", database=None, phases=phases, derandomize=True
    )
    settings.load_profile("mutation")
    run = Run(options.modules or every, reasons, sys.stdout)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        status = pytest.main([*_ARGUMENTS, *options.tests], plugins=[run])
    return int(status) or bool(run.blemishes)


if __name__ == "__main__":
    if sys.flags.hash_randomization:  # Sets are in the same order each time.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    sys.exit(main())
