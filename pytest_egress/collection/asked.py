"""Which YAML files a run is asked to collect: named on the command line, or by ``egress_collect``.

A run of an existing suite collects no YAML: neither one without arguments, nor one of a directory
that has Python tests, unless the YAML lies in that very directory.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pytest_egress.settings import base_directory, lookup

__all__ = ["ASKED", "SUFFIXES", "Asked", "asked", "extend_arguments"]

#: Given to xdist's workers by the controller: the paths that its command line names.
ASKED = "egress_asked"

#: How the names of expectation files end.
SUFFIXES = (".egress.yaml", ".egress.yml")
_YAML = frozenset({".yaml", ".yml"})
_ISTIO = "networking.istio.io"
# What an egress gateway is made of, beside Istio's own resources.
_KUBERNETES = tuple(
    f"kind: {kind}" for kind in ("Service", "Pod", "Deployment", "DaemonSet", "StatefulSet")
)
_KEY: pytest.StashKey[Asked] = pytest.StashKey()


def asked(config: pytest.Config) -> Asked:
    """What this run is asked to collect."""
    if _KEY not in config.stash:
        config.stash[_KEY] = Asked(config)
    return config.stash[_KEY]


def extend_arguments(config: pytest.Config) -> None:
    """Let a run without arguments visit the files of ``egress_collect``, wherever they are.

    Raises:
        pytest.UsageError: a glob stands for nothing.
    """
    if config.args_source is pytest.Config.ArgsSource.ARGS or hasattr(config, "workerinput"):
        return
    roots = [Path(_path_of(config, it)) for it in config.args]
    for file in sorted(asked(config).globbed):
        if not any(file.is_relative_to(root) for root in roots):
            config.args.append(str(file))


class Asked:
    """The paths that were asked for.

    Attributes:
        named: files and directories of the command line, as absolute paths.
        globbed: the files that ``egress_collect`` stands for.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._bare: dict[Path, bool] = {}
        self.named = tuple(map(Path, _named(config)))
        self.globbed = frozenset(_globbed(config))

    def takes(self, path: Path) -> bool:
        """Whether a YAML file is to be collected.

        Of a directory those files are that hold something of Istio's, or expectations.
        """
        if path in self.globbed or path in self.named:
            return True
        if not any(self._holds(root, path) for root in self.named):
            return False
        return path.name.endswith(SUFFIXES) or _ISTIO in _text(path)

    def _holds(self, root: Path, path: Path) -> bool:
        """Whether naming ``root`` asks for a file of it: directly in it, or below a bare tree."""
        if path.parent == root:
            return True
        return path.is_relative_to(root) and self._is_bare(root)

    def _is_bare(self, root: Path) -> bool:
        """Whether no Python test lies in a directory or below it: else it is a suite's own."""
        if root not in self._bare:
            patterns = self._config.getini("python_files")
            self._bare[root] = not any(
                fnmatch(path.name, pattern)
                for path in self._walk(root, {".py"})
                for pattern in patterns
            )
        return self._bare[root]

    def contract_files(self) -> Iterator[Path]:
        """The files whose resources make the contract: what is collected, and what belongs to it.

        That is every Service or workload of Kubernetes in the directories that were named: an
        egress gateway is made of them.
        """
        seen: set[Path] = set()
        for file in (*self._files(), *sorted(self.globbed)):
            if file in seen:
                continue
            seen.add(file)
            text = _text(file)
            known = _ISTIO in text or any(it in text for it in _KUBERNETES)
            if known or (file in self.named and not file.name.endswith(SUFFIXES)):
                yield file

    def _files(self) -> Iterator[Path]:
        for root in self.named:
            if root.is_dir():
                yield from (it for it in self._walk(root, _YAML) if self._holds(root, it))
            elif root.suffix in _YAML:
                yield root

    def _walk(self, directory: Path, suffixes: Collection[str]) -> Iterator[Path]:
        """The files below a directory that pytest would not leave out."""
        hook = self._config.hook
        for path in sorted(directory.iterdir()):
            if path.suffix not in suffixes and not path.is_dir():
                continue
            if hook.pytest_ignore_collect(collection_path=path, config=self._config):
                continue
            if path.is_dir():
                yield from self._walk(path, suffixes)
            else:
                yield path


def _named(config: pytest.Config) -> list[str]:
    given: list[str] | None = getattr(config, "workerinput", {}).get(ASKED)
    if given is not None:
        return given
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return []
    return [_path_of(config, it) for it in config.args]


def _path_of(config: pytest.Config, argument: str) -> str:
    """The path of an argument such as ``deploy/weather.yaml::api.weather.com[443/HTTPS-sni]``."""
    path = argument.partition("[")[0].partition("::")[0]
    return os.path.abspath(config.invocation_params.dir / path)  # noqa: PTH100  links stay links


def _globbed(config: pytest.Config) -> Iterator[Path]:
    patterns, source = lookup(config, "collect")
    base = base_directory(config, source)
    for pattern in patterns:
        found = sorted(glob.glob(str(base / pattern), recursive=True))  # noqa: PTH207
        files = [Path(os.path.abspath(name)) for name in found if os.path.isfile(name)]  # noqa: PTH100, PTH113
        if not files:
            raise pytest.UsageError(f"egress_collect: {pattern}: the pattern matches no file")
        yield from files


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _ISTIO  # its collector tells why it cannot be read
