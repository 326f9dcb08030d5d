"""Installs Chromium and its driver where they are missing: ``python -m tests.browser``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PACKAGES = ("chromium", "chromium-driver")


def main() -> None:
    """Install what is missing, or say that it has to be."""
    if all(map(shutil.which, ("chromium", "chromedriver"))):
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        sys.exit("chromium and chromedriver are needed: install them, or run this as root")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run([apt, "-qq", *command], env=environment, check=True)


if __name__ == "__main__":
    main()
