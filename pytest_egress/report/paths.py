"""Paths as the readers of reports want them: relative to the repository."""

from __future__ import annotations

import os

__all__ = ["in_repository"]


def in_repository(file: str) -> str:
    """A path relative to the repository that CI has checked out, with slashes.

    As given where neither ``GITHUB_WORKSPACE`` nor ``CI_PROJECT_DIR`` (GitLab) is set, or where
    the file lies outside of it.
    """
    workspace = os.environ.get("GITHUB_WORKSPACE", "") or os.environ.get("CI_PROJECT_DIR", "")
    if not workspace:
        return file
    path = os.path.relpath(os.path.realpath(file), os.path.realpath(workspace))
    return file if path.startswith(os.pardir) else path.replace(os.sep, "/")
