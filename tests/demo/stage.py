"""The stage: a folder with the example country, keys made at first start, a broker and agents as processes, and what their inboxes say, printed."""
import ctypes
import datetime
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

from words import WHO, ZONE, in_words, moment, name, says

START = "2027-02-01T19:00:00Z"          # the evening before: while everything starts, it gets morning
FIRST_DAY = datetime.date(2027, 2, 2)
AGENCIES = [a for a in WHO if a != "broker-nl"]
DEADLINE = 20                           # seconds that a daemon may take to start, or a command to end
STEP = 0.005
GATHER = 0.05                           # seconds in which the copies of one event are gathered into one line
TOLD = 0.3                              # seconds that are left to an event to get to its receivers before the next thing is done
COLOURS = {"head": "1", "who": "36", "urgent": "1;31", "broker": "35", "to": "32", "dim": "2", "bad": "1;31", "good": "1;32", "plain": "0"}
NAME_WIDTH = 11
MARGIN = 2 + 5 + 2 + NAME_WIDTH
WIDTH_MAX = 118


class Failure(Exception):
    """The demo cannot go on; the sentence says why."""


def free_port():
    """Below the range of outgoing connections: it is still free when the broker comes back."""
    for port in range(20000 + os.getpid() % 9000, 32000):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure("no free port on loopback")


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)     # PR_SET_PDEATHSIG: nothing goes on running when the demo itself is killed


class Screen:
    """Lines in columns: time, who, what. Several threads write."""

    def __init__(self):
        self.lock = threading.RLock()
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.width = min(shutil.get_terminal_size((100, 24)).columns, WIDTH_MAX)
        self.day = None

    def paint(self, how, text):
        return f"\033[{COLOURS[how]}m{text}\033[0m" if self.colour and text else text

    def line(self, text=""):
        with self.lock:
            print(text, flush=True)

    def text(self, text, how="plain"):
        """A paragraph over the whole width."""
        for line in textwrap.wrap(text, self.width):
            self.line(self.paint(how, line))

    def heading(self, at, day):
        with self.lock:
            if self.day is None or at.date() > self.day:
                self.day = at.date()
                title, right = in_words(at.date()), f"day {day} " if day else ""
                self.line()
                self.line(self.paint("head", f"{title} {'─' * max(4, self.width - len(title) - len(right) - 2)} {right}".rstrip()))

    def row(self, at, who, what, how="plain", how_who="who"):
        """who in its column, what beside it, wrapped there."""
        lines = textwrap.wrap(what, self.width - MARGIN) or [""]
        with self.lock:
            for i, line in enumerate(lines):
                hour = f"{at:%H:%M}" if at is not None and i == 0 else ""
                self.line(f"  {hour:5}  {self.paint(how_who, f'{who if i == 0 else str():{NAME_WIDTH}}')}{self.paint(how, line)}".rstrip())


class Stage:
    def __init__(self, bin_folder, example, rate):
        self.bin, self.rate = bin_folder, rate
        self.screen = Screen()
        self.folder = tempfile.mkdtemp(prefix="reentry-demo-")
        self.environment = dict(os.environ, REENTRY_LOG="warn")
        self.daemons, self.watches = {}, []
        self.seen = []                  # (agency, event), as they arrived
        self.waiting = {}               # what is still being gathered: (sequence, sentence) → [when, event, receivers]
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.holding = False            # while the agents are coming back
        self.prepare(example)

    # --- files

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def prepare(self, example):
        port = free_port()
        names = sorted(n for n in os.listdir(example) if n.endswith(".cfg"))
        for file in names:
            with open(os.path.join(example, file), encoding="utf-8") as f:
                text = f.read().replace("127.0.0.1:5670", f"127.0.0.1:{port}").replace('lang = "nl"', 'lang = "en"')
            # Fifteen minutes are the blink of an eye here: on a busy machine every urgent message would count as overdue.
            text = re.sub(r'delivery_overdue = "\w+"', 'delivery_overdue = "8h"', text)
            with open(self.path(file), "w", encoding="utf-8") as f:
                f.write(text)
        os.mkdir(self.path("keys"), 0o700)
        self.keys = ["broker", "log"] + [n[:-4] for n in names if n != "broker.cfg"]
        for key in self.keys:
            self.command("keygen", self.path("keys"), key)

    # --- time

    def now(self):
        """Shown time, in seconds since 1970."""
        return moment(START).timestamp() + (time.time() - self.real_start) * self.rate

    def shown(self):
        return datetime.datetime.fromtimestamp(self.now(), ZONE)

    def until(self, text):
        """Waits until the shown clock says so."""
        end = moment(text).timestamp()
        while self.now() < end:
            time.sleep(min(STEP * 4, max(0.0005, (end - self.now()) / self.rate)))

    # --- processes

    def start(self):
        self.real_start = time.time()
        self.environment["REENTRY_CLOCK"] = f"{START}@{self.rate:.0f}#{int(self.real_start * 1000)}"
        self.start_daemon("broker")
        for agency in AGENCIES:
            self.start_daemon(agency)
        for agency in AGENCIES:
            self.until_linked(agency)
            watch = threading.Thread(target=self.watch, args=(agency,), daemon=True)
            watch.start()
        threading.Thread(target=self.tell, daemon=True).start()

    def start_daemon(self, who):
        program = "reentry-broker" if who == "broker" else "reentry-agent"
        with open(self.path(who + ".log"), "ab") as log:
            self.daemons[who] = subprocess.Popen([os.path.join(self.bin, program), "-c", self.path(who + ".cfg")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                 env=self.environment, preexec_fn=die_with_parent)

    def until_linked(self, who):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if self.daemons[who].poll() is not None:
                break
            done = self.run("--json", "status", agency=who)
            if done.returncode == 0 and json.loads(done.stdout)["link"] == "up":
                return
            time.sleep(STEP)
        with open(self.path(who + ".log"), encoding="utf-8", errors="replace") as log:
            raise Failure(f"the agent of {who} has no link to the broker: {log.read()[-500:]}")

    def kill_broker(self):
        broker = self.daemons.pop("broker")
        broker.kill()
        broker.wait()

    def start_broker(self):
        """What arrives is shown when all have their link again."""
        self.holding = True
        self.start_daemon("broker")
        for agency in AGENCIES:
            self.until_linked(agency)
        with self.lock:
            for row in self.waiting.values():
                row[0] = time.monotonic()       # all have a moment to come in
        self.holding = False

    def run(self, *words, agency=None):
        where = ["-c", self.path(agency + ".cfg")] if agency else []
        return subprocess.run([os.path.join(self.bin, "reentry"), *where, *words], capture_output=True, text=True, timeout=DEADLINE, env=self.environment)

    def command(self, *words, agency=None):
        """The reentry command, as that agency; what it printed. Failure when it says no."""
        done = self.run(*words, agency=agency)
        if done.returncode != 0:
            raise Failure(f"reentry {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def close(self):
        self.stopped.set()
        for process in [w for w in self.watches] + [d for n, d in self.daemons.items() if n != "broker"] + [d for n, d in self.daemons.items() if n == "broker"]:
            process.terminate()
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what arrives

    def watch(self, agency):
        """reentry inbox --follow, as the agency would leave it open on a screen."""
        process = subprocess.Popen([os.path.join(self.bin, "reentry"), "-c", self.path(agency + ".cfg"), "--json", "inbox", "--follow"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self.environment)
        self.watches.append(process)
        for line in process.stdout:
            event = json.loads(line)
            with self.lock:
                self.seen.append((agency, event))
                key = (event["sequence"], says(event))
                self.waiting.setdefault(key, [time.monotonic(), event, []])[2].append(agency)

    def tell(self):
        """Prints what has been gathered, in the order of the log."""
        while not self.stopped.wait(STEP):
            if not self.holding:
                self.flush(GATHER)

    def flush(self, age=0.0):
        with self.lock:
            for key in sorted(self.waiting):
                since, event, receivers = self.waiting[key]
                if time.monotonic() - since < age:
                    break
                del self.waiting[key]
                self.show(event, key[1], receivers)

    def show(self, event, sentence, receivers):
        source = event["source"].rsplit(":", 1)[1]
        urgent = event["priority"] == "URGENT"
        how = "urgent" if urgent or sentence.startswith("GAP") else "broker" if source == "broker-nl" else "plain"
        at = moment(event["recordedtime"])
        screen = self.screen
        with screen.lock:
            screen.heading(at, self.day_of(at))
            screen.row(at, name(source), ("URGENT  " if urgent else "") + sentence, how, "broker" if source == "broker-nl" else "who")
            screen.row(None, "", "→ " + ", ".join(name(r) for r in AGENCIES if r in receivers), "to")

    @staticmethod
    def day_of(at):
        return (at.date() - FIRST_DAY).days

    # --- what is done

    def say(self, text, how="dim"):
        """A word of the narrator, at the present time."""
        with self.screen.lock:
            at = self.shown()
            self.screen.heading(at, self.day_of(at))
            self.screen.row(at, "", text, how)

    def act(self, agency, *words):
        """What an agency does: shown as it is typed, with what was answered."""
        with self.screen.lock:
            at = self.shown()
            self.screen.heading(at, self.day_of(at))
            shown = " ".join(f'"{w}"' if " " in w else w for w in words)
            self.screen.row(at, name(agency), f"$ reentry {shown}", "dim")
        answer = self.command(*words, agency=agency).strip()
        number = re.match(r"accepted #(\d+)", answer)
        if not number or number.end() < len(answer):
            for line in answer.split("\n"):
                self.screen.row(None, "", line, "dim")
        if number:
            self.until_told(f"{int(number[1]):020d}")
        return answer

    def until_told(self, sequence):
        """Until whoever hears of it has heard of it, and that is on the screen; some things nobody hears of."""
        end = time.monotonic() + TOLD
        while time.monotonic() < end:
            with self.lock:
                if not self.waiting and any(e["sequence"] == sequence for _, e in self.seen):
                    return
            time.sleep(STEP)

    def publish(self, agency, case, kind, /, **fields):
        words = [w for k, v in fields.items() for w in ("--set", f"{k}={v}")]
        return self.act(agency, "publish", kind, "--case", case, *words)

    def until_seen(self, agency, kind, /, **data):
        """Waits until that agency has been told such a thing; Failure if it never is."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            with self.lock:
                if any(a == agency and e["type"] == "nl.reentry." + kind and data.items() <= e["data"].items() for a, e in self.seen):
                    return
            time.sleep(STEP)
        raise Failure(f"{name(agency)} was never told of {kind} {data or ''}")

    def verbatim(self, text):
        """What a command printed, set off at the margin and cut to the screen."""
        with self.screen.lock:
            for line in text.rstrip("\n").split("\n"):
                self.screen.line(("    " + (line if len(line) <= self.screen.width - 4 else line[:self.screen.width - 5] + "…")).rstrip())
