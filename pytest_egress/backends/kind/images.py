"""Images that this machine has and a cluster's nodes lack: which they are, and their way there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pytest_egress.backends.cluster.progress import Say
from pytest_egress.backends.kind.programs import engine, run
from pytest_egress.errors import BackendError

__all__ = ["held", "in_nodes", "load", "nodes_without"]

_SHORT = 60.0  # seconds
_LOAD_TIMEOUT = 300.0
_AT_ONCE = 4


def held(images: Iterable[str]) -> list[str]:
    """Those that the container engine of this machine has.

    Raises:
        BackendError: there is no engine.
    """
    engine()
    wanted = list(dict.fromkeys(images))
    with ThreadPoolExecutor(_AT_ONCE, "pytest-egress-images") as executor:
        found = executor.map(_here, wanted)
    return [image for image, here in zip(wanted, found, strict=True) if here]


def in_nodes(cluster: str) -> dict[str, set[str]]:
    """The images that each node of a cluster has.

    Raises:
        BackendError: kind or the engine does not tell.
    """
    command = ["kind", "get", "nodes", "--name", cluster]
    nodes = run(command, f"list the nodes of {cluster}", timeout=_SHORT).split()

    def images(node: str) -> set[str]:
        command = [engine(), "exec", node, "ctr", "-n", "k8s.io", "images", "ls", "-q"]
        told = run(command, f"list the images of the node {node}", timeout=_SHORT)
        return {_short(it) for it in told.split()}

    with ThreadPoolExecutor(_AT_ONCE, "pytest-egress-images") as executor:
        return dict(zip(nodes, executor.map(images, nodes), strict=True))


def nodes_without(
    images: Iterable[str], nodes: Mapping[str, Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """The nodes that lack each image; left out is one that all of them have."""
    found = {}
    for image in images:
        lacking = tuple(node for node, known in nodes.items() if _short(image) not in known)
        if lacking:
            found[image] = lacking
    return found


def load(cluster: str, images: Mapping[str, tuple[str, ...]], say: Say) -> None:
    """Bring images to the nodes that lack them, those with the same way together.

    Raises:
        BackendError: kind cannot.
    """
    for nodes in dict.fromkeys(images.values()):
        some = [image for image, lacking in images.items() if lacking == nodes]
        command = ["kind", "load", "docker-image", *some, "--name", cluster]
        run(
            [*command, "--nodes", ",".join(nodes)],
            f"load {', '.join(some)} into {', '.join(nodes)}",
            timeout=_LOAD_TIMEOUT,
            say=say,
        )


def _here(image: str) -> bool:
    try:
        run([engine(), "image", "inspect", image], f"look for {image}", timeout=_SHORT)
    except BackendError:
        return False
    return True


def _short(image: str) -> str:
    """An image's name without what every engine adds to it."""
    return image.removeprefix("docker.io/").removeprefix("library/")
