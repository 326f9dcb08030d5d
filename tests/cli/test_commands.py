"""``pytest-egress``: exit codes, what is printed, and batches of JSON lines."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import trustme

from pytest_egress.cli import main
from pytest_egress.contract import Contract
from pytest_egress.contract.resources import MeshConfig
from tests.observed import documents, entry, sidecar

TEXT = entry("weather", "api.weather.com", {80: "HTTP", 443: "HTTPS"}, location="MESH_EXTERNAL")


@pytest.fixture
def contract(tmp_path: Path) -> str:
    """A file with one good entry."""
    path = tmp_path / "egress.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def lines(tmp_path: Path, cases: Iterable[Any]) -> str:
    """A file of JSON lines."""
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    return str(path)


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was printed, line by line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_reachable_is_0(contract: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every URL is explained, in order."""
    assert main(["probe", "-c", contract, "http://api.weather.com", "tls://api.weather.com"]) == 0
    told = capsys.readouterr().out.split("\n\n")
    assert told[0].startswith("target    http://api.weather.com:80/\nverdict   REACHABLE at stage")
    assert told[1].startswith("target    tls://api.weather.com:443\nverdict   REACHABLE at stage")


def test_anything_else_is_1(contract: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One blocked URL is enough, and says what would allow it."""
    assert main(["probe", "-c", contract, "http://api.weather.com", "http://evil.example"]) == 1
    assert "edit      to allow it, declare it: " in capsys.readouterr().out


def test_json(contract: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, with the verdict, where it is declared, and the proxy's evidence."""
    urls = ["http://api.weather.com/a", "https://evil.example"]
    assert main(["probe", "--json", "-c", contract, *urls]) == 1
    good, bad = answers(capsys)
    assert good == {
        "target": "http://api.weather.com:80/a",
        "verdict": "REACHABLE",
        "reason": "the upstream answered through outbound|80||api.weather.com",
        "stage": "http",
        "addresses": good["addresses"],
        "declared_by": [f"{contract}:8:5"],
        "status": 200,
        "evidence": {
            "listener": "0.0.0.0_80",
            "filter_chain": "",
            "route": "default",
            "rule": "",
            "cluster": "outbound|80||api.weather.com",
            "response_flags": [],
            "response_code": 200,
            "response_code_details": "via_upstream",
        },
    }
    assert len(good["addresses"]) == 1
    assert (bad["verdict"], bad["stage"], bad["status"]) == ("BLOCKED", "tls", None)
    assert bad["evidence"]["response_flags"] == ["UH"]


def test_policy_and_workload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both change the verdict as their options in pytest do."""
    scope = sidecar(workloadSelector={"labels": {"app": "web"}}, egress=[{"hosts": ["./*"]}])
    other = entry("other", "other.example.com", {80: "HTTP"}, namespace="shop")
    path = tmp_path / "all.yaml"
    path.write_text(documents(TEXT, scope, other), encoding="utf-8")
    probe = ["probe", "--json", "-c", str(path), "http://other.example.com"]
    assert main(probe) == 0
    assert main([*probe, "--workload", "default/app=web"]) == 1
    assert main([*probe, "--workload", "shop/app=web"]) == 0
    assert main([*probe, "--workload", "default/app=web", "--policy", "ALLOW_ANY"]) == 1
    verdicts = [answer["verdict"] for answer in answers(capsys)]
    assert verdicts == ["REACHABLE", "BLOCKED", "REACHABLE", "UNDECLARED"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["probe", "-c", "CONTRACT"], "give at least one URL"),
        (["probe", "http://a"], "name the contract with -c"),
        (["probe", "-c", "CONTRACT", "htp://a"], "did you mean http://"),
        (["probe", "-c", "CONTRACT", "--workload", "a/b", "http://a"], "--workload=a/b: expected"),
        (["probe", "-c", "CONTRACT", "--timeout", "0", "http://a"], "timeout 0.0: expected"),
        (["probe", "-c", "nowhere.yaml", "http://a"], "nowhere.yaml:1:1: error: there is no such"),
        (["probe", "-c", "EMPTY", "http://a"], "holds no ServiceEntry"),
        (["probe", "--batch", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["probe", "--batch", "x", "http://a"], "give no URL and no -c"),
        (["validate"], "give at least one PATH"),
        (["validate", "--batch", "x", "y"], "give no PATH"),
        (["validate", "--batch", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
    ],
)
def test_what_cannot_be_used_is_2(
    contract: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    """The command or the contract is wrong: one message on standard error, no traceback."""
    empty = tmp_path / "empty.yaml"
    empty.write_text(sidecar(egress=[{"hosts": ["./*"]}]), encoding="utf-8")
    files = {"CONTRACT": contract, "EMPTY": str(empty)}
    assert main([files.get(argument, argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [[], ["prob"], ["probe", "--policy", "OPEN"]])
def test_unknown_words_are_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The parser's own errors have the same exit code, and show the usage."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: pytest-egress" in capsys.readouterr().err


def test_no_proxy_is_3(contract: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an Envoy there is no answer, which is not a failed contract."""
    assert main(["probe", "-c", contract, "--envoy", "/nowhere/envoy", "http://a"]) == 3
    assert "'/nowhere/envoy' is not a program that can be run" in capsys.readouterr().err


def test_no_proxy_is_3_in_a_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line says so, the exit code too."""
    path = lines(tmp_path, [{"id": "a", "yaml": TEXT, "calls": []}])
    assert main(["probe", "--batch", path, "--envoy", "/nowhere/envoy"]) == 3
    (answer,) = answers(capsys)
    assert "/nowhere/envoy" in answer["error"][0]


def test_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Answers come in the order of the lines, whichever Envoy was up first."""
    call = {"id": "c", "address": "203.0.113.7", "port": 80, "protocol": "http", "host": "b.com"}
    cases = [
        {"id": number, "yaml": entry("e", f"{host}.com", {80: "HTTP"}), "calls": [call]}
        for number, host in enumerate("abab")
    ]
    assert main(["probe", "--batch", lines(tmp_path, cases)]) == 0
    told = answers(capsys)
    assert [answer["id"] for answer in told] == [0, 1, 2, 3]
    seen = {"id": "c", "listener": "0.0.0.0_80", "route_config": "80"}
    blocked = {**seen, "verdict": "blocked", "route": "block_all", "outcome": "BLOCKED"}
    allowed = {**seen, "verdict": "allowed", "route": "default", "outcome": "REACHABLE"}
    allowed["cluster"] = "outbound|80||b.com"
    assert [answer["calls"] for answer in told] == [[blocked], [allowed], [blocked], [allowed]]


def test_dns_capture_in_a_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The proxy metadata of a line are heard: with DNS capture an entry has the allocated VIP."""
    vip = "240.240.0.9"
    text = entry("e", "db.com", {5432: "TCP"}) + (
        f"status: {{addresses: [{{host: db.com, value: {vip}}}]}}\n"
    )
    call = {"id": "c", "address": vip, "port": 5432, "protocol": "tcp"}
    cases = [
        {"id": i, "yaml": text, "metadata": metadata, "calls": [call]}
        for i, metadata in enumerate(({"DNS_CAPTURE": "true"}, {"DNS_CAPTURE": "false"}, {}))
    ]
    assert main(["probe", "--batch", lines(tmp_path, cases)]) == 0
    listeners = [answer["calls"][0]["listener"] for answer in answers(capsys)]
    assert listeners == [f"{vip}_5432", "0.0.0.0_5432", "0.0.0.0_5432"]


def test_pod_root_in_a_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Certificates of a batch's contracts are looked for where --pod-root says."""
    text = entry("e", "a.com", {80: "HTTP"}) + (
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        "metadata: {name: tls}\nspec: {host: a.com, trafficPolicy: {tls: "
        "{mode: SIMPLE, caCertificates: /own-ca.pem}}}\n"
    )
    file = lines(tmp_path, [{"id": 1, "yaml": text, "calls": []}])
    assert main(["probe", "--batch", file, "--pod-root", str(tmp_path)]) == 0
    assert f"looked for at {tmp_path}/own-ca.pem" in answers(capsys)[0]["error"][0]
    trustme.CA().cert_pem.write_to_path(tmp_path / "own-ca.pem")
    assert main(["probe", "--batch", file, "--pod-root", str(tmp_path)]) == 0
    assert answers(capsys) == [{"id": 1, "calls": []}]


def test_words_for_virtual_services_in_a_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Istiod's words for what a rule decided; the cluster is named where there is none such."""
    to = "route: [{destination: {host: %s}}]"
    rules = ", ".join(
        (
            "{match: [{uri: {exact: /moved}}], redirect: {uri: /new}}",
            "{match: [{uri: {exact: /tea}}], directResponse: {status: 418}}",
            "{match: [{uri: {exact: /lost}}], %s}" % (to % "nowhere.com"),
            "{match: [{uri: {exact: /fault}}], %s, fault: {abort: "
            "{httpStatus: 500, percentage: {value: 100}}}}" % (to % "b.com"),
            "{name: block_all, match: [{uri: {exact: /}}], %s}" % (to % "b.com"),
        )
    )
    service = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\n"
        f"spec: {{hosts: [b.com], http: [{rules}]}}\n"
    )
    paths = ["/moved", "/tea", "/lost", "/fault", "/", "/else"]
    calls = [
        {"id": path, "port": 80, "protocol": "http", "host": "b.com", "path": path}
        for path in paths
    ]
    case = {"id": 0, "yaml": documents(entry("e", "b.com", {80: "HTTP"}), service), "calls": calls}
    assert main(["probe", "--batch", lines(tmp_path, [case])]) == 0
    (answer,) = answers(capsys)
    told = [(it["verdict"], it.get("cluster"), it["outcome"]) for it in answer["calls"]]
    assert told == [
        ("redirect", None, "BLOCKED"),
        ("direct_response", None, "BLOCKED"),
        ("no_cluster", "outbound|80||nowhere.com", "BLOCKED"),
        ("allowed", "outbound|80||b.com", "UNREACHABLE"),
        ("allowed", "outbound|80||b.com", "REACHABLE"),
        ("no_route", None, "BLOCKED"),
    ]


def test_inconclusive_is_3_in_a_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A request that Envoy answers before it looks for a route proves nothing."""
    call = {"id": "c", "port": 80, "protocol": "http", "host": "a b"}
    path = lines(tmp_path, [{"id": "a", "yaml": TEXT, "calls": [call]}])
    assert main(["probe", "--batch", path]) == 3
    (answer,) = answers(capsys)
    assert answer["calls"][0]["outcome"] == "INCONCLUSIVE"


def test_mesh_namespace_and_labels_of_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line brings its own mesh and its own workload."""
    scope = sidecar(
        "shop", workloadSelector={"labels": {"app": "web"}}, egress=[{"hosts": ["./*"]}]
    )
    mesh = "outboundTrafficPolicy: {mode: ALLOW_ANY}"
    call = {"port": 80, "protocol": "http", "host": "api.weather.com"}
    case = {"yaml": documents(TEXT, scope), "calls": [call], "namespace": "shop"}
    web = {**case, "labels": {"app": "web"}}
    cases = [case, web, {**web, "mesh": mesh}]
    assert main(["probe", "--batch", lines(tmp_path, cases)]) == 0
    verdicts = [answer["calls"][0]["verdict"] for answer in answers(capsys)]
    assert verdicts == ["allowed", "blocked", "passthrough"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"yaml": entry("e", "*", {80: "HTTP"})}, "<a>:8:5: error: "),
        ({"yaml": "kind: ["}, "<a>:1:7: error: not YAML"),
        ({"yaml": 5}, "yaml: expected text, got 5"),
        ({"yaml": TEXT, "mesh": "a: ["}, "<mesh>:1:4: error: not YAML"),
        ({"yaml": TEXT, "labels": {"app": 1}}, "app: expected text, got 1"),
        ({"yaml": TEXT, "namespace": ["x"]}, 'namespace: expected text, got ["x"]'),
        ({"yaml": TEXT, "calls": 5}, "calls: expected a list, got 5"),
    ],
)
def test_broken_contract_in_a_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: dict[str, Any], message: str
) -> None:
    """It is an error of its line, in the contract's own words; the other lines are answered."""
    good = {"id": "b", "yaml": TEXT, "calls": []}
    assert main(["probe", "--batch", lines(tmp_path, [{"id": "a", **case}, good])]) == 0
    broken, answered = answers(capsys)
    assert broken["id"] == "a"
    assert broken["error"][0].startswith(message)
    assert answered == {"id": "b", "calls": []}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"protocol": "http"}, "port: expected a whole number, got nothing"),
        ({"port": "80", "protocol": "http"}, 'port: expected a whole number, got "80"'),
        ({"port": 70000, "protocol": "tcp"}, "port 70000: expected 1 to 65535"),
        ({"port": 80, "protocol": "udp"}, "protocol: expected http, tls or tcp, got 'udp'"),
        ({"port": 80, "protocol": "tcp", "address": "a.b"}, "address 'a.b': expected an IP"),
        ({"port": 80, "protocol": "http", "method": "CONNECT"}, "method CONNECT"),
        (5, "expected an object, got 5"),
    ],
)
def test_broken_call_in_a_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], call: Any, message: str
) -> None:
    """It is an error of its call."""
    assert main(["probe", "--batch", lines(tmp_path, [{"yaml": TEXT, "calls": [call]}])]) == 0
    (answer,) = answers(capsys)
    assert answer["calls"][0]["error"].startswith(message)


def test_what_envoy_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such a contract cannot be used, and is an answer in a batch."""
    text = entry("own", "own.example.com", {15001: "TCP"})
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["probe", "-c", str(path), "tcp://own.example.com:15001"]) == 2
    words = "error: Envoy refuses listener 0.0.0.0_15001, which istiod makes of this: "
    assert capsys.readouterr().err.startswith(f"{path}:10:5: {words}")
    case = {"id": "a", "yaml": text, "calls": [{"port": 15001, "protocol": "tcp"}]}
    assert main(["probe", "--batch", lines(tmp_path, [case])]) == 0
    (answer,) = answers(capsys)
    assert answer["error"][0].startswith(f"<a>:10:5: {words}")


def test_batch_survives_a_fault_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says so and the others are answered; the exit code is that of no answer."""
    from pytest_egress.cli import batch
    from pytest_egress.contract import loads as real

    def loads(text: str, *, file: str, mesh: MeshConfig) -> Contract:
        if file == "<a>":
            raise KeyError("spec")
        return real(text, file=file, mesh=mesh)

    monkeypatch.setattr(batch, "loads", loads)
    cases = [{"id": it, "yaml": TEXT, "calls": []} for it in "ab"]
    assert main(["probe", "--batch", lines(tmp_path, cases)]) == 3
    captured = capsys.readouterr()
    broken, answered = map(json.loads, captured.out.splitlines())
    assert broken["error"][0].endswith("please report it: KeyError: 'spec'")
    assert answered == {"id": "b", "calls": []}
    assert "Traceback" in captured.err


@pytest.mark.parametrize("command", ["probe", "validate"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a", "yaml": ""}\n\n{"id": tru}\n', ":3:8: not JSON: Expecting value"),
        ('{"id": "a", "yaml": ""}\n[1]', ":2:1: expected a JSON object"),
    ],
)
def test_lines_that_are_no_json(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    text: str,
    message: str,
) -> None:
    """The position is told, counted in the file; blank lines are skipped."""
    path = tmp_path / "cases.jsonl"
    path.write_text(text, encoding="utf-8")
    assert main([command, "--batch", str(path)]) == 2
    assert f"{path}{message}" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert main([command, "--batch", "-"]) == 2
    assert f"<stdin>{message}" in capsys.readouterr().err


def test_reader_that_goes_away(contract: str) -> None:
    """``pytest-egress probe ... | head -1`` ends quietly, with the shell's code for SIGPIPE."""
    urls = ["http://api.weather.com"] * 300
    command = [
        sys.executable,
        "-c",
        "import sys; from pytest_egress.cli import main; sys.exit(main())",
    ]
    with subprocess.Popen(
        [*command, "probe", "-c", contract, *urls],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "target    http://api.weather.com:80/\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == 141
