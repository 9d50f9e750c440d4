"""Sees to it that Debian's Chromium is there, for `make test-ui`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")


def main() -> None:
    if CHROMIUM.exists():
        return
    if os.geteuid() or not shutil.which("apt-get"):
        sys.exit(f"There is no {CHROMIUM}, and only root can install it: apt-get install chromium")
    quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "check": True}
    subprocess.run(["apt-get", "update", "-qq"], **quiet)
    packages = ["chromium", "fonts-dejavu-core"]
    subprocess.run(["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages], **quiet)


if __name__ == "__main__":
    main()
