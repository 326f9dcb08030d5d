"""A repository of 200 contract files: the whole job, one process and two (goals 20 s and 12 s).

The files are drawn from what public repositories hold: kinds of resolution, protocols, ports,
wildcards, addresses, endpoints, exportTo, namespaces, with the rules and Sidecars beside them.
The same seed gives the same files. Memory is that of every process of the job (goal 500 MB): of
pages that several share each has its part (PSS).
"""

from __future__ import annotations

import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from _measure import environment, machine

FILES = 200
DOMAINS = ("example.com", "vendor.io", "partner.example", "cloud.example.net", "weather.example")
HOSTS = ("api", "auth", "db", "hooks", "images", "mail", "metrics", "pay", "rates", "search")
# What 298 entries of 133 repositories have, as weights.
RESOLUTIONS = {"DNS": 203, "": 42, "STATIC": 37, "NONE": 12}
SHAPES = {
    ("HTTPS", 443): 86, ("TLS", 443): 57, ("HTTP", 80): 90, ("HTTP", 8080): 12, ("TCP", 5432): 22,
    ("TCP", 6379): 12, ("TCP", 3306): 8, ("GRPC", 50051): 22, ("MONGO", 27017): 3,
}  # fmt: skip
NAMESPACES = {
    "default": 53,
    "shop": 12,
    "pay": 10,
    "data": 8,
    "istio-system": 8,
    "ops": 5,
    "web": 4,
}


def drawn(source: random.Random, weights: dict[object, int]) -> object:
    """One of the keys."""
    return source.choices(list(weights), list(weights.values()))[0]


def entry(source: random.Random, number: int, namespace: str) -> tuple[str, str]:
    """A ServiceEntry as text, and its host."""
    host = f"{source.choice(HOSTS)}-{number}.{source.choice(DOMAINS)}"
    resolution = str(drawn(source, {**RESOLUTIONS}))
    protocol, port = drawn(source, {**SHAPES})  # type: ignore[misc]
    if source.random() < 0.05:
        host, resolution = f"*.zone-{number}.example.com", "NONE"
        protocol, port = "TLS", 443
    lines = [
        "apiVersion: networking.istio.io/v1", "kind: ServiceEntry", "metadata:",
        f"  name: entry-{number}", f"  namespace: {namespace}", "spec:", "  hosts:",
        f"  - '{host}'",
        "  ports:", f"  - number: {port}", f"    name: {protocol.lower()}-{port}",
        f"    protocol: {protocol}",
    ]  # fmt: skip
    if (protocol, port) == ("HTTPS", 443) and source.random() < 0.4:
        lines += ["  - number: 80", "    name: http-80", "    protocol: HTTP"]
    if source.random() < 0.76:
        lines.append("  location: MESH_EXTERNAL")
    if resolution:
        lines.append(f"  resolution: {resolution}")
    if protocol in {"TCP", "MONGO"} or (resolution == "STATIC" and source.random() < 0.3):
        lines.append(f"  addresses: [198.51.{number // 250}.{number % 250 + 1}]")
    if resolution == "STATIC":
        lines += ["  endpoints:", f"  - address: 203.0.113.{number % 250 + 1}"]
    if source.random() < 0.21:
        lines.append("  exportTo: ['.']")
    return "\n".join(lines) + "\n", host


def rules(source: random.Random, number: int, namespace: str, host: str) -> Iterator[str]:
    """What stands beside an entry in its file."""
    if source.random() < 0.12:
        yield (
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n"
            f"  name: rule-{number}\n  namespace: {namespace}\nspec:\n  host: '{host}'\n"
            "  trafficPolicy:\n    connectionPool:\n      tcp: {connectTimeout: 2s}\n"
        )
    if source.random() < 0.06 and not host.startswith("*"):
        yield (
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n"
            f"  name: route-{number}\n  namespace: {namespace}\nspec:\n  hosts: ['{host}']\n"
            f"  http:\n  - route: [{{destination: {{host: '{host}'}}}}]\n    timeout: 5s\n"
        )


def write(directory: Path, seed: int = 1) -> int:
    """Write the files; how many entries they have."""
    source = random.Random(seed)
    entries = 0
    for number in range(FILES):
        namespace = str(drawn(source, {**NAMESPACES}))
        documents = []
        for part in range(3 if source.random() < 0.13 else 1):
            text, host = entry(source, number + part * FILES, namespace)
            documents += [text, *rules(source, number + part * FILES, namespace, host)]
            entries += 1
        (directory / f"egress-{number:03}.yaml").write_text("---\n".join(documents))
    return entries


def shared_memory(root: int) -> float:
    """Megabytes of a process and all below it: its part of shared pages, and all of its own."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
    return total / 1024


def run(directory: Path, *options: str) -> str:
    """One job: seconds, those of CPU, what pytest says at its end, the most memory at any time."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line"]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [*command, *options, str(directory)], stdout=subprocess.PIPE, text=True, env=environment(),
        cwd=directory.parent,
    )  # fmt: skip
    most = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.5):
            most = max(most, shared_memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    done.set()
    watcher.join()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last = output.strip().splitlines()[-1]
    return f"{seconds:6.1f} s  {spent:6.1f} s of CPU  {most:5.0f} MB  {last}"


if __name__ == "__main__":
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        contract = Path(name, "egress")
        contract.mkdir()
        print(f"{FILES} files, {write(contract)} ServiceEntries")
        print("one process  ", run(contract))
        print("two workers  ", run(contract, "-n", "2"))
