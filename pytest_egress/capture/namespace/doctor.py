"""Why a namespace cannot be made here: the settings that forbid it, and what to do about them."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

__all__ = ["explain_step"]

# sysctl, the value that forbids it, one that allows it
_LIMITS = (
    ("user.max_user_namespaces", "0", "1000"),
    ("user.max_net_namespaces", "0", "1000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)
_SECCOMP_FILTER = 2


def explain_step(step: str, code: int) -> str:
    """The next step for the reader, after ``step`` of the making failed with an errno.

    Args:
        step: unshare, map, loopback, route, redirect or listen; empty: the process inside died.
        code: the errno.
    """
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's: use another backend for commands"
    if step in {"unshare", "map"}:
        return _explain_unshare(code)
    if step == "redirect":
        reason = errno.errorcode.get(code, str(code))
        return (
            f"the kernel does not take nf_tables rules ({reason}): load the modules nf_tables, "
            "nft_chain_nat and nft_redir (modprobe), or use another kernel"
        )
    if not step:
        return "the process inside ended before it could say why: see its output"
    return f"the step {step!r} failed with {errno.errorcode.get(code, str(code))}"


def _explain_unshare(code: int) -> str:
    for name, forbidden, allowed in _LIMITS:
        if _sysctl(name) == forbidden:
            return f"{name} is {forbidden}, which forbids it: sysctl -w {name}={allowed}"
    if _has_seccomp_filter():
        return (
            "a seccomp filter forbids it, as container engines install one: run the container with "
            "--security-opt seccomp=unconfined, or with --privileged"
        )
    reason = errno.errorcode.get(code, str(code))
    return f"the kernel refuses it ({reason}): a security module may forbid user namespaces"


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", *name.split(".", 1)).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _has_seccomp_filter() -> bool:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return False
    modes = [line.split()[1] for line in status.splitlines() if line.startswith("Seccomp:")]
    return modes == [str(_SECCOMP_FILTER)]
