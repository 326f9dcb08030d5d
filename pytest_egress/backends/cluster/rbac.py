"""The rights that a cluster is asked for: the least for each mode, as rules, YAML and reviews."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_egress.errors import BackendError

__all__ = [
    "EXTRAS",
    "MODES",
    "Extra",
    "Mode",
    "Review",
    "Rule",
    "check",
    "check_extra",
    "manifest",
    "reviews",
    "rules",
]

Mode = Literal["isolated", "deployed", "workload"]

#: How a cluster is used, and what it means.
MODES: Mapping[Mode, str] = {
    "isolated": "a throw-away namespace with the contract in it (the default)",
    "deployed": "a test pod in a namespace that is there, nothing applied: --egress-no-apply",
    "workload": "an ephemeral container in a pod that is there: --egress-from",
}
Extra = Literal["pod-run", "certificates"]
#: What needs more, and what it means.
EXTRAS: Mapping[Extra, str] = {
    "pod-run": "egress.pod.run is used",
    "certificates": "DestinationRules name certificate files, or Secrets",
}
_NETWORKING = (
    "destinationrules",
    "gateways",
    "serviceentries",
    "sidecars",
    "virtualservices",
    "workloadentries",
)
_ISTIO = "networking.istio.io"
_NAMES = "kube-system"
Where = Literal["everywhere", "pod"]  # a test pod is


@dataclass(frozen=True, slots=True)
class Rule:
    """Some verbs on resources of one API group.

    Attributes:
        group: empty for the core API.
        resources: plural names, with their subresource: ``pods/exec``.
        where: in all namespaces (those of throw-away namespaces are not known before), in the
            test pod's, or in Istio's own.
        purpose: what for.
    """

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    where: Literal["everywhere", "pod", "istio", "names"]
    purpose: str


@dataclass(frozen=True, slots=True)
class Review:
    """One question to the API server: may I?

    Attributes:
        namespace: empty: in all of them.
    """

    verb: str
    group: str
    resource: str
    namespace: str

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f"in namespace {self.namespace}" if self.namespace else "in all namespaces"
        return f"{self.verb} {what} {where}"

    def attributes(self) -> dict[str, str]:
        """The ``resourceAttributes`` of a SelfSubjectAccessReview."""
        resource, _, subresource = self.resource.partition("/")
        return {
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": subresource,
            "namespace": self.namespace,
        }


#: What an administrator of the cluster may: one question in place of fifty.
_EVERYTHING = Review("*", "*", "*", "")


def rules(mode: Mode, extras: Iterable[Extra] = ()) -> tuple[Rule, ...]:
    """The least that a mode needs, with what is used beyond."""
    pod = _where(mode)
    return (*_rules(mode, pod), *(rule for extra in extras for rule in _more(extra, pod)))


def _rules(mode: Mode, pod: Where) -> tuple[Rule, ...]:
    of_pod = (
        Rule("", ("pods/exec",), ("create", "get"), pod, "probes start in the pod"),
        Rule("", ("pods/log",), ("get",), pod, "the sidecar's access log is the evidence"),
        Rule("", ("events",), ("list",), pod, "a pod that does not start says why"),
    )
    of_istio = (Rule("", ("services",), ("get",), "istio", "where istiod is"),)
    if mode == "workload":
        return (
            Rule("", ("pods",), ("get", "list"), "pod", "finds the workload's pod"),
            Rule("apps", ("deployments",), ("get",), "pod", "finds the workload's pod"),
            Rule("", ("pods/ephemeralcontainers",), ("patch",), "pod", "adds the container"),
            *of_pod,
            Rule(_ISTIO, _NETWORKING, ("get",), "everywhere", "what is deployed"),
            *of_istio,
        )
    of_names = Rule("", ("services",), ("get",), "names", "where the cluster's name server is")
    test_pod = Rule("", ("pods",), ("create", "delete", "get", "list"), pod, "the test pod")
    if mode == "deployed":
        return (
            test_pod,
            *of_pod,
            Rule(_ISTIO, _NETWORKING, ("get",), "everywhere", "what is deployed"),
            *of_istio,
            of_names,
        )
    return (
        Rule(
            "",
            ("namespaces",),
            ("create", "delete", "get", "list"),
            "everywhere",
            "the throw-away namespace; those that dead runs have left",
        ),
        test_pod,
        *of_pod,
        Rule("", ("configmaps",), ("create",), pod, "where the sidecar sends its records"),
        Rule("", ("serviceaccounts",), ("create", "get"), pod, "the account of the test pod"),
        Rule(_ISTIO, _NETWORKING, ("create", "delete", "get", "update"), pod, "the contract"),
        Rule(_ISTIO, ("envoyfilters",), ("create",), pod, "the sidecar's records"),
        Rule("", ("services",), ("create", "delete", "get", "update"), pod, "of egress gateways"),
        *of_istio,
        of_names,
    )


def _where(mode: Mode) -> Where:
    return "everywhere" if mode == "isolated" else "pod"


def _more(extra: Extra, pod: Where) -> tuple[Rule, ...]:
    if extra == "certificates":
        return (Rule("", ("secrets",), ("create",), pod, "what the sidecar originates TLS with"),)
    return (
        Rule("", ("pods/ephemeralcontainers",), ("patch",), pod, "an image is added to the pod"),
        Rule("", ("pods/attach",), ("create", "get"), pod, "what it reads and writes"),
    )


def reviews(mode: Mode, namespace: str, istio_namespace: str = "istio-system") -> Iterator[Review]:
    """The questions whose answers must all be yes.

    Args:
        mode: how the cluster is used.
        namespace: of the test pod or workload; not looked at where it is a throw-away one.
        istio_namespace: the mesh's root namespace.
    """
    where = {"everywhere": "", "pod": namespace, "istio": istio_namespace, "names": _NAMES}
    yield from _reviews(rules(mode), where)


def _reviews(some: Iterable[Rule], where: Mapping[str, str]) -> Iterator[Review]:
    for rule in some:
        for resource in rule.resources:
            for verb in rule.verbs:
                yield Review(verb, rule.group, resource, where[rule.where])


def check(
    may: Callable[[Review], bool],
    mode: Mode,
    namespace: str,
    istio_namespace: str = "istio-system",
    context: str = "",
) -> None:
    """Return if all rights are there.

    Args:
        may: asks the API server; first whether everything is allowed.
        mode: how the cluster is used.
        namespace: of the test pod or workload; not looked at where it is a throw-away one.
        istio_namespace: the mesh's root namespace.
        context: for the message.

    Raises:
        BackendError: some are not; with all of them and the command that prints the roles.
    """
    option = "" if mode == "isolated" else f" --namespace {namespace}"
    _check(may, reviews(mode, namespace, istio_namespace), f"--mode {mode}{option}", context)


def check_extra(
    may: Callable[[Review], bool], extra: Extra, namespace: str, context: str = ""
) -> None:
    """Return if what is used beyond a mode's rights may be done in a namespace.

    Args:
        may: asks the API server.
        extra: what is used.
        namespace: of the pod.
        context: for the message.

    Raises:
        BackendError: it may not; with what is missing and the option that prints it.
    """
    asked = _reviews(_more(extra, "pod"), {"pod": namespace})
    _check(may, asked, f"--{extra}", context)


def _check(
    may: Callable[[Review], bool], reviews: Iterable[Review], options: str, context: str
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    if may(_EVERYTHING):
        return
    asked = list(reviews)
    with ThreadPoolExecutor(8, "pytest-egress-review") as executor:
        answers = list(executor.map(may, asked))
    missing = [str(review) for review, yes in zip(asked, answers, strict=True) if not yes]
    if missing:
        raise BackendError(
            f"the account of {f'context {context}' if context else 'this pod'} lacks rights",
            "may not " + "\nmay not ".join(missing),
            "have a cluster administrator run: "
            f"pytest-egress rbac {options} --account NAME | kubectl apply -f -",
        )


def manifest(
    mode: Mode,
    account: str,
    namespace: str = "default",
    istio_namespace: str = "istio-system",
    extras: Iterable[Extra] = (),
) -> list[dict[str, Any]]:
    """The roles with their bindings, as Kubernetes objects.

    Args:
        mode: how the cluster is used.
        account: ``NAMESPACE:NAME`` of a ServiceAccount, ``user:NAME`` or ``group:NAME``.
        namespace: of the test pod or workload.
        istio_namespace: the mesh's root namespace.
        extras: what is used beyond.

    Raises:
        ValueError: the account is none of these.
    """
    subject = _subject(account)
    name = f"pytest-egress-{mode}"
    wanted = tuple(extras)
    found: list[dict[str, Any]] = []
    places = {"everywhere": "", "pod": namespace, "istio": istio_namespace, "names": _NAMES}
    for where, inside in places.items():
        some = [it for it in rules(mode, wanted) if it.where == where]
        if some:
            role = {"istio": f"{name}-mesh", "names": f"{name}-names"}.get(where, name)
            found += _role(role, inside, some, subject)
    return found


def _role(
    name: str, namespace: str, some: Iterable[Rule], subject: Mapping[str, str]
) -> list[dict[str, Any]]:
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    group = "rbac.authorization.k8s.io"
    api = f"{group}/v1"
    role = {
        "apiVersion": api,
        "kind": kind,
        "metadata": metadata,
        "rules": [
            {"apiGroups": [it.group], "resources": list(it.resources), "verbs": list(it.verbs)}
            for it in _joined(some)
        ],
    }
    binding = {
        "apiVersion": api,
        "kind": f"{kind}Binding",
        "metadata": dict(metadata),
        "roleRef": {"apiGroup": group, "kind": kind, "name": name},
        "subjects": [dict(subject)],
    }
    return [role, binding]


def _joined(some: Iterable[Rule]) -> Sequence[Rule]:
    """Rules that differ in their purpose alone are one."""
    return list({(it.group, it.resources, it.verbs): it for it in some}.values())


def _subject(account: str) -> dict[str, str]:
    first, _, name = account.partition(":")
    if not first or not name:
        raise ValueError("expected NAMESPACE:NAME of a ServiceAccount, user:NAME or group:NAME")
    if first in {"user", "group"}:
        return {"kind": first.title(), "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    return {"kind": "ServiceAccount", "name": name, "namespace": first}
