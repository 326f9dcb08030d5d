"""The setting ``dns-proxy`` and its marker; expectations of addresses in every spelling."""

from __future__ import annotations

import pytest

MESH = "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}\n"
ADDRESS = "240.240.0.1"


def resolves(suite: pytest.Pytester, *arguments: str, marker: str = "") -> bool:
    """Whether the agent's address is what the pod is given."""
    suite.makepyfile(
        f"""
        import pytest

        {marker}
        def test_it(egress):
            answer = egress.resolve("api.weather.com")
            assert egress.workload.dns_capture is (answer.addresses == ({ADDRESS!r},))
            assert answer.addresses == ({ADDRESS!r},)
        """
    )
    return bool(suite.runpytest(*arguments).parseoutcomes().get("passed", 0))


def test_each_place_switches_it_on(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Option, variable, marker, ini, and the mesh's own file; off without any."""
    assert not resolves(suite)
    assert resolves(suite, "--egress-dns-proxy")
    assert resolves(suite, marker="@pytest.mark.egress_dns_proxy")
    (suite.path / "mesh.yaml").write_text(MESH)
    assert resolves(suite, "--egress-mesh-config=mesh.yaml", "--egress-policy=REGISTRY_ONLY")
    monkeypatch.setenv("PYTEST_EGRESS_DNS_PROXY", "true")
    assert resolves(suite)
    monkeypatch.delenv("PYTEST_EGRESS_DNS_PROXY")
    with (suite.path / "tox.ini").open("a") as ini:
        ini.write("\negress_dns_proxy = true\n")
    assert resolves(suite)


def test_what_is_set_wins_over_the_mesh(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place switches it off for those behind it, the mesh's file comes last."""
    (suite.path / "mesh.yaml").write_text(MESH)
    mesh = "--egress-mesh-config=mesh.yaml"
    assert not resolves(suite, mesh, marker="@pytest.mark.egress_dns_proxy(False)")
    monkeypatch.setenv("PYTEST_EGRESS_DNS_PROXY", "false")
    assert not resolves(suite, mesh, marker="@pytest.mark.egress_dns_proxy(enabled=True)")
    assert resolves(suite, mesh, "--egress-dns-proxy")


def test_expectations_in_every_spelling(suite: pytest.Pytester) -> None:
    """Targets are URLs of each scheme; a name may stand in one, or before a port."""
    suite.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.egress_dns_proxy

        @pytest.mark.egress_reachable(
            "https://api.weather.com",
            "HTTPS://API.weather.com:443/v3?q=1",
            "http://api.weather.com/",
            "tls://api.weather.com",
            "tls://api.weather.com:443",
        )
        @pytest.mark.egress_reachable("http://api.weather.com", headers={"accept": "text/plain"})
        @pytest.mark.egress_blocked(
            "https://evil.example",
            "http://evil.example:80/path",
            "tcp://evil.example:5432",
            "tcp://192.0.2.1:22",
            "grpc://evil.example:50051",
            "grpcs://evil.example",
            "http://api.weather.com:8080",
        )
        @pytest.mark.egress_resolves("api.weather.com", to=["240.240.0.1"])
        @pytest.mark.egress_resolves("api.weather.com", to="240.240.0.1")
        @pytest.mark.egress_resolves("api.weather.com", to=("240.240.0.1",))
        @pytest.mark.egress_resolves("API.weather.com.", "api.weather.com", to={"240.240.0.1"})
        @pytest.mark.egress_resolves("https://api.weather.com/v3", to=["240.240.0.1"])
        @pytest.mark.egress_resolves("api.weather.com:443", to=["240.240.0.1"])
        @pytest.mark.egress_resolves("evil.example")
        def test_contract(): ...
        """
    )
    suite.runpytest().assert_outcomes(passed=1)


IPV6 = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: both}
spec:
  hosts: [both.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  addresses: [203.0.113.10, "2001:db8::10"]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
"""


def test_addresses_of_both_families(suite: pytest.Pytester) -> None:
    """The families that are expected are asked for; spellings of an address are one."""
    suite.makepyfile(
        f"""
        import pytest

        pytestmark = [pytest.mark.egress_dns_proxy, pytest.mark.egress_contract({IPV6!r})]

        @pytest.mark.egress_resolves("both.example.com", to=["203.0.113.10"])
        @pytest.mark.egress_resolves("both.example.com", to="2001:DB8:0::10")
        @pytest.mark.egress_resolves("both.example.com", to=["2001:db8::10", "203.0.113.10"])
        def test_holds(): ...

        @pytest.mark.egress_resolves("both.example.com", to=["2001:db8::11", "203.0.113.10"])
        @pytest.mark.egress_resolves("both.example.com", to=["203.0.113.10", "203.0.113.11"])
        def test_does_not(): ...
        """
    )
    result = suite.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "resolve to 2001:db8::11, 203.0.113.10, got 203.0.113.10, 2001:db8::10" in text
    assert "resolve to 203.0.113.10, 203.0.113.11, got 203.0.113.10" in text


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("egress_reachable('api.weather.com')", "did you mean https://api.weather.com"),
        ("egress_blocked('htps://evil.example')", "did you mean https://"),
        ("egress_blocked('tcp://evil.example')", "tcp has no default port"),
        ("egress_reachable('http://a.example', timeuot=1)", "did you mean 'timeout'"),
        (
            "egress_resolves('a.example', to=['localhost'])",
            "expected IP addresses, got 'localhost'",
        ),
        ("egress_resolves('a.example', to=[])", "to: expected at least one address"),
        ("egress_resolves('')", "expected"),
        ("egress_dns_proxy('yes')", "expected True or False, got 'yes'"),
        ("egress_dns_proxy(on=True)", "unexpected keyword argument 'on'"),
    ],
)
def test_wrong_arguments(suite: pytest.Pytester, marker: str, message: str) -> None:
    """A target that cannot be one is a mistake of the test, told before it runs."""
    suite.makepyfile(f"import pytest\n\n@pytest.mark.{marker}\ndef test_it(egress): ...\n")
    result = suite.runpytest()
    assert result.ret != 0
    assert not result.parseoutcomes().get("passed", 0)
    text = result.stdout.str() + result.stderr.str()
    assert marker.partition("(")[0] in text
    assert message in text
    assert "Traceback (most recent" not in text
