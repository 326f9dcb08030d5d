"""From settings, markers and fixture values to contracts and workloads, each read once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_egress.backends.registry import kind
from pytest_egress.contract import Contract, MeshConfig, load, loads, unsupported
from pytest_egress.contract.mesh import load_mesh
from pytest_egress.contract.pod_files import check_pod_files
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.resources import OutboundTrafficPolicy, Workload
from pytest_egress.errors import BackendError, ContractError
from pytest_egress.settings import base_directory, lookup
from pytest_egress.stash import CONTRACT

if TYPE_CHECKING:
    from pytest_egress.backends.protocol import Backend

__all__ = ["Loader", "capture_options", "captures", "create_backend", "loader", "pod_root", "shown"]


# Rules of warnings about what Envoy may refuse although istiod accepts it.
_DOUBTFUL = frozenset({"lint/envoy-refuses", "service-entry/partial-wildcard"})
_LOADER: pytest.StashKey[Loader] = pytest.StashKey()


def loader(config: pytest.Config) -> Loader:
    """The loader of this run."""
    if _LOADER not in config.stash:
        config.stash[_LOADER] = Loader(config)
    return config.stash[_LOADER]


def captures(config: pytest.Config, item: pytest.Item) -> bool:
    """Whether a test's own connections are captured.

    Raises:
        pytest.UsageError: the marker's arguments are wrong.
    """
    value, source = lookup(config, "capture", item)
    if source != "marker" and lookup(config, "record")[0]:
        return True
    return bool(_captured(item, value)[0] if source == "marker" else value)


def capture_options(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """The keywords of `Egress.capture` for a test: those of its marker, else of the settings.

    Raises:
        pytest.UsageError: the marker's arguments are wrong.
    """
    on_blocked, source = lookup(config, "on-blocked", item)
    mark = item.get_closest_marker("egress_captured")
    options = _captured(item, mark)[1] if mark is not None else {}
    if source != "marker":
        options["on_blocked"] = on_blocked
    if lookup(config, "record")[0]:
        options["on_blocked"] = "allow"
    return options


def _captured(item: pytest.Item, mark: pytest.Mark) -> tuple[bool, dict[str, Any]]:
    def signature(enabled: bool = True, /, **options: Any) -> tuple[bool, dict[str, Any]]:
        return enabled, options

    known = {"on_blocked", "exclude", "trust"}
    for name in mark.kwargs.keys() - known:
        raise pytest.UsageError(
            f"{item.nodeid}: egress_captured: unknown option {name!r}; expected one of "
            f"{', '.join(sorted(known))}"
        )
    try:
        return signature(*mark.args, **mark.kwargs)
    except TypeError as error:
        raise pytest.UsageError(f"{item.nodeid}: egress_captured: {error}") from None


class Loader:
    """Reads contracts and keeps them: tests that name the same sources share one object."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._contracts: dict[tuple[str, ...], Contract] = {}
        self._mesh: tuple[MeshConfig | None, tuple[Problem, ...]] | None = None

    def for_run(self) -> Contract:
        """The contract of the command line, the environment or the ini file.

        Raises:
            pytest.UsageError: it cannot be used; the message has every problem.
        """
        return self._from_settings(None)

    def check_run(self) -> None:
        """Read the contract of the run; ask Envoy where istiod takes more than Envoy may.

        Raises:
            pytest.UsageError: it cannot be used; the message has every problem.
        """
        contract = self.with_policy(self.for_run(), None)
        doubtful = any(warning.rule in _DOUBTFUL for warning in contract.warnings)
        if not doubtful or self._whole():
            return
        from pytest_egress.backends.local import LocalBackend

        backend = LocalBackend(
            envoy=lookup(self._config, "envoy")[0], pod_root=pod_root(self._config)
        )
        try:
            backend.enforce(contract, self.workload(None, contract.mesh))
        except ContractError as error:
            raise pytest.UsageError(_unusable(error)) from None
        except BackendError:
            pass  # told by the first test that needs it
        finally:
            backend.close()

    def is_of_run(self, contract: Contract) -> bool:
        """Whether this is the contract of the run, and not one of a marker or a fixture."""
        return bool(lookup(self._config, "contract")[0]) and contract is self.for_run()

    def for_item(self, item: pytest.Item) -> Contract:
        """The contract of one test: its nearest marker counts too.

        Raises:
            pytest.UsageError: it cannot be used; the message has every problem.
        """
        return item.stash[CONTRACT] if CONTRACT in item.stash else self._from_settings(item)

    def for_collected(self, files: Iterable[Path]) -> Contract:
        """The contract of files that are test files, together with that of the settings.

        Raises:
            ContractError: with every problem of every file.
        """
        value, source = lookup(self._config, "contract")
        base = base_directory(self._config, source)
        mesh, warnings = self._read_mesh()
        sources = [*map(str, files), *value]
        if not sources:
            return Contract(mesh=mesh or MeshConfig())
        contract = _load(sources, base, pod_root(self._config), mesh, whole=self._whole())
        return dataclasses.replace(contract, warnings=(*warnings, *contract.warnings))

    def read(self, value: Any, base: Path) -> Contract:
        """Read what an overridden ``egress_contract`` fixture returned.

        Args:
            value: a `Contract`, a path, YAML text, or a list of paths and texts.
            base: where relative paths start.

        Raises:
            pytest.UsageError: it cannot be used; the message has every problem.
        """
        if isinstance(value, Contract):
            return value
        sources = [value] if isinstance(value, str | Path) else list(value)
        return self._read([str(source) for source in sources], base)

    def with_policy(self, contract: Contract, item: pytest.Item | None) -> Contract:
        """Apply the policy setting of a test, or of the run.

        Raises:
            pytest.UsageError: the marker's argument is no policy.
        """
        mode, source = lookup(self._config, "policy", item)
        if lookup(self._config, "record")[0]:
            mode, source = "ALLOW_ANY", "command line"  # what is not declared is to be seen
        if source == "marker":
            mode = _policy(item, mode)
        if source == "default" or mode == contract.mesh.outbound_traffic_policy.mode:
            return contract  # a contract that a fixture made may have a policy of its own
        mesh = dataclasses.replace(
            contract.mesh, outbound_traffic_policy=OutboundTrafficPolicy(mode)
        )
        return dataclasses.replace(contract, mesh=mesh)

    def workload(self, item: pytest.Item | None, mesh: MeshConfig) -> Workload:
        """The workload that asks in a test, or in the run.

        Whether its names are resolved by Istio's agent is a setting; unset, the mesh says so.

        Raises:
            pytest.UsageError: the marker's arguments are wrong.
        """
        value, source = lookup(self._config, "workload", item)
        if source == "marker":
            value = _workload(item, value)
        namespace, labels = value
        dns_proxy, source = lookup(self._config, "dns-proxy", item)
        if source == "marker":
            dns_proxy = _enabled(item, dns_proxy)
        elif source == "default":
            dns_proxy = mesh.dns_capture
        return Workload(namespace, labels, dns_capture=dns_proxy)

    def _from_settings(self, item: pytest.Item | None) -> Contract:
        value, source = lookup(self._config, "contract", item)
        base = base_directory(self._config, source)
        if source == "marker":
            mark: pytest.Mark = value
            if (
                not mark.args
                or mark.kwargs
                or not all(isinstance(a, str | Path) for a in mark.args)
            ):
                raise pytest.UsageError(
                    f"{_name(item)}: egress_contract: expected paths, globs or YAML text"
                )
            value = [str(argument) for argument in mark.args]
            if item is not None:
                base = item.path.parent
        if not value and lookup(self._config, "record")[0]:
            return Contract()
        if not value:
            raise pytest.UsageError(
                "there is no contract: name the Istio YAML with egress_contract in the ini file, "
                "--egress-contract, PYTEST_EGRESS_CONTRACT or @pytest.mark.egress_contract, or "
                "override the egress_contract fixture"
            )
        return self._read(value, base)

    def _read(self, sources: list[str], base: Path) -> Contract:
        key = (str(base), *sources)
        if key not in self._contracts:
            try:
                mesh, warnings = self._read_mesh()
                contract = _load(sources, base, pod_root(self._config), mesh, whole=self._whole())
            except ContractError as error:
                raise pytest.UsageError(_unusable(error)) from None
            if not contract.service_entries and not lookup(self._config, "record")[0]:
                raise pytest.UsageError(_empty(contract))
            self._contracts[key] = dataclasses.replace(
                contract, warnings=(*warnings, *contract.warnings)
            )
        return self._contracts[key]

    def _whole(self) -> bool:
        """Whether a backend of the run enforces all that the API has."""
        return any(kind(name).whole for name in lookup(self._config, "backend")[0])

    def _read_mesh(self) -> tuple[MeshConfig | None, tuple[Problem, ...]]:
        """The mesh of the mesh file with its warnings; None where no file is named.

        Raises:
            ContractError: the file cannot be used.
        """
        if self._mesh is None:
            file, source = lookup(self._config, "mesh-config")
            path = base_directory(self._config, source) / file
            self._mesh = load_mesh(shown(path)) if file else (None, ())
        return self._mesh


def create_backend(config: pytest.Config, name: str = "") -> Backend:
    """Make a backend, without a name the first that the settings name; nothing is started.

    Raises:
        ValueError: there is none of that name.
        BackendError: a package that it needs is not installed.
    """
    from pytest_egress.backends.registry import create

    def get(name: str) -> Any:
        return pod_root(config) if name == "pod-root" else lookup(config, name)[0]

    return create(name or get("backend")[0], get)


def pod_root(config: pytest.Config) -> str:
    """The directory that stands for the pod's root."""
    value, source = lookup(config, "pod-root")
    return shown(base_directory(config, source) / value)


def _unusable(error: ContractError) -> str:
    return f"the egress contract cannot be used\n{error}"


def _load(
    sources: list[str], base: Path, root: str, mesh: MeshConfig | None, *, whole: bool
) -> Contract:

    texts = [source for source in sources if "\n" in source]
    paths = [shown(base / source) for source in sources if "\n" not in source]
    parts = [load(paths, mesh=mesh)] if paths else []
    parts.extend(loads(text, file="<egress_contract>", mesh=mesh) for text in texts)
    contract = parts[0] if len(parts) == 1 else _joined(parts)
    if not whole:
        refused = [problem for problem in unsupported(contract) if problem.severity == "error"]
        refused.extend(check_pod_files(contract, root))
        if refused:
            raise ContractError(refused)
    return contract


def shown(path: Path) -> str:
    """A path as messages show it: relative to where pytest was started, if it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _empty(contract: Contract) -> str:
    others = ", ".join(f"{n} {kind}" for kind, n in contract.other_kinds.items())
    message = (
        f"the contract holds no ServiceEntry{f' ({others} left alone)' if others else ''}: with "
        "nothing declared everything is blocked, and a test of that proves nothing"
    )
    position = Position(next(iter(contract.files), "<egress_contract>"))
    return str(Problem("error", message, position, "contract/empty"))


def _joined(parts: list[Contract]) -> Contract:
    others: Counter[str] = Counter()
    for part in parts:
        others.update(part.other_kinds)
    return dataclasses.replace(
        parts[0],
        service_entries=tuple(entry for part in parts for entry in part.service_entries),
        workload_entries=tuple(entry for part in parts for entry in part.workload_entries),
        sidecars=tuple(sidecar for part in parts for sidecar in part.sidecars),
        virtual_services=tuple(item for part in parts for item in part.virtual_services),
        destination_rules=tuple(item for part in parts for item in part.destination_rules),
        gateways=tuple(item for part in parts for item in part.gateways),
        kubernetes_services=tuple(item for part in parts for item in part.kubernetes_services),
        kubernetes_pods=tuple(item for part in parts for item in part.kubernetes_pods),
        warnings=tuple(problem for part in parts for problem in part.warnings),
        files=tuple(file for part in parts for file in part.files),
        other_kinds=others,
    )


def _policy(item: pytest.Item | None, mark: pytest.Mark) -> str:
    modes = ("REGISTRY_ONLY", "ALLOW_ANY")
    if len(mark.args) != 1 or mark.kwargs or mark.args[0] not in modes:
        raise pytest.UsageError(f"{_name(item)}: egress_policy: expected {' or '.join(modes)}")
    return str(mark.args[0])


def _enabled(item: pytest.Item | None, mark: pytest.Mark) -> bool:
    def signature(enabled: bool = True) -> bool:
        if not isinstance(enabled, bool):
            raise TypeError(f"expected True or False, got {enabled!r}")
        return enabled

    try:
        return signature(*mark.args, **mark.kwargs)
    except TypeError as error:
        raise pytest.UsageError(f"{_name(item)}: egress_dns_proxy: {error}") from None


def _workload(item: pytest.Item | None, mark: pytest.Mark) -> tuple[str, Mapping[str, str]]:
    def signature(namespace: str = "default", /, **labels: str) -> tuple[str, Mapping[str, str]]:
        return namespace, labels

    options = dict(mark.kwargs)
    arguments = mark.args or ((options.pop("namespace"),) if "namespace" in options else ())
    labels = options.pop("labels", {})
    try:
        namespace, more = signature(*arguments, **options)
    except TypeError as error:
        raise pytest.UsageError(f"{_name(item)}: egress_workload: {error}") from None
    return namespace, {**labels, **more}


def _name(item: pytest.Item | None) -> str:
    return item.nodeid if item is not None else "egress"
