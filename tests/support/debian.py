"""Debian's packages, for what no Python package brings."""

from __future__ import annotations

import os
import shutil
import subprocess


class Unavailable(RuntimeError):
    """Something cannot be had on this machine."""


def install(*packages: str) -> None:
    """
    Install packages, without starting any service.

    :raises Unavailable: if they cannot be installed, saying what to do
    """
    if os.geteuid() or not shutil.which("apt-get"):
        raise Unavailable(f"Something is missing: as root, run `apt-get install {' '.join(packages)}`.")
    # At run level 1, packages start no services of their own.
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        outcome = subprocess.run(["apt-get", *command], env=env, capture_output=True, text=True, check=False)
        if outcome.returncode:
            raise Unavailable(f"apt-get {' '.join(command)} failed:\n{outcome.stdout[-1500:]}{outcome.stderr[-1500:]}")
