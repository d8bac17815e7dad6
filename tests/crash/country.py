"""A small country for the crash test: a folder, real keys, a broker and agents as processes that can be killed and started again."""
import base64
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import nacl.signing
import zmq

from control import DEADLINE, Down, ask

STEP = 0.005           # seconds between two looks
RATE = 7200            # shown time runs so much faster: two hours a second, so that deadlines fall due during the test
START = 1801472400     # 2027-02-01 09:00 UTC in seconds

AGENCIES = {           # role, oin, codes
    "om-utrecht": ("court", "00000099000000001001", []),
    "pi-utrecht": ("prison", "00000099000000002001", []),
    "pi-rotterdam": ("prison", "00000099000000002002", []),
    "gm0344": ("municipality", "00000099000000040344", ["0344"]),
    "gm0599": ("municipality", "00000099000000040599", ["0599"]),
    "gm0758": ("municipality", "00000099000000040758", ["0758"]),
    "care-a": ("care", "00000099000000005001", []),
}
SPOOL = ("pi-rotterdam", "gm0599")     # also hand in, and get, files
EXEC = "care-a"                        # also runs a command for each event


def wait_for(condition, what, seconds=DEADLINE):
    """The condition's first true value. TimeoutError when there is none by the deadline."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(STEP)


# Nothing is left when the test itself is killed. A program of its own does it, so that a daemon is started without copying our address space while our threads write to it.
DIE_WITH_PARENT = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"]


def die_with_parent():
    """The same for a new process that does more before its program."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)    # PR_SET_PDEATHSIG


def remove(folder):
    """All of it, also when a command that an agent had started writes its line meanwhile."""
    def gone():
        shutil.rmtree(folder, ignore_errors=True)
        return not os.path.exists(folder)

    wait_for(gone, f"{folder} to be gone")


class Daemon:
    """A program that is started, killed and started again. It is started and killed by one thread only."""

    def __init__(self, country, name, program, config, socket_path):
        self.country, self.name, self.program, self.config, self.socket = country, name, program, config, socket_path
        self.log = os.path.join(country.folder, f"{name}.log")
        self.environment = {}
        self.before = None                   # runs in the new process before the program; it must end with us, too
        self.process = None
        self.kills = 0

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*([] if self.before else DIE_WITH_PARENT), self.program, "-c", self.config],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self.before,
                                            env={**os.environ, "REENTRY_LOG": "info", "REENTRY_CLOCK": self.country.clock, **self.environment})

    def ended_itself(self):
        return self.process is not None and self.process.poll() is not None

    def kill(self):
        """SIGKILL. Returns False if there was nothing to kill: it had ended by itself."""
        process, self.process = self.process, None
        alive = process is not None and process.poll() is None
        if process is not None:
            process.kill()
            process.wait()
        self.kills += alive
        return alive

    def stop(self):
        """SIGTERM; its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return "no end after SIGTERM"

    def ask(self, **request):
        return ask(self.socket, **request)

    def answers(self):
        try:
            return self.ask(do="status")[0]
        except Down:
            return None

    def wait_up(self):
        wait_for(lambda: self.ended_itself() or self.answers(), f"{self.name} to answer")
        if self.ended_itself():
            raise RuntimeError(f"{self.name} ended by itself with {self.process.returncode}: {self.tail()}")

    def text(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def errors(self):
        return [f"{self.name}: {line[3:]}" for line in self.text().splitlines() if line.startswith("<3>")]

    def tail(self):
        return " | ".join(self.text().splitlines()[-5:])


def free_port():
    """Below the range that outgoing connections take theirs from: nobody gets it while the broker is down, not even an agent that dials it."""
    choice = random.SystemRandom()
    for _ in range(200):
        port = choice.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port on loopback")


class Country:
    def __init__(self, bin_folder, broker_program=None):
        self.folder = tempfile.mkdtemp(prefix="reentry-crash-")
        self.bin = bin_folder
        self.set_clock(START, time.time(), RATE)
        self.port = free_port()
        for name in ("keys", "run", "store"):
            os.mkdir(os.path.join(self.folder, name), 0o700)
        self.spools = tempfile.mkdtemp(dir=os.environ.get("SPOOLS") or self.folder)
        os.symlink(self.spools, self.path("spool"))
        for name in ["broker", "log", *AGENCIES]:
            self.write_key(name)
        self.broker = Daemon(self, "broker", broker_program or os.path.join(bin_folder, "reentry-broker"), self.write("broker.cfg", self.broker_config()), self.path("run/broker.sock"))
        self.agents = {name: self.agent(name) for name in AGENCIES}
        self.others = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def now(self):
        """Shown time, in seconds since 1970."""
        return self.start_shown + (time.time() - self.real_start) * self.rate

    def set_clock(self, shown, real, rate):
        """For daemons that are started from now on."""
        self.start_shown, self.real_start, self.rate = shown, int(real * 1000) / 1000, rate
        self.clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(shown)) + f"@{rate}#{int(real * 1000)}"

    def slow_down(self):
        """Shown time goes no faster than real time any more."""
        shown = int(self.now()) + 1
        self.set_clock(shown, self.real_start + (shown - self.start_shown) / self.rate, 1)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def write_key(self, name):
        curve_public, curve_secret = zmq.curve_keypair()
        sign = nacl.signing.SigningKey.generate()
        for end, mode, curve, seed in ((".pub", 0o644, curve_public, bytes(sign.verify_key)), (".key", 0o600, curve_secret, bytes(sign))):
            with open(os.open(self.path("keys/" + name + end), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as f:
                f.write(f"reentry key 1\ncurve = {curve.decode()}\nsign = {base64.b64encode(seed).decode()}\n")

    def broker_config(self):
        agencies = ",\n".join(
            f'  {{ id = "{name}"; role = "{role}"; oin = "{oin}"; contact = "0800-0000001 (invented)"; keys = [ "keys/{name}.pub" ];'
            + (f' codes = [ "{codes[0]}" ];' if codes else "") + " }" for name, (role, oin, codes) in AGENCIES.items())
        return (f'broker = {{ id = "broker-nl"; oin = "00000099000000000001"; endpoints = [ "{self.endpoint()}" ];\n'
                '  key = "keys/broker.key"; store = "store/broker"; control = "run/broker.sock"; signing_key = "keys/log.key"; master_key = "keys/master.key"; };\n'
                'limits = { store_size = "4GiB"; store_reserve = "16MiB"; resend_after = "1s"; resend_after_max = "4s"; };\n'
                f"agencies = (\n{agencies}\n);\n")

    def endpoint(self):
        """Where the broker listens."""
        return f"tcp://127.0.0.1:{self.port}"

    def endpoint_for(self, name):
        """What that agency's agent connects to."""
        return self.endpoint()

    def agent(self, name, suffix=""):
        """An agent of that agency. suffix: another one, with a store of its own."""
        own = name + suffix
        text = (f'agent = {{ id = "{name}"; broker = [ "{self.endpoint_for(name)}" ]; broker_key = "keys/broker.pub"; key = "keys/{name}.key"; log_key = "keys/log.pub";\n'
                f'  store = "store/{own}"; control = "run/{own}.sock"; size_max = "4GiB"; }};\n')
        if name in SPOOL and not suffix:
            text += f'spool = {{ dir = "spool/{name}"; }};\n'
        if name == EXEC and not suffix:
            text += f'exec = {{ command = [ "/usr/bin/tee", "-a", "{self.path("exec.log")}" ]; backoff = "50ms"; attempts = 1000; }};\n'
        return Daemon(self, own, os.path.join(self.bin, "reentry-agent"), self.write(own + ".cfg", text), self.path(f"run/{own}.sock"))

    def daemons(self):
        return [self.broker, *self.agents.values(), *self.others]

    def start(self):
        for daemon in (self.broker, *self.agents.values()):
            daemon.start()
        for daemon in (self.broker, *self.agents.values()):
            daemon.wait_up()

    def close(self, keep=False):
        """Ends every process, and removes the folder unless it is to be looked at."""
        for daemon in self.daemons():
            if daemon.process is not None:
                daemon.kill()
        if not keep:
            remove(self.spools)
            remove(self.folder)
