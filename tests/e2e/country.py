"""A small country for tests: a folder with keys, a broker's configuration, the broker as a process, and peers (peer.py) that connect to it."""
import base64
import glob
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import nacl.signing
import zmq

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BIN = os.environ.get("BIN", os.path.join(ROOT, "build", "bin"))
DEADLINE = 60          # seconds that anything may take: a virtual machine may stand still for half of that
STEP = 0.005

AGENCIES = {           # id: role, oin, codes
    "om-utrecht": ("court", "00000099000000001001", []),
    "pi-utrecht": ("prison", "00000099000000002001", []),
    "pi-rotterdam": ("prison", "00000099000000002002", []),
    "probation-nl": ("probation", "00000099000000003001", []),
    "gm0344": ("municipality", "00000099000000040344", ["0344"]),
    "gm0599": ("municipality", "00000099000000040599", ["0599"]),
    "care-a": ("care", "00000099000000005001", []),
    "audit-nl": ("auditor", "00000099000000010001", []),
    "desk-nl": ("desk", "00000099000000011001", []),
}


def load_proto(folder):
    """Generates the Python modules of proto/ and loads them."""
    names = sorted(os.path.relpath(p, ROOT) for p in glob.glob(os.path.join(ROOT, "proto", "*.proto")))
    subprocess.run(["protoc", "-I.", f"--python_out={folder}", *names], cwd=ROOT, check=True, timeout=DEADLINE)
    sys.path.insert(0, folder)
    class Proto:
        wire = importlib.import_module("proto.wire_pb2")
        event = importlib.import_module("proto.event_pb2")
        record = importlib.import_module("proto.record_pb2")
    return Proto


def wait_for(condition, what, seconds=DEADLINE):
    """The condition's first true value; fails when there is none by the deadline."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(STEP)


class Key:
    """A key pair in the form of reentry keygen."""

    def __init__(self, folder, name):
        public, secret = zmq.curve_keypair()
        sign = nacl.signing.SigningKey.generate()
        self.public, self.secret = public, secret
        self.pub_path, self.key_path = (os.path.join(folder, name + end) for end in (".pub", ".key"))
        self.write(self.pub_path, 0o644, public, bytes(sign.verify_key))
        self.write(self.key_path, 0o600, secret, bytes(sign))

    @staticmethod
    def write(path, mode, curve, sign):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as f:
            f.write(f"reentry key 1\ncurve = {curve.decode()}\nsign = {base64.b64encode(sign).decode()}\n")


class Country:
    def __init__(self, folder, proto, agencies=None):
        self.folder, self.proto = folder, proto
        self.keys_folder = os.path.join(folder, "keys")
        os.makedirs(self.keys_folder, mode=0o700)
        self.agencies = dict(agencies or AGENCIES)
        self.keys = {name: Key(self.keys_folder, name) for name in ["broker", "log", *self.agencies]}
        self.key_files = {name: [self.keys[name].pub_path] for name in self.agencies}
        self.endpoints = ["tcp://127.0.0.1:*"]
        self.control_group = ""
        self.broker_key, self.old_key, self.old_endpoints = "broker", None, []
        self.limits = {"store_size": "256MiB", "store_reserve": "16MiB"}
        self.scope = 'municipalities = [ "*" ]; types = [ "*" ]; classes = [ "A", "B" ];'
        self.config = os.path.join(folder, "broker.cfg")
        self.log_path = os.path.join(folder, "broker.log")
        self.process = None
        self.context = zmq.Context()
        self.peers = []
        self.environment = {}
        self.expected_errors = []      # patterns of error lines that a test provokes
        self.write_config()

    # --- configuration

    def write_config(self):
        def strings(items):
            return "[ " + ", ".join(json.dumps(i) for i in items) + " ]"

        def agency(name):
            role, oin, codes = self.agencies[name]
            more = f"codes = {strings(codes)};" if codes else ""
            more += f"scope = {{ {self.scope} }};" if role == "auditor" and self.scope is not None else ""
            return f'  {{ id = "{name}"; role = "{role}"; oin = "{oin}"; contact = "telephone of {name}"; keys = {strings(self.key_files[name])}; {more} }}'

        old = f'old_key = "keys/{self.old_key}.key"; old_endpoints = {strings(self.old_endpoints)}; ' if self.old_key else ""
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f'broker = {{ id = "broker-nl"; oin = "00000099000000000001"; endpoints = {strings(self.endpoints)};\n'
                    f'  key = "keys/{self.broker_key}.key"; {old}store = "store"; control = "run/broker.sock"; control_group = "{self.control_group}";\n'
                    f'  signing_key = "keys/log.key"; master_key = "keys/master.key"; }};\n'
                    "limits = { " + " ".join(f'{k} = {json.dumps(v)};' for k, v in self.limits.items()) + " };\n"
                    "agencies = (\n" + ",\n".join(agency(a) for a in self.agencies) + "\n);\n")

    # --- the broker

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_log(self, pattern, times=1):
        wait_for(lambda: len(re.findall(pattern, self.log())) >= times, f"log line {pattern}")

    def start(self):
        ready = len(re.findall("ready broker=", self.log())) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([os.path.join(BIN, "reentry-broker"), "-c", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "REENTRY_LOG": "info", **self.environment})
        wait_for(lambda: self.process.poll() is not None or len(re.findall("ready broker=", self.log())) > ready, "the broker's start")
        assert self.process.poll() is None, self.log()
        self.read_endpoints()

    def read_endpoints(self):
        with open(os.path.join(self.folder, "run", "broker.endpoint"), encoding="ascii") as f:
            self.bound = f.read().split()

    def stop(self, how=signal.SIGTERM):
        """Ends the broker; its exit code."""
        process, self.process = self.process, None
        process.send_signal(how)
        return process.wait(DEADLINE)

    def kill(self):
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL

    def reload(self):
        before = len(re.findall("configuration (not )?taken over", self.log()))
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(re.findall("configuration (not )?taken over", self.log())) > before, "the reload")
        self.read_endpoints()

    def control(self, **request):
        """Asks the control socket: the reply's lines, and its end."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE)
            s.connect(os.path.join(self.folder, "run", "broker.sock"))
            s.sendall(json.dumps(request).encode() + b"\n")
            lines = []
            for line in s.makefile("r", encoding="utf-8"):
                lines.append(json.loads(line))
                if "end" in lines[-1]:
                    return lines[:-1], lines[-1]
        raise AssertionError("the reply has no end")

    def status(self):
        lines, end = self.control(do="status")
        assert end == {"end": "ok"}
        return lines[0]

    def count(self, name):
        return self.status()["counters"][name]

    # --- peers

    def peer(self, agency, **more):
        from peer import Peer
        made = Peer(self, agency, **more)
        self.peers.append(made)
        return made

    def close(self):
        for made in self.peers:
            made.close()
        code = self.stop() if self.process else 0
        self.context.destroy(linger=0)
        assert code == 0, self.log()
        if os.path.exists(self.log_path):
            errors = [l for l in self.log().splitlines() if l.startswith("<3>") and not any(re.search(p, l) for p in self.expected_errors)]
            assert not errors, errors
