"""Sees to it that Debian's Chromium is there, for `make test-ui`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.debian import Unavailable, install

CHROMIUM = Path("/usr/bin/chromium")

if __name__ == "__main__" and not CHROMIUM.exists():
    try:
        install("chromium", "fonts-dejavu-core")
    except Unavailable as error:
        sys.exit(f"make test-ui needs {CHROMIUM}. {error}")
