"""`make test-lowest`: the unit tests with the lowest version of every dependency that pyproject.toml declares.

What those bring along is as old as in the oldest world of scripts/matrix.py: a package of today may not work with them,
as universal-pathlib 0.3 does not with Airflow 2.11.0.
"""

from __future__ import annotations

import subprocess
import sys

from scripts.matrix import COMPAT, DAYS, EXTRAS, PARALLEL, ROOT, UV, find_python

VENV = ROOT / ".venvs" / "lowest"
PYTHONS = ("3.10", "3.11", "3.12")  # the lowest versions have no wheels for newer ones


def main() -> int:
    python = next(filter(None, map(find_python, PYTHONS)), None)
    if python is None:
        sys.exit(f"make test-lowest needs Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}")
    days = ["--exclude-newer", min(DAYS.values()), "--exclude-newer-package", "=".join(COMPAT)]
    install = [UV, "pip", "install", "--quiet", "--python", VENV, *days]
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", python, VENV], check=True)
    package = f"{ROOT}[{','.join(EXTRAS)}]"
    subprocess.run([*install, "--resolution", "lowest-direct", "--editable", package], check=True)
    # The test tools are not what is tested here: they are as new as the rest.
    kept = subprocess.run(
        [UV, "pip", "freeze", "--exclude-editable", "--python", VENV], capture_output=True, check=True
    )
    tools = [*install, "--constraints", "-", "--group", f"{ROOT / 'pyproject.toml'}:test"]
    subprocess.run(tools, input=kept.stdout, check=True)
    pytest = [VENV / "bin" / "python", "-m", "pytest", *PARALLEL, "tests/unit"]
    return subprocess.run(pytest, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
