"""Weather between network namespaces: each namespace has one TUN interface, and every packet between them passes here, late, lost, doubled, out of order or not at all.

The namespaces have no name: they live as long as this process holds them open, and nothing is left when it dies. netem would do the same, where the kernel has it.
"""
import ctypes
import fcntl
import heapq
import os
import random
import selectors
import struct
import subprocess
import threading
import time

NEWNET = 0x40000000        # CLONE_NEWNET
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PREFIX = "10.77.0."
MTU = 1500
LIBC = ctypes.CDLL(None, use_errno=True)


class Impossible(Exception):
    """This machine lacks the privilege, the device or the tool."""


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise Impossible(f"{name}: {os.strerror(code)}; root may")


class Place:
    """A network namespace with loopback and one TUN interface."""

    def __init__(self, number):
        self.address = f"{PREFIX}{number}"
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.net = self.tun = None
        try:
            call("unshare", NEWNET)
            try:
                self.net = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                self.tun = self.open_tun()
                for words in ("link set lo up", f"addr add {self.address}/24 dev t0", f"link set t0 mtu {MTU} up"):
                    subprocess.run(["ip", *words.split()], check=True, capture_output=True)
            finally:
                call("setns", home, NEWNET)
        except (OSError, subprocess.SubprocessError) as error:
            self.close()
            raise Impossible(f"a namespace with a TUN interface: {error}") from None
        finally:
            os.close(home)

    @staticmethod
    def open_tun():
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"t0", IFF_TUN | IFF_NO_PI))
        return tun

    def enter(self):
        """In a new process, before it becomes another program."""
        call("setns", self.net, NEWNET)

    def close(self):
        for fd in (self.tun, self.net):
            if fd is not None:
                os.close(fd)
        self.tun = self.net = None


class Weather:
    """What happens to packets of one place, both ways."""

    def __init__(self, delay=0.0, jitter=0.0, loss=0.0, double=0.0):
        self.delay, self.jitter, self.loss, self.double = delay, jitter, loss, double   # seconds, seconds, shares; jitter beyond the gap of two packets reorders them


class Relay(threading.Thread):
    """One thread for all packets. Weather may be changed while it runs; a place whose weather is None is cut off."""

    def __init__(self, places, seed):
        super().__init__(name="relay", daemon=True)
        self.rng = random.Random(f"{seed} weather")
        self.places = {p.address: p for p in places}
        self.weather = {p.address: Weather() for p in places}
        self.selector = selectors.DefaultSelector()
        self.late = []                 # heap of (moment, number, place, packet)
        self.number = 0
        self.count = {"passed": 0, "lost": 0, "doubled": 0, "overtaken": 0, "cut off": 0}
        self.stopping, self.failure = False, None
        for place in places:
            self.selector.register(place.tun, selectors.EVENT_READ, place)

    def run(self):
        try:
            while not self.stopping:
                wait = min(0.05, self.late[0][0] - time.monotonic()) if self.late else 0.05
                for key, _ in self.selector.select(max(0, wait)):
                    self.read(key.data)
                self.write()
        except Exception as error:     # told by the main thread
            self.failure = repr(error)

    def read(self, place):
        for _ in range(64):
            try:
                packet = os.read(place.tun, MTU + 64)
            except BlockingIOError:
                return
            to = self.places.get(".".join(map(str, packet[16:20]))) if packet[0] >> 4 == 4 else None
            if to is not None:
                self.pass_on(place, to, packet)

    def pass_on(self, place, to, packet):
        weathers = (self.weather[place.address], self.weather[to.address])
        if None in weathers:
            self.count["cut off"] += 1
            return
        copies = 1
        for weather in weathers:
            if self.rng.random() < weather.loss:
                self.count["lost"] += 1
                return
            if self.rng.random() < weather.double:
                self.count["doubled"] += 1
                copies = 2
        for _ in range(copies):
            self.number += 1
            delay = sum(w.delay + self.rng.random() * w.jitter for w in weathers)
            heapq.heappush(self.late, (time.monotonic() + delay, self.number, to, packet))

    def write(self):
        now = time.monotonic()
        top = {}
        while self.late and self.late[0][0] <= now:
            _, number, to, packet = heapq.heappop(self.late)
            self.count["overtaken"] += number < top.get(to, 0)
            top[to] = max(number, top.get(to, 0))
            self.count["passed"] += 1
            try:
                os.write(to.tun, packet)
            except (BlockingIOError, OSError):
                self.count["lost"] += 1    # as a full queue of an interface would

    def close(self):
        self.stopping = True
        self.join()
        self.selector.close()
