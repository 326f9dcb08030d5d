"""A bootstrap taken apart, to find the part of it that Envoy refuses.

A part is a path: ``(CLUSTERS, 3)`` is the fourth cluster, ``(LISTENERS, 0, 2, 1, 4)`` the fifth
route of the second virtual host of the third filter chain of the first listener. A part without
those below it is still valid: a chain without virtual hosts, a virtual host without routes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

__all__ = ["CLUSTERS", "LISTENERS", "Path", "find_refused", "part_at", "parts", "reduced"]

Json = dict[str, Any]
Path = tuple[int, ...]

CLUSTERS, LISTENERS = 0, 1


def parts(bootstrap: Json) -> list[Path]:
    """Every part, clusters first: a listener may need them."""
    static = bootstrap["static_resources"]
    found: list[Path] = [(CLUSTERS, i) for i, _ in enumerate(static["clusters"])]
    for i, listener in enumerate(static["listeners"]):
        for j, chain in enumerate(_chains(listener)):
            found.append((LISTENERS, i, j))
            for k, host in enumerate(_virtual_hosts(chain)):
                found.append((LISTENERS, i, j, k))
                found.extend((LISTENERS, i, j, k, m) for m, _ in enumerate(_routes(host)))
    return found


def part_at(bootstrap: Json, path: Path) -> tuple[Json, ...]:
    """The part and what it lies in, from the outside in."""
    kind, index, *deeper = path
    static = bootstrap["static_resources"]
    found: list[Json] = [static["clusters" if kind == CLUSTERS else "listeners"][index]]
    for step, inside in zip(deeper, (_chains, _virtual_hosts, _routes), strict=False):
        found.append(inside(found[-1])[step])
    return tuple(found)


def reduced(bootstrap: Json, kept: Collection[Path]) -> Json:
    """The bootstrap with these parts only; a listener without chains is left out."""
    known = set(kept)
    static = bootstrap["static_resources"]
    return {
        **bootstrap,
        "static_resources": {
            **static,
            "clusters": [c for i, c in enumerate(static["clusters"]) if (CLUSTERS, i) in known],
            "listeners": [
                smaller
                for i, listener in enumerate(static["listeners"])
                for smaller in _reduced_listener(listener, (LISTENERS, i), known)
            ],
        },
    }


def find_refused(
    bootstrap: Json, ask: Callable[[Json], str], most: int
) -> Iterator[tuple[Path, str]]:
    """The parts that Envoy refuses, each with Envoy's words; those after ``most`` are not found.

    The last part of the shortest refused beginning is at fault, alone or together with one before
    it. It is taken out, and the rest is asked about again.

    Args:
        bootstrap: what Envoy refuses as a whole.
        ask: what Envoy says against a bootstrap; empty when it takes it.
        most: how many to look for.
    """
    left = parts(bootstrap)
    good = 0  # so many at the beginning are taken
    for _ in range(most):
        words = ask(reduced(bootstrap, left))
        if not words or (good == 0 and ask(reduced(bootstrap, []))):
            return
        bad = len(left)
        while bad - good > 1:
            middle = (good + bad) // 2
            said = ask(reduced(bootstrap, left[:middle]))
            if said:
                bad, words = middle, said
            else:
                good = middle
        culprit = left[bad - 1]
        yield culprit, words
        left = [path for path in left if path[: len(culprit)] != culprit]


def _reduced_listener(listener: Json, path: Path, kept: set[Path]) -> Iterator[Json]:
    chains = [
        _reduced_chain(chain, (*path, j), kept)
        for j, chain in enumerate(_chains(listener))
        if (*path, j) in kept
    ]
    if not chains:
        return
    smaller = {**listener, "filter_chains": chains}
    # The default chain is the last one, where there is one.
    if "default_filter_chain" in smaller:
        if (*path, len(_chains(listener)) - 1) in kept:
            smaller["default_filter_chain"] = chains.pop()
        else:
            del smaller["default_filter_chain"]
    yield smaller


def _reduced_chain(chain: Json, path: Path, kept: set[Path]) -> Json:
    whole = _virtual_hosts(chain)
    if not whole:
        return chain
    hosts = [
        {**host, "routes": [r for m, r in enumerate(_routes(host)) if (*path, k, m) in kept]}
        for k, host in enumerate(whole)
        if (*path, k) in kept
    ]
    *before, last = chain["filters"]
    config = last["typed_config"]
    routes = {**config["route_config"], "virtual_hosts": hosts}
    return {
        **chain,
        "filters": [*before, {**last, "typed_config": {**config, "route_config": routes}}],
    }


def _chains(listener: Json) -> Sequence[Json]:
    default = listener.get("default_filter_chain")
    return [*listener.get("filter_chains", ()), *([default] if default is not None else ())]


def _virtual_hosts(chain: Json) -> Sequence[Json]:
    config = chain["filters"][-1]["typed_config"] if chain["filters"] else {}
    hosts: Sequence[Json] = config.get("route_config", {}).get("virtual_hosts", ())
    return hosts


def _routes(host: Json) -> Sequence[Json]:
    routes: Sequence[Json] = host.get("routes", ())
    return routes
