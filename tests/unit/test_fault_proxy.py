"""The TCP proxy of the fault tests: each of its ways to misbehave, seen from a client."""

import contextlib
import select
import socket
import threading
import time

import pytest

from tests.faults.proxy import FaultProxy
from tests.servers import eventually

QUIET_SECONDS = 0.3


@pytest.fixture
def echo():
    """A server that sends back what it gets; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(conn: socket.socket) -> None:
        with conn, contextlib.suppress(OSError):
            while piece := conn.recv(65536):
                conn.sendall(piece)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = listener.accept()
                threading.Thread(target=serve, args=(conn,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def proxy(echo):
    with FaultProxy(echo) as running:
        yield running


@pytest.fixture
def client(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), 60) as conn:
        assert answer(conn, b"first") == b"first"
        yield conn


def answer(conn: socket.socket, sent: bytes) -> bytes:
    conn.settimeout(60)
    conn.sendall(sent)
    found = b""
    while len(found) < len(sent) and (piece := conn.recv(65536)):
        found += piece
    return found


def is_silent(conn: socket.socket) -> bool:
    """Nothing comes, not even an end."""
    return not select.select([conn], [], [], QUIET_SECONDS)[0]


def test_what_goes_through_is_unchanged(client):
    sent = bytes(range(256)) * 4096
    assert answer(client, sent) == sent


def test_a_blackhole_keeps_all_open_and_what_was_sent_arrives_after_it(proxy, client):
    proxy.set("blackhole")
    client.sendall(b"late")
    assert is_silent(client)
    with socket.create_connection(("127.0.0.1", proxy.port), 60) as second:
        second.sendall(b"later")
        assert is_silent(second)
        proxy.set("pass")
        assert client.recv(16) == b"late"
        assert second.recv(16) == b"later"


def test_a_reset_ends_connections_and_each_new_one_with_an_error_of_the_peer(proxy, client):
    proxy.set("reset")
    with pytest.raises(ConnectionResetError):
        client.recv(16)
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", proxy.port), 60) as second,
    ):
        second.recv(16)
    proxy.set("pass")
    with socket.create_connection(("127.0.0.1", proxy.port), 60) as third:
        assert answer(third, b"again") == b"again"


def test_a_delay_is_one_each_way_and_not_one_for_every_piece(proxy, client):
    proxy.set("delay", seconds=0.2)
    began = time.monotonic()
    for _ in range(100):
        client.sendall(b"x" * 10)
        time.sleep(0.01)  # pieces of their own, not synchronisation
    got = b""
    while len(got) < 1_000:
        got += client.recv(1_000)
    assert 0.4 <= time.monotonic() - began < 15.0, "one for every piece would be 20 s and more"


def test_a_rate_limits_the_bytes_of_a_second(proxy, client):
    proxy.set("rate", bytes_per_second=100_000)
    began = time.monotonic()
    assert len(answer(client, b"x" * 50_000)) == 50_000
    assert time.monotonic() - began >= 0.5


def test_half_open_the_client_is_told_nothing_until_the_network_is_back(proxy, client):
    proxy.set("half_open")
    client.sendall(b"to nobody")
    assert is_silent(client)
    proxy.set("pass")
    with pytest.raises(ConnectionResetError):
        client.recv(16)


def test_the_answer_to_one_piece_is_lost_though_the_server_got_it(proxy, client):
    proxy.lose_answer(b"COMMIT")
    assert answer(client, b"INSERT") == b"INSERT"
    client.sendall(b"COMMIT")
    with pytest.raises(ConnectionResetError):
        client.recv(16)
    assert proxy.answers_lost == 1
    with socket.create_connection(("127.0.0.1", proxy.port), 60) as second:
        assert answer(second, b"COMMIT") == b"COMMIT"


def test_nothing_is_left_open_after_the_clients_are_gone(proxy, client):
    assert proxy.open_links == 1
    client.close()
    assert eventually(lambda: proxy.open_links == 0)


def test_a_server_that_is_not_there_ends_the_connection():
    with socket.socket() as bound:  # and not listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        with (
            FaultProxy(bound.getsockname()) as proxy,
            pytest.raises(ConnectionResetError),
            socket.create_connection(("127.0.0.1", proxy.port), 60) as conn,
        ):
            conn.recv(16)


def test_a_mode_that_there_is_not_is_refused(proxy):
    with pytest.raises(ValueError, match="half_open"):
        proxy.set("fire")
