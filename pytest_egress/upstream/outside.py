"""The simulated outside: every name resolves in it, and every port that is asked for answers."""

from __future__ import annotations

import hmac
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import final

from pytest_egress.evidence import UpstreamProof
from pytest_egress.received import Request
from pytest_egress.upstream.authority import Authority
from pytest_egress.upstream.clients import Clients
from pytest_egress.upstream.conduct import state_of
from pytest_egress.upstream.door import State
from pytest_egress.upstream.journal import Journal
from pytest_egress.upstream.loopback import Loopback
from pytest_egress.upstream.names import Names, check_address, check_port
from pytest_egress.upstream.places import Place, Places, Slot, distinct_loopback
from pytest_egress.upstream.pool import Acceptor, Address, Workers, pair
from pytest_egress.upstream.record import Connection
from pytest_egress.upstream.responder import Conversation
from pytest_egress.upstream.rules import Rules, Scope
from pytest_egress.upstream.script import Upstream
from pytest_egress.upstream.servers import Servers
from pytest_egress.upstream.site import Site
from pytest_egress.upstream.staging import Loan, Staging
from pytest_egress.upstream.zone import View, Zone

__all__ = ["Outside"]

_LAST_WORDS = 1.0  # seconds that our end of a connection may take to end after the other


@final
class Outside:
    """Simulated upstreams on loopback, in threads of this process.

    A simulated address and port, such as 203.0.113.10:443, is stood for by an address and port of
    127.88.0.0/13. Names resolve to simulated addresses for the pod and to those that stand for
    them for the proxy. Nothing is ever bound outside of loopback.

    Args:
        directory: private to this outside; made with mode 0700. ``ca.pem`` lands there.
        distinct_addresses: whether places differ by their address; None finds out whether the
            system can do that (Linux can, macOS cannot). Without, places are told apart by their
            port, and hosts that a proxy resolves by name share one: `Upstream.refuse` then acts
            like `Upstream.reset` there, and `Upstream.hang` like `Upstream.silent`.

    Attributes:
        token: 32 hexadecimal digits that only this outside knows; every HTTP answer carries it as
            ``x-egress-upstream``.
        secret: the key of `sign`.
        distinct_addresses: see above.
        errors: exceptions in its threads that should never have been; empty if all is well.
    """

    def __init__(self, directory: Path, *, distinct_addresses: bool | None = None) -> None:
        self.token = secrets.token_hex(16)
        self.secret = secrets.token_bytes(32)
        self.errors: list[BaseException] = []
        if distinct_addresses is None:
            distinct_addresses = distinct_loopback()
        self.distinct_addresses = distinct_addresses
        self._directory = Path(directory)
        self._authority = Authority(self._directory)
        self._journal = Journal()
        self._rules = Rules()
        self._clients = Clients()
        self._acceptor = Acceptor(self.errors)
        self._workers = Workers(self.errors)
        self._places = Places(
            self._acceptor, self._accept, self._state, distinct=distinct_addresses
        )
        self._zone = Zone(Names(), self._rules, self._places, self.errors)
        self._lock = self._zone.lock
        self._stopping = threading.Event()
        self._site = Site(
            self.token,
            self.sign,
            self._rules,
            self._zone,
            self._journal,
            self._authority,
            self._clients,
            self._workers,
            self._stopping,
        )
        self._servers = Servers(self._zone, self._acceptor, self._workers, self.errors)
        self._staging = Staging(
            self._rules,
            self._zone,
            self._places,
            self._journal,
            self._clients,
            self._workers,
            self._servers.forget,
        )
        self._loopback = Loopback(self._zone, self._places)

    def __enter__(self) -> Outside:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the name servers and the acceptor; ports are opened as they are asked for.

        Raises:
            BackendError: loopback cannot be bound.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        self._acceptor.start()
        self._servers.start()

    def stop(self) -> None:
        """Close every socket, end every thread, remove what was written. Twice is once."""
        self._stopping.set()
        self._servers.stop()
        self._staging.close()
        with self._lock:
            self._places.close()
        self._acceptor.stop()
        self._workers.stop()
        self._authority.close()

    def warm_up(self) -> None:
        """Prepare TLS in a background thread: the imports, the CA, and one certificate."""
        self._authority.warm_up(self.errors)

    @property
    def revoked_pem(self) -> bytes:
        """The CA's list of what is revoked (PEM): nothing is."""
        return self._authority.revoked_pem

    @property
    def ca_file(self) -> Path:
        """The certificate (PEM) of the throw-away CA, made on first use."""
        return self._authority.ca_file

    @property
    def pod_dns(self) -> tuple[str, int]:
        """The name server (UDP and TCP) that a pod asks: it gives simulated addresses."""
        return self._servers.address("pod")

    @property
    def proxy_dns(self) -> tuple[str, int]:
        """The name server (UDP and TCP) that the proxy asks: it gives loopback addresses."""
        return self._servers.address("proxy")

    @property
    def dns_generation(self) -> int:
        """Increases when something that a running proxy may have kept has become untrue.

        That is an answer of `proxy_dns`, or an address that `locate` said is shared and that has
        a place of its own now. What upstreams do on their connections does not count.
        """
        return self._zone.generation

    @property
    def resets(self) -> int:
        """How often `reset` was called: one test after the other, as a rule."""
        return self._staging.resets

    @property
    def requests(self) -> list[Request]:
        """Every HTTP request that arrived, the first first (the last 10,000 of them)."""
        return self._journal.requests

    @property
    def connections(self) -> list[Connection]:
        """Every connection that was accepted, the first first (the last 10,000 of them)."""
        return self._journal.connections

    def sign(self, nonce: str) -> str:
        """Return the answer to the nonce of a raw probe: HMAC-SHA256 with `secret`, in hex."""
        return hmac.new(self.secret, nonce.encode("ascii"), "sha256").hexdigest()

    def port_for(self, port: int) -> int:
        """Return the loopback port that stands for ``port`` on every place.

        Raises:
            ValueError: it is not a port.
            BackendError: a socket cannot be bound.
        """
        return self._loopback.port_for(port)

    def locate(self, address: str, port: int, *, dedicated: bool = False) -> tuple[str, int]:
        """Return where the simulated ``address`` and ``port`` are on loopback; it answers there.

        Args:
            address: an IP address, as of a STATIC endpoint.
            port: its port.
            dedicated: give it a place of its own even if nothing is scripted there. That is done
                while the limit of open files allows it (a quarter of it is used).

        Raises:
            ValueError: one of them is not what it should be.
            BackendError: a socket cannot be bound.
        """
        return self._loopback.locate(address, port, dedicated=dedicated)

    def original(self, address: str, port: int) -> str:
        """Return the loopback address that stands for an original destination.

        It answers there on `original_port`, as ``address`` and ``port`` do. Where places cannot
        have addresses of their own, one place stands for all.

        Raises:
            ValueError: one of them is not what it should be.
            BackendError: a socket cannot be bound.
        """
        return self._loopback.original(address, port)

    def original_port(self, override: int = 0) -> int:
        """Return the loopback port of places for original destinations.

        Args:
            override: the port that is dialled in place of the original one
                (``upstream_port_override`` of ORIGINAL_DST clusters); 0: the original one.
        """
        return self._loopback.original_port(override)

    def take(self, client: Address, address: str, port: int, *, carrier: str = "") -> socket.socket:
        """Take in a connection that was made elsewhere, such as in a pod, and is carried here.

        `Upstream.refuse` acts like `Upstream.reset` on it, and `Upstream.hang` like
        `Upstream.silent`: it has been accepted already.

        Args:
            client: who dialled: address and port.
            address: the simulated address that was dialled.
            port: its port.
            carrier: who carries it, where clients of several may have the same address and port.

        Returns:
            The other end, to carry its bytes to and from.

        Raises:
            ValueError: the address or port is not one.
        """
        address, slot = check_address(address), Slot(check_port(port))
        theirs, ours = pair()
        with self._lock:
            place = self._zone.place_of(address) or Place(address, address, every_port=False)
            try:
                link = Conversation(self._site, ours, client, place, slot)
            except BaseException:
                theirs.close()
                ours.close()
                raise
        link.record.place = f"{address}:{port}"
        link.record.carrier = carrier
        self._workers.submit(link)
        return theirs

    def answer(self, query: bytes, *, udp: bool = True, view: View = "pod") -> bytes | None:
        """Return the answer to a DNS query from elsewhere; None: none is to be sent.

        Args:
            query: as it came.
            udp: whether over UDP, where an answer may be too large.
            view: who asks: ``pod``, ``far`` (a proxy that dials simulated addresses) or ``proxy``
                (one that dials loopback). Each has its own turns.
        """
        return self._servers.answer(query, udp=udp, view=view)

    def watch(self, watcher: Callable[[str, int], None]) -> Callable[[], None]:
        """Tell ``watcher`` of every loopback address and port that answers, now and later.

        It is called while the outside is locked, so it must not wait. Returns what ends that.
        """
        return self._loopback.watch(watcher)

    def watch_connects(
        self, watcher: Callable[[list[tuple[str, int, State]]], None]
    ) -> Callable[[], None]:
        """Tell ``watcher`` where connects are refused or hang, now and whenever that may change.

        That is for a proxy that dials simulated addresses: an address, a port (0: every one) and
        the state, the narrower first. Returns what ends it.
        """

        def tell() -> None:
            watcher(self._staging.turned_away())

        def end() -> None:
            if tell in self._staging.watchers:
                self._staging.watchers.remove(tell)

        self._staging.watchers.append(tell)
        tell()
        return end

    def real(self, address: str, port: int) -> tuple[str, int] | None:
        """Return what a loopback address and port stand for; None if several, or nothing."""
        return self._loopback.real(address, port)

    def accepted(
        self, client: str, place: str = "", *, ended: bool = False, carrier: str = ""
    ) -> UpstreamProof | None:
        """Return what is known of a connection that the proxy opened to this outside.

        Args:
            client: the proxy's end of it, ``ip:port`` (Envoy's ``%UPSTREAM_LOCAL_ADDRESS%``).
            place: this outside's end (``%UPSTREAM_HOST%``). Two connections to different places
                may have the same client; without this, the later one is meant.
            ended: the proxy has seen it end. Why it ended may be noted here a moment later, which
                is waited for, a second at most.
            carrier: who carried it, as `take` was told.

        Returns:
            None when no such connection was accepted.
        """
        found = self._journal.from_client(client, place, carrier)
        if found is None:
            # It was established before the proxy could speak of it, but perhaps not accepted yet.
            self._acceptor.settle()
            found = self._journal.from_client(client, place, carrier)
        if found is None:
            return None
        if ended:
            connection = found
            self._journal.wait(lambda: not connection.open, _LAST_WORDS)
        proof = found.proof()
        # A shared place has no address of its own, but the host has one that is known.
        address = proof.address or self._zone.known_address(proof.host) or ""
        return replace(proof, address=address)

    def requests_with(self, request_id: str) -> tuple[Request, ...]:
        """Return the HTTP requests that arrived with this ``x-request-id``, the first first."""
        return self._journal.with_id(request_id) if request_id else ()

    def declare(
        self,
        hosts: Iterable[str],
        ports: Iterable[int],
        addresses: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Prepare for the hosts and ports of a contract; see `Staging.declare`."""
        self._staging.declare(hosts, ports, addresses)

    def serve(self, endpoints: Mapping[str, tuple[str, ...]]) -> None:
        """Say which hosts each endpoint belongs to; see `Staging.serve`."""
        self._staging.serve(endpoints)

    def expect_client(self, host: str, certificates: str) -> None:
        """Let ``host`` ask its TLS clients for a certificate, and trust these (PEM).

        That ends with `reset`.
        """
        self._clients.expect(host.lower().removesuffix("."), certificates)

    def host(self, name: str, port: int | None = None) -> Upstream:
        """Return the upstream to be scripted.

        Args:
            name: a host name, a wildcard such as ``*.example.com`` (every depth below it), or an
                IP address. It need not be declared by any contract.
            port: only this (simulated) port of it.

        Raises:
            ValueError: the name or port is not one; the message says what was expected.
        """
        return Upstream(self._staging, Scope.of(name, port))

    def lend(self) -> Loan:
        """Return a stage to make upstreams of, whose scripts can be taken back."""
        return Loan(self._staging)

    def reset(self) -> None:
        """Drop every script and record; places that hosts have of their own stay theirs."""
        self._staging.reset()

    def _accept(self, sock: socket.socket, client: Address, place: Place, slot: Slot) -> None:
        try:
            link = Conversation(self._site, sock, client, place, slot)
        except BaseException:
            sock.close()
            raise
        self._workers.submit(link)

    def _state(self, place: Place, slot: Slot) -> State:
        if place is self._places.default:
            return "listen"
        return state_of(
            self._rules.effect(self._zone.tenants_of(place), place.address, place.real_port(slot))
        )
