"""Reads and writes invoices in the ledger, a PostgreSQL that was there before the mesh was."""

from __future__ import annotations

import sys

import psycopg

LEDGER = "host=ledger.corp.example user=app dbname=postgres connect_timeout=5"


class LedgerUnavailableError(Exception):
    """The ledger cannot be asked."""


def _connect() -> psycopg.Connection:
    try:
        return psycopg.connect(LEDGER)
    except psycopg.OperationalError as error:
        raise LedgerUnavailableError(str(error)) from error


def issue(customer: str, cents: int) -> int:
    """Write an invoice and return its number.

    Raises:
        LedgerUnavailableError: the ledger cannot be asked; nothing is written.
    """
    with _connect() as ledger:
        row = ledger.execute(
            "INSERT INTO invoices (customer, cents) VALUES (%s, %s) RETURNING number",
            (customer, cents),
        ).fetchone()
    return int(row[0])


def owed(customer: str) -> int:
    """What a customer owes, in cents.

    Raises:
        LedgerUnavailableError: the ledger cannot be asked.
    """
    with _connect() as ledger:
        row = ledger.execute(
            "SELECT coalesce(sum(cents), 0) FROM invoices WHERE customer = %s", (customer,)
        ).fetchone()
    return int(row[0])


if __name__ == "__main__":
    print(owed(sys.argv[1]))  # noqa: T201 - the program's output
