"""Proves that a handshake and a publish that somebody recorded on the network do nothing when they are played again."""
import socket
import threading

from country import wait_for
from test_protocol_conversation import open_case


class Tap:
    """Carries one connection to the broker and keeps what the client said."""

    def __init__(self, endpoint):
        host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
        self.broker = (host, int(port))
        self.heard = bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sockets = [self.listener]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        client = self.listener.accept()[0]
        server = socket.create_connection(self.broker)
        self.sockets += [client, server]
        back = threading.Thread(target=self.carry, args=(server, client, None), daemon=True)
        back.start()
        self.carry(client, server, self.heard)

    @staticmethod
    def carry(source, target, keep):
        try:
            while data := source.recv(65536):
                if keep is not None:
                    keep += data
                target.sendall(data)
        except OSError:
            pass # the test is over

    def close(self):
        for one in self.sockets:
            one.close()


def play(tap):
    """Says again what the client said; what the broker answered until it ended the connection or fell silent."""
    heard = bytearray()
    with socket.create_connection(tap.broker, timeout=2) as again:
        again.sendall(tap.heard)
        try:
            while data := again.recv(65536):
                heard += data
        except (TimeoutError, ConnectionResetError):
            pass
    return bytes(heard)


def test_a_recorded_conversation_played_again_does_nothing(broker):
    tap = Tap(broker.bound[0])
    peer = broker.peer("pi-utrecht", endpoint=tap.endpoint).hello()
    open_case(peer, "C-1")
    before = broker.status()
    assert len(tap.heard) > 500, "handshake, hello and a publish went through the tap"
    answer = play(tap)
    assert b"READY" not in answer, "the server's part of a handshake is made for one connection: what was recorded opens nothing"
    after = broker.status()
    assert after["last_sequence"] == before["last_sequence"]
    assert after["counters"]["hellos"] == before["counters"]["hellos"]
    assert after["connected"] == before["connected"], "the session that was recorded goes on"
    wait_for(lambda: peer.publish_one("release.date-unknown", "C-1").sequence > before["last_sequence"], "the recorded session to be served")
    tap.close()
