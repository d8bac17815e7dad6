"""The broker with one call of it failing, and what must hold behind that: a book kept outside of it has what was told to whom, and each round is held against the book."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from country import BIN, DEADLINE, Country, Key, load_proto, wait_for
from peer import Peer
from shim import BUILD, Shim

ACCEPTED, DUPLICATE, STALE, REFUSED = 1, 2, 3, 4
LATER = ("busy", "storage-full")         # what an accident may be answered with
ENDING = 0.3                             # seconds from the end of its connections to the end of a process
PATIENCE = 1.0                           # seconds that something may take that a fault may have swallowed
OTHER = 65534                            # another operator
RELEASE = 20871                          # 2027-02-22, three weeks ahead: of the milestones some are due, and some are not
AGENCIES = {
    "pi-utrecht": ("prison", "00000099000000002001", []),
    "gm0344": ("municipality", "00000099000000040344", ["0344"]),
    "care-a": ("care", "00000099000000005001", []),
    "audit-nl": ("auditor", "00000099000000010001", []),
}


class Ended(Exception):
    """The broker, or the connection to it, ended while something was waited for."""


def iter_lines(connection):
    """Lines of an answer, up to its end."""
    for line in connection.makefile("r", encoding="utf-8"):
        yield line
        if line.startswith('{"end"'):
            return


@contextlib.contextmanager
def other_operator(folder):
    """As root: what follows is asked by another user, who is let to the broker's socket."""
    run = os.path.join(folder, "run")
    for path in (folder, run):
        os.chmod(path, 0o711)
    os.chmod(os.path.join(run, "broker.sock"), 0o666)
    if os.geteuid() == 0:
        os.seteuid(OTHER)
    try:
        yield
    finally:
        if os.geteuid() == OTHER:
            os.seteuid(0)


class Book:
    """What was offered, promised and handed over, in the order in which it happened."""

    def __init__(self):
        self.offered = []                # contents
        self.subject = {}                # content: case
        self.sequence = {}               # content: what an accepted or duplicate receipt said
        self.came = {}                   # sequence: the event's id, as gm0344 got it
        self.acked = set()               # sequences that the broker has counted as acknowledged
        self.erased = set()              # cases
        self.wrongs = []

    def wrong(self, text):
        self.wrongs.append(text)

    def offer(self, subject, contents):
        self.offered += contents
        self.subject.update((c, subject) for c in contents)

    def receipt(self, content, receipt, may_refuse):
        if receipt.result == ACCEPTED and content in self.sequence:
            self.wrong(f"sequence {self.sequence[content]} was receipted, and the event was not there")
        if receipt.result in (ACCEPTED, DUPLICATE):
            known = self.sequence.setdefault(content, receipt.sequence)
            if known != receipt.sequence or not receipt.sequence:
                self.wrong(f"a receipt says sequence {receipt.sequence}, an earlier one {known}")
        elif content in self.sequence:
            self.wrong(f"sequence {self.sequence[content]} was receipted, and is {receipt.code or receipt.result} now")
        elif not (may_refuse and receipt.result == REFUSED and receipt.code in LATER):
            self.wrong(f"a receipt says {receipt.result} {receipt.code} {receipt.detail}")


class BrokerBench:
    name = "broker"
    phases = ("first start", "start", "publish", "delivery", "acknowledgement", "replay", "rotation", "backup", "erasure", "stop")
    deliberate = "can no longer be trusted to keep what it was given"

    def __init__(self, folder, program=None, fault=None):
        self.folder, self.program = folder, program or os.path.join(BIN, "reentry-broker")
        self.country = Country(folder, load_proto(folder), AGENCIES)
        self.country.keys["broker-2"] = Key(self.country.keys_folder, "broker-2")
        self.shim = Shim(folder, "broker")
        self.country.environment = {**self.shim.environment(), "REENTRY_CLOCK": f"2027-02-01T09:00:00Z@1#{int(time.time() * 1000)}"}
        self.book = Book()
        self.n = 0
        self.peers = {}
        self.other_end = False           # which of two endpoints and keys is the new one, see write_rotation
        self.lost = False                # a connection has ended
        self.patience = DEADLINE         # PATIENCE while a call may fail
        self.first = False               # it runs on a store of its own, made for the occasion
        self.first_config = self.write_first()
        self.country.environment.update({"REENTRY_FAULT": fault} if fault else {})
        self.launch(self.country.config)

    def close(self):
        self.drop_peers()
        if self.country.process:
            self.country.kill()
        self.country.context.destroy(linger=0)
        self.shim.close()

    # --- the broker

    def let_end(self):
        """A connection was lost: if that is because the broker has ended, its end may be a moment away."""
        self.lost = False
        try:
            self.country.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            pass

    @property
    def alive(self):
        return self.country.process is not None and self.country.process.poll() is None

    def exit_code(self):
        return self.country.process.returncode

    def log_from(self, mark):
        with open(self.country.log_path, encoding="utf-8", errors="replace") as f:
            f.seek(mark)
            return f.read()

    def mark(self):
        return os.path.getsize(self.country.log_path) if os.path.exists(self.country.log_path) else 0

    def launch(self, config):
        """Starts the broker; whether it became ready. When it did not, it has ended."""
        mark = self.mark()
        with open(self.country.log_path, "a", encoding="utf-8") as log:
            self.country.process = subprocess.Popen([self.program, "-c", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                    env={**os.environ, "REENTRY_LOG": "info", **self.country.environment})
        wait_for(lambda: self.country.process.poll() is not None or "ready broker=" in self.log_from(mark), "the broker's start")
        self.first = config == self.first_config
        if self.alive and not self.first:
            self.country.read_endpoints()
        return self.alive

    def restart(self):
        self.drop_peers()
        if not self.launch(self.country.config):
            self.book.wrong(f"it does not start again: {self.log_from(max(0, self.mark() - 600))}")

    def terminate(self):
        """SIGTERM; its exit code."""
        self.country.process.terminate()
        return self.country.process.wait(DEADLINE)

    def control(self, **request):
        """Lines and end of an answer; Ended if there was none."""
        path = os.path.join(self.folder, "first" if self.first else "", "run", "broker.sock")
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(DEADLINE)
                s.connect(path)
                s.sendall(json.dumps(request).encode() + b"\n")
                lines = [json.loads(line) for line in iter_lines(s)]
        except (OSError, ValueError) as error:
            raise Ended(f"control socket: {error}") from None
        if not lines or "end" not in lines[-1]:
            raise Ended("an answer without an end")
        return lines[:-1], lines[-1]

    # --- peers

    def drop_peers(self):
        for peer in self.peers.values():
            peer.close()
        self.peers = {}

    def connect(self, agency):
        """To whichever of the endpoints is there, with its key."""
        new = [e for e in self.country.bound if "127.0.0.2" in e] if self.country.broker_key == "broker-2" else []
        endpoint = (new or [e for e in self.country.bound if "127.0.0.1" in e] or self.country.bound)[0]
        return Peer(self.country, agency, server_key=self.country.keys["broker-2" if "127.0.0.2" in endpoint else "broker"], endpoint=endpoint)

    def peer(self, agency):
        """A connection with a session; Ended when it does not come about."""
        if agency in self.peers:
            return self.peers[agency]
        for _ in range(3):
            peer = self.connect(agency)
            peer.send(hello=peer.proto.wire.Hello(protocol=1, catalogue=1, agency=agency, program="faults", session=time.monotonic_ns()))
            if self.gather(peer, "welcome", lambda got: got):
                self.peers[agency] = peer
                return peer
            peer.close()
            if not self.alive:
                break
        raise Ended(f"{agency} is not let in")

    def gather(self, peer, kind, enough, seconds=None):
        """Frames of that kind until there are enough, the broker or the connection has ended, or patience."""
        got, end = [], time.monotonic() + (seconds or self.patience)
        while not enough(got) and time.monotonic() < end:
            frame = peer.receive_any(0.01)
            if frame is not None and frame.HasField(kind):
                got.append(getattr(frame, kind))
            elif frame is None and (not self.alive or self.gone(peer)):
                self.lost = True
                break
        return got

    @staticmethod
    def gone(peer):
        while peer.monitor.poll(0):
            if peer.event()[0] != 0x1000:        # anything but the handshake's success
                return True
        return False

    def publish(self, subject, contents, may_refuse):
        prison = self.peer("pi-utrecht")
        tags = dict(zip(prison.offer(*contents), contents))
        for frame in self.gather(prison, "receipts", lambda got: sum(len(f.items) for f in got) >= len(contents)):
            for receipt in frame.items:
                self.book.receipt(tags.pop(receipt.tag), receipt, may_refuse)
        return not tags

    def take(self, town, enough, seconds=None):
        """Deliveries to gm0344 into the book; sequences, in the order in which they came."""
        came, top = [], {}
        for frame in self.gather(town, "deliver", lambda got: enough(sum(len(f.items) for f in got)), seconds):
            for item in frame.items:
                event = town.opened(item)
                if item.sequence in self.book.acked:
                    self.book.wrong(f"sequence {item.sequence} was acknowledged and came again")
                if self.book.came.setdefault(item.sequence, event.id) != event.id:
                    self.book.wrong(f"sequence {item.sequence} is another event than before")
                if item.sequence <= top.get(event.subject, 0) and item.attempt == 1:
                    self.book.wrong(f"sequence {item.sequence} of {event.subject} came behind {top[event.subject]}")
                top[event.subject] = max(item.sequence, top.get(event.subject, 0))
                came.append(item.sequence)
        return came

    def queued(self):
        lines, _ = self.control(do="queues")
        return sum(q["queued"] for q in lines if q["agency"] == "gm0344")

    # --- what is done while a call fails

    def new_case(self):
        self.n += 1
        subject, prison = f"C-{self.n}", self.peer("pi-utrecht")
        event = prison.proto.event
        custody = [prison.content("custody.started", subject, event.CustodyStarted(start=event.Moment(ms=1801472400000), origin="0344", destination="0344"))]
        self.book.offer(subject, custody)
        self.publish(subject, custody, False)
        contents = [prison.content("need.screened", subject, event.NeedStatusChanged(need=need, status=2, note="n" * 500)) for need in (1, 2, 3)]
        contents.append(prison.content("release.date-set", subject, event.ReleaseDateSet(date=event.Date(days=RELEASE), kind=1)))
        self.book.offer(subject, contents)
        return subject, contents

    def empty_queue(self):
        """gm0344 takes all that waits for it, and the broker counts it."""
        town, deadline = self.peer("gm0344"), time.monotonic() + DEADLINE
        came = set()
        while (left := self.queued()) and time.monotonic() < deadline:
            new = self.take(town, lambda n: n >= left, 0.3)
            came.update(new)
            town.ack(*(new or sorted(came)))
            wait_for(lambda: not self.alive or self.queued() < left, "the acknowledgements to count")
        if self.queued():
            self.book.wrong("the queue of gm0344 does not become empty")
        self.book.acked |= came

    def prepare(self, phase):
        """Everything up to the moment that is to be looked at; what it gives is handed to the phase."""
        if phase in ("start", "first start"):
            self.drop_peers()
            self.terminate()
            shutil.rmtree(os.path.join(self.folder, "first"), ignore_errors=True)
            return None
        self.peer("pi-utrecht")
        if phase == "publish":
            return self.new_case()
        if phase in ("delivery", "acknowledgement", "erasure", "stop"):
            subject, contents = self.new_case()
            self.publish(subject, contents, False)
            if phase == "delivery":
                return self.peers.pop("gm0344").close() if "gm0344" in self.peers else None
            if phase == "erasure":
                self.empty_queue()
                self.control(do="erase", case=subject, order="art. 17")
                return subject
            if phase == "acknowledgement":
                return self.take(self.peer("gm0344"), lambda n: n >= 6)
        if phase == "replay":
            self.peer("audit-nl")
        if phase == "rotation":
            self.other_end = not self.other_end
            self.write_rotation()
        return None

    def run(self, phase, given):
        """Carries it out while a call may fail. Whatever it finds goes to the book."""
        {"first start": lambda _: self.launch(self.first_config), "start": lambda _: self.launch(self.country.config), "publish": lambda case: self.publish(*case, True),
         "delivery": lambda _: self.take(self.peer("gm0344"), lambda n: n >= 6), "acknowledgement": self.acknowledge, "replay": self.replay, "rotation": self.rotate,
         "backup": self.back_up, "erasure": self.erase, "stop": lambda _: self.terminate()}[phase](given)

    def acknowledge(self, sequences):
        self.peer("gm0344").ack(*sequences)
        end = time.monotonic() + PATIENCE
        while self.alive and time.monotonic() < end:
            if self.queued() == 0:
                self.book.acked.update(sequences)
                return

    def replay(self, _=None):
        audit = self.peer("audit-nl")
        audit.send(query=audit.proto.wire.Query(number=1, kind="replay", credit=1000000, parameters=["purpose=a fault"]))
        got = self.gather(audit, "answer", lambda got: got and got[-1].last)
        if got and got[-1].last and not got[-1].code:
            self.replayed([audit.opened(item).id if not item.erased else None for f in got for item in f.items], [item.sequence for f in got for item in f.items])
            return True
        return False

    def replayed(self, ids, sequences):
        """An answer that calls itself whole is held against what was receipted."""
        by_id = dict(zip(ids, sequences))
        if sequences != sorted(set(sequences)):
            self.book.wrong("a replay is out of order, or has something twice")
        event = self.country.proto.event.Event()
        for content, sequence in self.book.sequence.items():
            event.ParseFromString(content)
            if self.book.subject[content] not in self.book.erased and by_id.get(event.id) != sequence:
                self.book.wrong(f"a replay that calls itself whole has not sequence {sequence}")

    def write_rotation(self):
        c, ends = self.country, ("tcp://127.0.0.1:*", "tcp://127.0.0.2:*")
        c.broker_key, c.old_key = ("broker-2", "broker") if self.other_end else ("broker", "broker-2")
        c.endpoints, c.old_endpoints = [ends[self.other_end]], [ends[not self.other_end]]
        c.write_config()

    def rotate(self, _):
        if self.reload():
            self.peer("care-a")          # goes in by the new key, or by the old one if it was not taken over
            self.peers.pop("care-a").close()

    def reload(self):
        """Whether it lives, and has taken the configuration over, or not."""
        mark = self.mark()
        self.country.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not self.alive or re.search("configuration (not )?taken over", self.log_from(mark)), "the reload")
        if self.alive:
            self.country.read_endpoints()
        return self.alive

    def back_up(self, _=None):
        self.n += 1
        folder = os.path.join(self.folder, "backups", str(self.n))
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        status, end = self.control(do="status")
        if end["end"] != "ok":
            return False             # the question itself had no memory
        before = status[0]["last_sequence"]
        _, end = self.control(do="backup", dir=folder)
        there = os.path.exists(os.path.join(folder, "data.mdb"))
        if end["end"] == "ok" or there:
            done = subprocess.run([os.path.join(BUILD, "test", "faults"), "verify", self.country.config, folder], capture_output=True, text=True, timeout=DEADLINE)
            if done.returncode or int(done.stdout.split()[0]) <= before:
                self.book.wrong(f"a backup of a log of {before} records and its own does not hold: {done.stdout[-300:]} {done.stderr[-300:]}")
        shutil.rmtree(folder, ignore_errors=True)
        return end["end"] == "ok"

    def erase(self, subject):
        """The other operator confirms."""
        with other_operator(self.folder):
            _, end = self.control(do="erase", case=subject, order="art. 17, seen", confirm=True)
        if end["end"] == "ok" or "is erased" in str(end):
            self.book.erased.add(subject)
        return end

    # --- what must hold afterwards

    def settle(self, phase, given):
        """Behind the fault, without one: starts what ended, asks everything again and looks at what came of it."""
        self.drop_peers()
        if phase == "first start":
            if self.alive:
                self.terminate()
            if not self.launch(self.first_config):
                self.book.wrong("behind a first start that failed it does not start")
                return
            if self.control(do="rebuild")[0][:1] != [{"equal": True}]:
                self.book.wrong("a first start that was tried again is not whole")
            self.terminate()
        if not self.alive:
            self.restart()
        if phase == "rotation":
            if not self.reload():        # it was about to end when it was looked at last
                raise Ended("it ended instead of reloading")
            self.check_key()
        if phase == "erasure":
            self.settle_erasure(given)
        for content in self.book.offered[-5:]:
            if self.book.subject[content] not in self.book.erased and not self.publish(None, [content], False):
                self.book.wrong("an event is not answered although nothing fails any more")
        self.empty_queue()

    def check_key(self):
        """The reload that failed has been done again: the new endpoint stands, with the new key."""
        wanted = "127.0.0.2" if self.other_end else "127.0.0.1"
        if not any(wanted in e for e in self.country.bound):
            self.book.wrong(f"behind the reload it listens at {self.country.bound}")
        self.peer("care-a")

    def settle_erasure(self, subject):
        end = self.erase(subject)
        if subject not in self.book.erased:
            self.book.wrong(f"an erasure cannot be finished: {end}")
            self.book.erased.add(subject)
        if self.log_from(0).count("erasures executed") < len(self.book.erased):
            self.book.wrong(f"the erasure of {subject} was confirmed and is not executed: {end}")
            self.book.erased.discard(subject)
        prison = self.peer("pi-utrecht")
        texts, _, _ = prison.ask("case", case=subject)
        if any("need" in t and "HOUSING" in t for t in texts):
            self.book.wrong(f"{subject} was erased and is shown")

    def whole(self):
        """The last look: everything in its place, and the state is what the log says."""
        if not self.replay():
            self.book.wrong("a replay is not answered although nothing fails any more")
        missing = [s for c, s in self.book.sequence.items() if s not in self.book.came and self.book.subject[c] not in self.book.erased]
        if missing:
            self.book.wrong(f"{len(missing)} sequences were receipted and never came to gm0344: {missing[:5]}")
        lines, _ = self.control(do="rebuild")
        if lines[:1] != [{"equal": True}]:
            self.book.wrong(f"the state differs from the log: {json.dumps(lines)}")

    def write_first(self):
        """A configuration of a store that is made new each time."""
        with open(self.country.config, encoding="utf-8") as f:
            text = f.read()
        path = os.path.join(self.folder, "first.cfg")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace('store = "store"', 'store = "first/store"').replace("run/broker.sock", "first/run/broker.sock").replace("keys/master.key", "first/keys/master.key"))
        return path
