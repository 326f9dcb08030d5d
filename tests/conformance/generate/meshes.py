"""MeshConfigs: the settings that change what a sidecar does with outbound traffic."""

from __future__ import annotations

from tests.conformance.generate.destination_rules import (
    connection_pool,
    outlier_detection,
    tcp_keepalive,
)
from tests.conformance.generate.drawing import Choices, Json

__all__ = ["mesh"]

_MODES = (("REGISTRY_ONLY", 5), ("ALLOW_ANY", 3), ("ALLOW_ANY_DYNAMIC_DNS", 1))
_EXPORTS = ("defaultServiceExportTo", "defaultVirtualServiceExportTo")
_RETRIES: tuple[Json, ...] = (
    {"attempts": 0},
    {"attempts": 3, "retryOn": "503,reset"},
    {"attempts": 1, "perTryTimeout": "2s", "retryIgnorePreviousHosts": False},
)
_LOCALITY: tuple[Json, ...] = (
    {"enabled": False},
    {"distribute": [{"from": "region1/*", "to": {"region1/*": 80, "region2/*": 20}}]},
    {"failover": [{"from": "region1", "to": "region2"}]},
)


def mesh(choices: Choices) -> Json:
    """Mostly the policy alone, now and then one setting or several more."""
    found: Json = {"outboundTrafficPolicy": {"mode": choices.weighted(_MODES)}}
    for name in (*_EXPORTS, "defaultDestinationRuleExportTo"):
        choices.maybe(6, found, name, (["."], ["shop"], ["~"], ["*"]))
    choices.maybe(10, found, "rootNamespace", ("other", "istio-config"))
    choices.maybe(8, found, "connectTimeout", ("3s", "0.250s"))
    choices.maybe(8, found, "dnsRefreshRate", ("5s", "1m"))
    choices.maybe(8, found, "protocolDetectionTimeout", ("0.100s", "5s"))
    choices.maybe(6, found, "h2UpgradePolicy", ("UPGRADE", "DO_NOT_UPGRADE"))
    choices.maybe(6, found, "enableAutoMtls", (False, True))
    choices.maybe(6, found, "defaultHttpRetryPolicy", _RETRIES)
    choices.maybe(6, found, "localityLbSetting", _LOCALITY)
    choices.maybe(5, found, "proxyListenPort", (16001,))
    choices.maybe(5, found, "proxyInboundListenPort", (16006,))
    choices.maybe(5, found, "proxyHttpPort", (15002,))
    choices.maybe(5, found, "trustDomain", ("mesh.example",))
    if choices.chance(5):
        normalization = ("NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")
        found["pathNormalization"] = {"normalization": choices.one(normalization)}
    if choices.chance(6):
        found["tcpKeepalive"] = tcp_keepalive(choices)
    if choices.chance(8):
        policy: Json = {}
        if choices.chance(70):
            policy["connectionPool"] = connection_pool(choices)
        if choices.chance(70):
            policy["outlierDetection"] = outlier_detection(choices)
        found["defaultTrafficPolicy"] = policy
    return found
