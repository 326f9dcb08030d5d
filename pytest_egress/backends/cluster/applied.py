"""What a run has applied to a cluster: its namespaces, and in them one contract after the other."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.layout import Layout, Placed, control_objects, manifests
from pytest_egress.backends.cluster.pod import namespace
from pytest_egress.backends.cluster.progress import Say, step
from pytest_egress.backends.cluster.rivals import rivals

if TYPE_CHECKING:
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload

__all__ = ["Applied"]

_TICK = 0.1  # seconds, between tries to be younger
_AT_ONCE = 8  # requests under way at the same time


class Applied:
    """Namespaces that nobody else uses, and the objects in them.

    Args:
        api: of the cluster.
        prefix: what the names of the namespaces begin with.
        revision: of Istio; empty: the default one.
        keep: the namespaces stay.
        say: tells what is being waited for.

    Attributes:
        layout: how the namespaces of a contract are called in the cluster.
        generation: the step of applying that a proxy is to have.
    """

    def __init__(self, api: Api, prefix: str, *, revision: str, keep: bool, say: Say) -> None:
        self.layout = Layout(prefix)
        self.generation = 0
        self._api = api
        self._revision = revision
        self._keep = keep
        self._say = say
        self._namespaces: set[str] = set()
        self._asked_for: set[str] = set()  # those whose making was not answered as well
        self._objects: dict[tuple[str, str, str], Placed] = {}
        self._born: dict[tuple[str, str, str], str] = {}  # by the cluster's clock
        self._current: tuple[Contract, Workload] | None = None

    def make_namespaces(self, names: Iterable[str]) -> None:
        """Make those that are not there yet.

        Raises:
            ApiError: the cluster refuses one.
        """
        from pytest_egress.backends.ownership import labels

        for name in names:
            if name in self._namespaces:
                continue
            body = namespace(name, labels(keep=self._keep), self._revision)
            again = name in self._asked_for
            self._asked_for.add(name)
            try:
                self._api.create("/api/v1/namespaces", body, f"make the namespace {name}")
            except ApiError as error:
                if not again or error.status != 409:
                    raise
            self._namespaces.add(name)

    def holds(self, contract: Contract, workload: Workload) -> bool:
        """Whether a contract is what has been applied last, for that workload's namespace."""
        return self._current is not None and _same(self._current, contract, workload)

    def use(
        self,
        contract: Contract,
        workload: Workload,
        spaces: Iterable[str],
        gateways: Collection[str] = (),
    ) -> None:
        """Put a contract in the place of the one before, the control last.

        Args:
            contract: it.
            workload: whose namespace is asked for.
            spaces: the namespaces (of the cluster) in which pods are.
            gateways: those in which pods of gateways are.

        Raises:
            ApiError: the cluster refuses a part of it; with the resource's place.
        """
        if self.holds(contract, workload):
            return
        self._current = None
        own = self.layout.namespaces(contract, workload)
        self.make_namespaces(own.values())
        wanted = {it.key: it for it in manifests(contract, workload, self.layout)}
        control = self._control({own[workload.namespace], *spaces}, gateways)
        gone = [it for key, it in self._objects.items() if key not in wanted | control]
        by_origin = {id(it.origin): it for it in wanted.values() if it.origin is not None}
        groups = [
            [by_origin[id(it)] for it in group if id(it) in by_origin]
            for group in rivals(contract, workload.namespace)
        ]
        late = [group for group in groups if not self._in_turn(group)]
        apart = {it.key for group in late for it in group}
        changed = [it for key, it in wanted.items() if key not in apart and not self._has(key, it)]
        with (
            step(f"applying {len(changed)} objects", self._say),
            ThreadPoolExecutor(_AT_ONCE, "pytest-egress-apply") as executor,
        ):
            list(executor.map(self._remove, gone))
            list(executor.map(self._put, changed))
            list(executor.map(self._put_in_turn, late))
            list(executor.map(self._put, control.values()))
        self._current = (contract, workload)

    def withdraw(self) -> None:
        """Take back what is applied, for a while.

        A proxy that starts with it would look names up before there is an agent to answer, and
        would ask again only after a minute.
        """
        with ThreadPoolExecutor(_AT_ONCE, "pytest-egress-apply") as executor:
            list(executor.map(self._remove, list(self._objects.values())))
        self._current = None

    def mark(self, spaces: Iterable[str], gateways: Collection[str] = ()) -> None:
        """Apply the control alone, as a step of its own, for the pods of some namespaces."""
        control = self._control(spaces, gateways)
        with ThreadPoolExecutor(_AT_ONCE, "pytest-egress-apply") as executor:
            list(executor.map(self._put, control.values()))

    def close(self) -> None:
        """Remove every namespace. Twice is once.

        Raises:
            BackendError: the cluster does not remove them; with their names.
        """
        from pytest_egress.backends.cluster.leftovers import delete_all

        names, self._asked_for = self._asked_for, set()
        self._namespaces.clear()
        self._objects.clear()
        self._born.clear()
        self._current = None
        if not self._keep:
            paths = {f"namespace {it}": f"/api/v1/namespaces/{it}" for it in sorted(names)}
            delete_all(self._api, paths)

    def _control(
        self, spaces: Iterable[str], gateways: Collection[str]
    ) -> dict[tuple[str, str, str], Placed]:
        """The control's objects of the next step."""
        self.generation += 1
        return {
            it.key: it
            for name in {*spaces, *gateways}
            for it in control_objects(name, self.generation, gateway=name in gateways)
        }

    def _in_turn(self, group: list[Placed]) -> bool:
        """Whether rivals are there as they are wanted, each younger than those before it."""
        born = [self._born.get(it.key, "") for it in group if self._has(it.key, it)]
        return len(born) == len(group) and all(one < other for one, other in pairwise(born))

    def _put_in_turn(self, group: list[Placed]) -> None:
        """Create rivals, each younger than those before it by the cluster's clock.

        That one tells whole seconds.
        """
        for placed in group:
            if placed.key in self._objects:
                self._remove(placed)
        last = ""
        for placed in group:
            while True:
                self._put(placed)
                if self._born[placed.key] > last:
                    break
                self._remove(placed)
                time.sleep(_TICK)
            last = self._born[placed.key]

    def _has(self, key: tuple[str, str, str], placed: Placed) -> bool:
        known = self._objects.get(key)
        return known is not None and known.body == placed.body

    def _put(self, placed: Placed) -> None:
        where = f" ({placed.origin.at('metadata', 'name')})" if placed.origin else ""
        doing = f"apply {placed.body['kind']} {placed.name}{where}"
        if placed.key not in self._objects:
            created = self._api.create(placed.base, placed.body, doing)
            self._born[placed.key] = created["metadata"]["creationTimestamp"]
        else:
            self._replace(placed.path, placed.body, doing)
        self._objects[placed.key] = placed

    def _replace(self, path: str, body: Mapping[str, Any], doing: str) -> None:
        """Replace an object, which istiod may be writing to at the same time."""
        for attempt in range(5):
            known = self._api.get(path, doing)
            version = {"resourceVersion": known["metadata"]["resourceVersion"]}
            try:
                self._api.replace(
                    path, {**body, "metadata": {**body["metadata"], **version}}, doing
                )
            except ApiError as error:
                if error.status != 409 or attempt == 4:
                    raise
            else:
                return

    def _remove(self, placed: Placed) -> None:
        self._api.delete(placed.path, f"remove {placed.body['kind']} {placed.name}")
        del self._objects[placed.key]
        self._born.pop(placed.key, None)


def _same(current: tuple[Contract, Workload], contract: Contract, workload: Workload) -> bool:
    known, seen_by = current
    if known is not contract and known != contract:
        return False
    return seen_by.namespace == workload.namespace
