"""A proxy between agents and the broker that cuts each connection behind a given byte of a given direction."""
import random
import selectors
import socket
import struct
import threading
import time

UP, DOWN = "agent to broker", "broker to agent"
CHUNK = 1 << 16
PATIENCE = 3.0             # seconds that a connection has to come to its byte; then it is cut anyway, and another one gets the plan
LOOK = 0.05                # seconds between two looks at patience
SEND_SECONDS = 10


class Plan:
    """Which byte offsets are still to be cut at. Each is taken by one connection, and comes back if that one ends before."""

    def __init__(self, offsets):
        self.lock = threading.Lock()
        self.waiting = list(offsets)
        self.taken = 0
        self.done = []

    def take(self):
        with self.lock:
            if not self.waiting:
                return None
            self.taken += 1
            return self.waiting.pop(0)

    def give_back(self, cut, done):
        with self.lock:
            self.taken -= 1
            (self.done if done else self.waiting).append(cut)

    def add(self, offsets):
        with self.lock:
            self.waiting += offsets

    def is_over(self):
        with self.lock:
            return not self.waiting and not self.taken


class Connection:
    def __init__(self, agent, near, far, cut):
        self.agent, self.near, self.far, self.cut = agent, near, far, cut
        self.passed = {UP: 0, DOWN: 0}
        self.since = time.monotonic()


class Cutter(threading.Thread):
    """One listening port of loopback per agent; one thread serves all connections."""

    def __init__(self, agents, broker_port, seed):
        super().__init__(name="cutter", daemon=True)
        self.rng = random.Random(f"{seed} cutter")
        self.broker_port = broker_port
        self.plan = Plan([])
        self.selector = selectors.DefaultSelector()
        self.connections = set()
        self.reset = self.closed = self.early = 0
        self.stopping = False
        self.ports = {}
        self.failure = None
        self.length = {}               # of a whole conversation, as it was measured
        for agent in agents:
            listener = socket.create_server(("127.0.0.1", 0))
            self.ports[agent] = listener.getsockname()[1]
            self.selector.register(listener, selectors.EVENT_READ, (self.accept, listener, agent))

    def run(self):
        try:
            while not self.stopping:
                for key, _ in self.selector.select(LOOK):
                    act, *arguments = key.data
                    act(*arguments)
                self.look()
        except Exception as error:     # told by the main thread
            self.failure = repr(error)

    def close(self):
        self.stopping = True
        self.join()
        for connection in list(self.connections):
            self.end(connection, False)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def passed(self, agent):
        """Bytes of that agent's present connection, each way."""
        found = [c.passed for c in list(self.connections) if c.agent == agent]
        return dict(found[-1]) if found else {UP: 0, DOWN: 0}

    def accept(self, listener, agent):
        near, _ = listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self.broker_port), SEND_SECONDS)
        except OSError:
            near.close()
            return
        connection = Connection(agent, near, far, self.plan.take())
        self.connections.add(connection)
        for a, b, direction in ((near, far, UP), (far, near, DOWN)):
            a.settimeout(SEND_SECONDS)
            a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(a, selectors.EVENT_READ, (self.forward, connection, a, b, direction))
        if connection.cut is not None and connection.cut[1] == 0:
            self.end(connection, True)

    def forward(self, connection, a, b, direction):
        if connection not in self.connections:
            return                     # it was ended in this very round
        room = CHUNK
        if connection.cut is not None and connection.cut[0] == direction:
            room = connection.cut[1] - connection.passed[direction]
        try:
            data = a.recv(room)
            if data:
                b.sendall(data)
        except OSError:
            data = b""
        connection.passed[direction] += len(data)
        if not data:
            self.end(connection, False)
        elif connection.cut == (direction, connection.passed[direction]):
            self.end(connection, True)

    def end(self, connection, cut):
        """Closes both sides, in order or with a reset."""
        self.connections.discard(connection)
        hard = cut and self.rng.random() < 0.5
        self.reset, self.closed = self.reset + (cut and hard), self.closed + (cut and not hard)
        for side in (connection.near, connection.far):
            self.selector.unregister(side)
            if hard:
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.close()
        if connection.cut is not None:
            self.plan.give_back(connection.cut, cut)

    def look(self):
        now = time.monotonic()
        for connection in list(self.connections):
            if connection.cut is not None and now - connection.since > PATIENCE:
                self.early += 1
                self.end(connection, False)
            elif connection.cut is None and self.plan.waiting:
                connection.cut = self.plan.take()
                if connection.cut is not None and connection.passed[connection.cut[0]] >= connection.cut[1]:
                    self.end(connection, False)
