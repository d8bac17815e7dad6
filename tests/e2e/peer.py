"""A client of the broker's protocol, written from docs/protocol.md alone: what any other language would do."""
import os
import time

import zmq
from zmq.utils import monitor

from country import DEADLINE


def new_id():
    """A UUIDv7 (RFC 9562)."""
    b = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    b[6], b[8] = b[6] & 0x0F | 0x70, b[8] & 0x3F | 0x80
    h = b.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


class Peer:
    """One connection. The socket never connects again by itself: a new connection is a new Peer."""

    def __init__(self, country, agency, key=None, server_key=None, endpoint=None, routing_id=None, receive_buffer=None):
        self.proto, self.agency = country.proto, agency
        key = key or country.keys[agency]
        self.socket = country.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.reconnect_ivl = 86400000   # never; -1 would throw away what was not read yet
        self.socket.sndhwm = self.socket.rcvhwm = 0
        self.socket.curve_publickey, self.socket.curve_secretkey = key.public, key.secret
        self.socket.curve_serverkey = (server_key or country.keys[country.broker_key]).public
        if routing_id:
            self.socket.routing_id = routing_id
        if receive_buffer:
            self.socket.rcvbuf = receive_buffer
            self.socket.rcvhwm = 1
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
                                                      | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
        self.socket.connect(endpoint or country.bound[0])
        self.tag = 0
        self.pending = []              # frames received while waiting for others
        self.welcome = None
        self.answers_pings = True

    def close(self):
        if self.socket:
            self.socket.disable_monitor()
            self.monitor.close(linger=0)
            self.socket.close(linger=0)
            self.socket = None

    def event(self, seconds=DEADLINE):
        """The next event of the connection: (name, value)."""
        assert self.monitor.poll(seconds * 1000), "no event of the connection"
        found = monitor.recv_monitor_message(self.monitor)
        return found["event"], found["value"]

    # --- frames

    def send_bytes(self, *parts):
        self.socket.send_multipart(list(parts))

    def send(self, **field):
        self.send_bytes(self.proto.wire.Frame(**field).SerializeToString())

    def receive_any(self, seconds=DEADLINE):
        """The next frame, or None."""
        if not self.socket.poll(seconds * 1000):
            return None
        parts = self.socket.recv_multipart()
        assert len(parts) == 1
        frame = self.proto.wire.Frame()
        frame.ParseFromString(parts[0])
        assert len(frame.ListFields()) == 1, frame
        if self.answers_pings and frame.HasField("ping") and not frame.ping.reply:
            self.send(ping=self.proto.wire.Ping(number=frame.ping.number, reply=True))
        return frame

    def receive(self, kind, seconds=DEADLINE):
        """The next frame of that kind; others wait for their own receive."""
        for i, frame in enumerate(self.pending):
            if frame.HasField(kind):
                return getattr(self.pending.pop(i), kind)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            frame = self.receive_any(max(0.001, end - time.monotonic()))
            if frame is None:
                break
            if frame.HasField(kind):
                return getattr(frame, kind)
            self.pending.append(frame)
        raise AssertionError(f"no {kind} came; instead: {[f.ListFields()[0][0].name for f in self.pending]} {[f.bye for f in self.pending if f.HasField('bye')]} {self.pending}")

    def nothing(self, kind):
        """True if no frame of that kind is on its way: everything that the broker had to say stands before the answer to a ping."""
        number = 0x7e57 + self.tag
        self.tag += 1
        self.send(ping=self.proto.wire.Ping(number=number))
        while True:
            ping = self.receive("ping")
            if ping.reply and ping.number == number:
                return not any(frame.HasField(kind) for frame in self.pending)

    # --- conversation

    def send_hello(self, **more):
        self.send(hello=self.proto.wire.Hello(**{"protocol": 1, "catalogue": 1, "agency": self.agency, "program": "peer.py", "session": 1, **more}))

    def hello(self, **more):
        self.send_hello(**more)
        self.welcome = self.receive("welcome")
        return self

    def content(self, type, subject, data=None, **more):
        """The bytes of an event."""
        return self.proto.event.Event(**{"id": new_id(), "type": type, "source": self.agency, "subject": subject,
                                         "data": data.SerializeToString() if data is not None else b"", **more}).SerializeToString()

    def offer(self, *contents, time_ms=None):
        """Sends contents in one Publish, without waiting."""
        now = time_ms or int(time.time() * 1000)
        items = []
        for content in contents:
            self.tag += 1
            items.append(self.proto.wire.Publish.Item(content=content, time=now, tag=self.tag))
        self.send(publish=self.proto.wire.Publish(items=items))
        return [i.tag for i in items]

    def receipts(self, n):
        got = []
        while len(got) < n:
            got.extend(self.receive("receipts").items)
        assert len(got) == n
        return got

    def publish(self, *contents, **more):
        """Sends contents in one Publish; their receipts, in order."""
        tags = self.offer(*contents, **more)
        got = self.receipts(len(contents))
        assert [r.tag for r in got] == tags
        return got

    def publish_one(self, type, subject, data=None, **more):
        return self.publish(self.content(type, subject, data, **more))[0]

    def deliveries(self, n):
        got = []
        while len(got) < n:
            got.extend(self.receive("deliver").items)
        assert len(got) == n, got
        return got

    def ack(self, *sequences):
        self.send(ack=self.proto.wire.Ack(sequences=sequences))

    def opened(self, delivery):
        event = self.proto.event.Event()
        event.ParseFromString(delivery.content)
        return event

    def ask(self, kind, number=1, credit=0, **parameters):
        """The whole answer: (objects of JSON as text, deliveries, the last part)."""
        self.send(query=self.proto.wire.Query(number=number, kind=kind, credit=credit, parameters=[f"{k}={v}" for k, v in parameters.items()]))
        texts, items = [], []
        while True:
            answer = self.receive("answer")
            assert answer.number == number
            texts.extend(answer.json)
            items.extend(answer.items)
            if answer.last:
                return texts, items, answer
