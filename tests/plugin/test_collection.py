"""Contract files as test files: which are collected, and pytest's own features on their items."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: NAME
spec:
  hosts:
  - HOST
  location: MESH_EXTERNAL
  ports:
  - number: 443
    name: tls
    protocol: TLS
  resolution: DNS
"""
#: Swallows every server name that nothing else declares: what is beside a.example.com is reached.
GREEDY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: greedy
spec:
  hosts:
  - greedy.example.net
  location: MESH_EXTERNAL
  ports:
  - number: 443
    name: tcp
    protocol: TCP
  resolution: DNS
"""
KINDS = ("reachable", "resolution", "neighbour", "sni", "plain-http")
A = "a.example.com"


def entry(name: str) -> str:
    """A ServiceEntry of TLS on 443."""
    return ENTRY.replace("NAME", name).replace("HOST", f"{name}.example.com")


@pytest.fixture
def files(suite: pytest.Pytester) -> pytest.Pytester:
    """A directory with two contract files, without a contract in the settings."""
    suite.makeini("[pytest]\nfilterwarnings = error\n")
    for path in (suite.path / "deploy").iterdir():
        path.unlink()
    (suite.path / "deploy/a.yaml").write_text(f"# the first\n{entry('a')}")
    (suite.path / "deploy/b.yaml").write_text(entry("b"))
    (suite.path / "deploy/values.yaml").write_text("replicas: {{ .Values.replicas }}\n")
    return suite


def names(result: pytest.RunResult) -> list[str]:
    """The node ids that ``--collect-only -q`` shows."""
    return [line for line in result.outlines if "::" in line]


def of(*kinds: str, file: str = "deploy/a.yaml", host: str = A) -> list[str]:
    """The node ids of these checks."""
    return [f"{file}::{host}[443/TLS-{kind}]" for kind in kinds]


def test_a_directory_is_collected(files: pytest.Pytester) -> None:
    """Each declared host and port has its checks, in the order of the files; others are left."""
    result = files.runpytest("deploy", "--collect-only", "-q")
    undeclared = "deploy/{0}.yaml::{0}.example.com[8443/TLS-undeclared]".format
    assert names(result) == [
        *of(*KINDS),
        undeclared("a"),
        *of(*KINDS, file="deploy/b.yaml", host="b.example.com"),
        undeclared("b"),
    ]


def test_what_is_declared_holds(files: pytest.Pytester) -> None:
    """A valid contract passes, beside Python tests of the same directory."""
    (files.path / "deploy/test_it.py").write_text("def test_it(): pass\n")
    files.runpytest("deploy").assert_outcomes(passed=13)


def test_a_plain_run_collects_no_yaml(files: pytest.Pytester) -> None:
    """Without an argument, YAML is no test; other arguments do not ask for it either."""
    files.makepyfile(test_it="def test_it(): pass")
    files.path.joinpath("empty.yaml").write_text("# of nobody\n")
    for arguments in ([], ["test_it.py"], ["-k", "test_it"], ["."]):
        result = files.runpytest("--collect-only", "-q", *arguments)
        assert names(result) == ["test_it.py::test_it"]


def test_what_lies_below_a_suite_is_its_own(files: pytest.Pytester) -> None:
    """The YAML that tests of a directory keep below it is no test; below a bare tree it is."""
    tests = files.mkdir("tests")
    (tests / "test_it.py").write_text("def test_it(): pass\n")
    (files.path / "deploy").rename(tests / "data")
    shown = files.runpytest("tests", "--collect-only", "-q")
    assert names(shown) == ["tests/test_it.py::test_it"]
    assert len(names(files.runpytest("tests/data", "--collect-only", "-q"))) == 12
    (tests / "test_it.py").unlink()
    assert len(names(files.runpytest("tests", "--collect-only", "-q"))) == 12


def test_globs_of_the_settings_are_collected(files: pytest.Pytester) -> None:
    """``egress_collect`` makes them test files of a plain run, wherever the tests are."""
    files.makeini("[pytest]\ntestpaths = tests\negress_collect = deploy/a.yaml\n")
    files.mkdir("tests").joinpath("test_it.py").write_text("def test_it(): pass\n")
    assert names(files.runpytest("--collect-only", "-q")) == [
        "tests/test_it.py::test_it",
        *of(*KINDS),
        f"deploy/a.yaml::{A}[8443/TLS-undeclared]",
    ]
    assert names(files.runpytest("tests", "--collect-only", "-q")) == ["tests/test_it.py::test_it"]
    result = files.runpytest("--egress-collect=nowhere/*.yaml")
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*nowhere/*.yaml: the pattern matches no file"])


def test_a_finding_is_told_at_its_line(files: pytest.Pytester) -> None:
    """A file that opens what another declares fails there: evidence, line, and what to change."""
    (files.path / "deploy/greedy.yaml").write_text(GREEDY)
    result = files.runpytest("deploy/", "-k", f"{A} and neighbour")
    result.assert_outcomes(failed=1, deselected=13)
    result.stdout.fnmatch_lines(
        [
            f"*_ {A}[[]443/TLS-neighbour] (line 11) _*",
            "deploy/a.yaml:11:5: expected BLOCKED, got REACHABLE",
            "target    tls://not-a.example.com:443",
            "declared  deploy/greedy.yaml:7:5",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_items_are_selected(files: pytest.Pytester) -> None:
    """By node id, by the node id without check, by ``-k``, by the markers of ``-m``."""
    select: tuple[tuple[list[str], list[str]], ...] = (
        ([f"deploy/a.yaml::{A}[443/TLS-sni]"], of("sni")),
        ([f"deploy/a.yaml::{A}"], [*of(*KINDS), f"deploy/a.yaml::{A}[8443/TLS-undeclared]"]),
        (["deploy", "-k", f"{A} and plain"], of("plain-http")),
        (["deploy/a.yaml", "-m", "egress_reachable"], of("reachable", "resolution")),
        (["deploy/a.yaml", "-m", "egress_blocked", "-k", "sni or plain"], of("sni", "plain-http")),
        (["deploy/a.yaml", "-m", "egress_resolves"], []),
        (["deploy/a.yaml", "-m", "egress_resolves", "--egress-dns-proxy"], of("resolves")),
    )  # fmt: skip
    for arguments, expected in select:
        result = files.runpytest("--collect-only", "-q", "--strict-markers", *arguments)
        assert names(result) == expected, arguments


def test_failures_are_run_again_and_end_a_run(files: pytest.Pytester) -> None:
    """``-x``, ``--sw`` and ``--lf`` know the items by their ids."""
    (files.path / "deploy/greedy.yaml").write_text(GREEDY)
    run = ("deploy", "-k", A, "-p", "cacheprovider", "-q")
    files.runpytest(*run, "-x").assert_outcomes(passed=2, failed=1, deselected=8)
    files.runpytest(*run, "--sw").assert_outcomes(passed=2, failed=1, deselected=8)
    again = files.runpytest(*run, "--lf")
    again.assert_outcomes(failed=1)
    (files.path / "deploy/greedy.yaml").write_text(GREEDY.replace("443", "5432"))
    files.runpytest(*run, "--sw").assert_outcomes(passed=4, deselected=10)


def test_lines_and_reports(files: pytest.Pytester) -> None:
    """``item.location`` and JUnit have real lines and names; the setup plan is shown."""
    files.makeconftest(
        """
        import json
        from pathlib import Path

        def pytest_collection_finish(session):
            found = {item.name: item.location for item in session.items}
            Path("locations.json").write_text(json.dumps(found))
        """
    )
    result = files.runpytest("deploy/a.yaml", "--junitxml=junit.xml", "-k", "sni or undeclared")
    result.assert_outcomes(passed=2, deselected=4)
    found = json.loads((files.path / "locations.json").read_text())
    assert found[f"{A}[443/TLS-sni]"][:2] == ["deploy/a.yaml", 10]
    assert found[f"{A}[8443/TLS-undeclared]"][:2] == ["deploy/a.yaml", 7]
    cases = ET.parse(files.path / "junit.xml").iter("testcase")
    assert {case.get("name") for case in cases} == found.keys()
    plan = files.runpytest("deploy/a.yaml", "--setup-plan")
    plan.stdout.fnmatch_lines(["*SETUP    S egress_backend*"])


def test_workers_share_the_items(files: pytest.Pytester) -> None:
    """Workers of xdist collect the same; a plain run collects no YAML there either."""
    files.makepyfile(**{"deploy/test_it": "def test_it(): pass"})
    files.runpytest("-n", "4", "deploy", "-k", "sni or test_it").assert_outcomes(passed=3)
    files.runpytest("-n", "1").assert_outcomes(passed=1)


def test_order_does_not_matter(files: pytest.Pytester) -> None:
    """Items can run in any order, as pytest-randomly has them."""
    files.makeconftest("def pytest_collection_modifyitems(items): items.reverse()")
    files.runpytest("deploy", "-k", "resolution or sni").assert_outcomes(passed=4, deselected=8)


def test_a_broken_file_is_an_error_of_its_own(files: pytest.Pytester) -> None:
    """It is told once, with its place and the nearest spelling; the others can still be run."""
    broken = entry("b").replace("DNS", "DMS")
    (files.path / "deploy/b.yaml").write_text(broken)
    result = files.runpytest("deploy")
    assert result.ret is pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*ERROR collecting deploy/b.yaml*", 'deploy/b.yaml:13:15: error: "DMS" * mean "DNS"?*']
    )
    assert "Traceback" not in result.stdout.str()
    result = files.runpytest("deploy", "--continue-on-collection-errors")
    result.assert_outcomes(passed=6, errors=1)


def test_the_contract_of_the_settings_counts_too(files: pytest.Pytester) -> None:
    """What else is deployed decides as well; it is not collected."""
    (files.path / "greedy.yaml").write_text(GREEDY)
    files.runpytest("deploy/a.yaml", "-k", "sni", "--egress-contract=greedy.yaml").assert_outcomes(
        failed=1, deselected=5
    )


def test_equal_names_are_told_apart(files: pytest.Pytester) -> None:
    """A host that is declared in two namespaces has a node id for each."""
    other = entry("a").replace("  name: a\n", "  name: a\n  namespace: shop\n")
    (files.path / "deploy/a.yaml").write_text(f"{entry('a')}---\n{other}")
    result = files.runpytest("deploy/a.yaml", "-k", "sni")
    result.assert_outcomes(passed=2, deselected=10)
    shown = files.runpytest("deploy/a.yaml", "-k", "sni", "--collect-only", "-q")
    assert names(shown) == [*of("sni-default.a"), *of("sni-shop.a")]


def test_items_of_a_workload_follow_each_other(files: pytest.Pytester) -> None:
    """Each workload has a proxy of its own: few of them run at a time."""
    for name, namespace in (("a", "one"), ("b", "two"), ("c", "one")):
        private = entry(name).replace("  location", '  exportTo: ["."]\n  location')
        private = private.replace(f"name: {name}\n", f"name: {name}\n  namespace: {namespace}\n")
        (files.path / f"deploy/{name}.yaml").write_text(private)
    shown = names(files.runpytest("deploy", "-k", "sni", "--collect-only", "-q"))
    assert [it.partition("::")[0] for it in shown] == [f"deploy/{it}.yaml" for it in "acb"]
    files.makeconftest(
        """
        def pytest_runtest_teardown(item):
            assert item.funcargs["egress_backend"].most_proxies == 2
        """
    )
    files.runpytest("deploy", "-k", "sni").assert_outcomes(passed=3, deselected=15)


def test_who_asks(files: pytest.Pytester) -> None:
    """Each entry is asked from a namespace that sees it; the settings can say another."""
    private = entry("a").replace(
        "  location", '  exportTo: ["."]\n  location'
    ).replace("  name: a\n", "  name: a\n  namespace: shop\n")  # fmt: skip
    (files.path / "deploy/a.yaml").write_text(private)
    files.runpytest("deploy/a.yaml").assert_outcomes(passed=6)
    result = files.runpytest("deploy/a.yaml", "--egress-workload=other")
    result.assert_outcomes(passed=1)
    shown = files.runpytest("deploy/a.yaml", "--egress-workload=other", "--collect-only", "-q")
    assert names(shown) == of("hidden")


EXPECTED = f"""\
from: {{namespace: shop}}
reachable: ["tls://{A}"]
blocked:
- tls://evil.test
- tls://b.example.com
resolves: [{A}]
---
from: {{namespace: shop, labels: {{app: web}}}}
contract: b.yaml
blocked: ["tls://{A}"]
reachable: [{{url: "tls://b.example.com", upstream: b.example.com}}]
"""


def test_expectation_files(files: pytest.Pytester) -> None:
    """Each expectation is an item, from the workload and under the contract that it names."""
    (files.path / "deploy/shop.egress.yaml").write_text(EXPECTED)
    result = files.runpytest("deploy", "-k", "shop and not egress_resolves", "-rA", "-v")
    result.assert_outcomes(passed=4, failed=1, deselected=13)
    result.stdout.fnmatch_lines(
        [
            f"deploy/shop.egress.yaml::reachable[[]tls://{A}] PASSED*",
            "deploy/shop.egress.yaml::blocked[[]tls://b.example.com] FAILED*",
            f"deploy/shop.egress.yaml::blocked[[]tls://{A}] PASSED*",
            "*_ blocked[[]tls://b.example.com] (line 5) _*",
            "deploy/shop.egress.yaml:5:3: expected BLOCKED, got REACHABLE",
        ]
    )


def test_mistakes_in_expectation_files_are_their_own(files: pytest.Pytester) -> None:
    """A misspelt field, a contract that is not there, no contract at all: collection errors."""
    path = files.path / "shop.egress.yaml"
    for text, expected in (
        ("blokced: [tcp://a.test:1]\n", 'shop.egress.yaml:1:1: * mean "blocked"?*'),
        ("contract: no.yaml\nblocked: [tcp://a.test:1]\n", "no.yaml:1:1: * no such file*"),
        ("blocked: [tcp://a.test:1]\n", "shop.egress.yaml:1:1: there is no contract: *"),
    ):
        path.write_text(text)
        result = files.runpytest(path.name)
        assert result.ret is pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines([expected])
        assert "Traceback" not in result.stdout.str()
