"""
Change each line that guards, one at a time, and see that a unit test fails: `make guards`.

mutmut makes mutants of the modules that ``tool.mutmut`` names in pyproject.toml, and runs the tests that reach each.
A mutant that no test notices is a hole in the tests, unless ``tool.guards`` tells, by its changed line, why not.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import libcst as cst
from mutmut import __main__ as mutmut
from mutmut.mutation import mutators
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]

NOTICED = {1, -24}  # a test failed, or took far longer; all else is a hole
STATUSES = status_by_exit_code | {255: "its tests could not begin"}  # where mutmut says "timeout"


def without_condition(node: cst.If) -> Iterator[cst.If]:
    """Take a guard away, or let it stop everything."""
    for value in ("False", "True"):
        yield node.with_changes(test=cst.Name(value))


def without_call(node: cst.Expr) -> Iterator[cst.Expr]:
    """Take away a call whose result nobody wants, such as a check that raises."""
    if isinstance(node.value, (cst.Call, cst.Await)):
        yield node.with_changes(value=cst.Ellipsis())


def without_option(node: cst.Call) -> Iterator[cst.Call]:
    """Take away a keyword argument, such as a limit."""
    for argument in node.args:
        if argument.keyword:
            yield node.with_changes(args=[other for other in node.args if other is not argument])


# Not what mutmut does to texts, numbers and positional arguments: it is a matter of taste, or shows at once.
OPERATORS = [
    (cst.If, without_condition),
    (cst.Expr, without_call),
    (cst.Call, without_option),
    (cst.Name, mutators.operator_name),
    (cst.UnaryOperation, mutators.operator_remove_unary_ops),
    (cst.CSTNode, mutators.operator_keywords),
    (cst.CSTNode, mutators.operator_swap_op),
    (cst.Match, mutators.operator_match),
    (cst.IfExp, mutators.operator_if_exp),
]


def unnoticed() -> Iterator[tuple[str, str]]:
    """Try all mutants; yield the changed line and a report of each that no test has noticed."""
    mutators.mutation_operators[:] = OPERATORS
    mutmut.print_status = mutmut.print_stats = lambda *_, **__: None
    logging.getLogger("mutmut").propagate = False
    mutmut._run([], os.cpu_count())
    for path in walk_mutatable_files():
        results = SourceFileMutationData(path=path)
        results.load()
        for mutant, exit_code in results.exit_code_by_key.items():
            if exit_code not in NOTICED:
                diff = get_diff_for_mutant(mutant, path=path)
                changed = [line[1:].strip() for line in diff.splitlines()[2:] if line.startswith("+")]
                yield " ".join(changed), f"{mutant}: {STATUSES[exit_code]} ({exit_code})\n{diff}"


def main() -> int:
    accepted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["guards"]["accepted"]
    with tempfile.TemporaryDirectory(prefix="apns-guards-") as folder:
        for part in ("airflow_provider_apns", "tests"):
            shutil.copytree(ROOT / part, Path(folder, part), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        os.environ["TMPDIR"] = tempfile.tempdir = folder  # what killed tests leave goes with it
        os.chdir(folder)
        survivors = list(unnoticed())
        os.chdir(ROOT)
    holes = [report for line, report in survivors if line not in accepted]
    stale = [f"Accepted, but not there any more: {line}\n" for line in accepted if line not in dict(survivors)]
    print(*holes, *stale, f"{len(holes)} holes, {len(accepted)} accepted", sep="\n")
    return 1 if holes or stale else 0


if __name__ == "__main__":
    sys.exit(main())
