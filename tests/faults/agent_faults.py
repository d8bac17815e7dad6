"""An agent with one call of it failing, beside a real broker: what it promised whoever handed something in, and what it acknowledged to the broker, must hold whatever becomes of it."""
import json
import os
import re
import signal
import subprocess
import time
import uuid

from broker_faults import AGENCIES, ENDING, PATIENCE, Ended, other_operator
from control import Control, Down, Refused
from country import BIN, DEADLINE, Country, load_proto, wait_for
from shim import Shim

ACCEPTED = 1
KEPT = ("accepted", "duplicate")
SLOW = 60                                # seconds: an agent that missed a receipt offers the event again after 30
WAIT_MS = 700                            # that whoever hands something in waits for the broker's answer


class AgentBook:
    """What the agent of pi-utrecht was given, and what it said."""

    def __init__(self):
        self.promised = {}               # event id: its line, once it was said to be in the outbox or better
        self.sequence = {}               # event id: what a receipt said
        self.sent = {}                   # case: sequences that the broker has for this agency
        self.done = set()                # sequences that were confirmed as dealt with
        self.purged = set()              # cases that it may hold no longer
        self.wrongs = []

    def wrong(self, text):
        self.wrongs.append(text)

    def receipt(self, event, receipt, may_refuse):
        id = event["id"]
        if receipt.get("id", id) != id:
            self.wrong(f"a receipt is about {receipt['id']} instead of {id}")
        if receipt["result"] in KEPT:
            if self.sequence.setdefault(id, receipt["sequence"]) != receipt["sequence"]:
                self.wrong(f"a receipt says sequence {receipt['sequence']}, an earlier one {self.sequence[id]}")
            self.promised[id] = event
        elif receipt["result"] == "queued":
            self.promised[id] = event
        elif not may_refuse or receipt.get("code") not in ("storage-full", "busy", "no-memory") or id in self.promised:
            self.wrong(f"a receipt says {receipt}")


class AgentBench:
    name = "agent"
    phases = ("first start", "start", "handing in", "delivery", "done", "reload", "purge", "stop")
    deliberate = "durability=lost"

    def __init__(self, folder):
        self.folder = folder
        self.country = Country(folder, load_proto(folder), AGENCIES)
        self.country.limits.update(resend_after="1s", resend_after_max="1s")     # what was not acknowledged comes again within the patience of a test
        self.country.write_config()
        self.country.start()
        self.town = self.country.peer("gm0344").hello()
        self.shim = Shim(folder, "agent")
        os.mkdir(os.path.join(folder, "agents"))
        self.config, self.first_config = self.write("pi-utrecht"), self.write("care-a")
        self.log_path = os.path.join(folder, "agent.log")
        self.book, self.n, self.lost, self.process, self.first = AgentBook(), 0, False, None, False
        self.patience = DEADLINE
        self.restart()

    def write(self, name):
        path = os.path.join(self.folder, f"{name}.cfg")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f'agent = {{ id = "{name}"; broker = [ {json.dumps(self.country.bound[0])} ]; broker_key = "keys/broker.pub"; key = "keys/{name}.key";\n'
                    f'  store = "agents/{name}"; control = "run/{name}.sock"; size_max = "256MiB"; }};\n')
        return path

    def close(self):
        if self.alive:
            self.process.kill()
            self.process.wait()
        self.country.close()
        self.shim.close()

    # --- the agent

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def exit_code(self):
        return self.process.returncode

    def mark(self):
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def log_from(self, mark):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            f.seek(mark)
            return f.read()

    def launch(self, config):
        mark = self.mark()
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([os.path.join(BIN, "reentry-agent"), "-c", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "REENTRY_LOG": "info", **self.shim.environment()})
        wait_for(lambda: self.process.poll() is not None or "started agency=" in self.log_from(mark), "the agent's start")
        self.first = config == self.first_config
        return self.alive

    def restart(self):
        if not self.launch(self.config):
            self.book.wrong(f"it does not start again: {self.log_from(max(0, self.mark() - 600))}")

    def let_end(self):
        """A connection was lost: if that is because the agent has ended, its end may be a moment away."""
        self.lost = False
        try:
            self.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            pass

    def terminate(self):
        self.process.terminate()
        return self.process.wait(DEADLINE)

    def ask(self, into=None, **request):
        try:
            with Control(os.path.join(self.folder, "run", "care-a.sock" if self.first else "pi-utrecht.sock")) as control:
                return control.ask(into, **request)
        except Down as error:
            raise Ended(str(error)) from None

    def ask_armed(self, into=None, **request):
        """As above, where being refused for want of something is an answer."""
        try:
            return self.ask(into, **request)
        except Refused:
            return None

    # --- what is done while a call fails

    def need(self, case, n):
        ms = int(time.time() * 1000)
        id = str(uuid.UUID(int=ms << 80 | 7 << 76 | (uuid.uuid4().int & 0xFFF) << 64 | 2 << 62 | uuid.uuid4().int >> 66))
        return {"id": id, "type": "need.screened", "subject": case, "data": {"need": "HOUSING", "status": "OPEN", "note": f"{n} " + "n" * 300}}

    def hand_in(self, events, may_refuse):
        lines = []
        (self.ask_armed if may_refuse else self.ask)(lines, do="publish", lines=[json.dumps(e) for e in events], wait_ms=WAIT_MS)
        for event, receipt in zip(events, lines):
            self.book.receipt(event, receipt, may_refuse)

    def read_town(self):
        """The municipality is a good receiver: what it left unread would come again each second, and its receipts behind all of that. It answers pings, too:
        whoever is silent for three of them (30 s, the time that an agent may wait for a lost receipt) has no session any more."""
        town, heard = self.town, []
        while (frame := town.receive_any(0)) is not None:
            town.pending.append(frame)
        for frame in [f for f in town.pending if f.HasField("deliver")]:
            town.pending.remove(frame)
            heard.extend(item.sequence for item in frame.deliver.items)
        if heard:
            town.ack(*heard)

    def tell(self, case):
        """Events of the municipality that the agent is to get."""
        self.read_town()
        event = self.town.proto.event
        receipts = self.town.publish(*[self.town.content("need.status-changed", case, event.NeedStatusChanged(need=need, status=3, note="s" * 300)) for need in (1, 2, 3)])
        if any(r.result != ACCEPTED for r in receipts):
            self.book.wrong(f"the broker does not take what the municipality says: {receipts[0]}")
        self.book.sent.setdefault(case, set()).update(r.sequence for r in receipts)

    def held(self, case):
        return [int(line["sequence"]) for line in self.ask_armed(do="inbox", all=True, case=case) or []]

    def until_held(self, case, seconds):
        """Whether all that was sent to it is there; the same listed twice is never right."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read_town()
            numbers = self.held(case)
            if len(set(numbers)) != len(numbers):
                self.book.wrong(f"the inbox has something of {case} twice: {sorted(numbers)}")
            if set(numbers) >= self.book.sent.get(case, set()):
                return True
        return False

    def prepare(self, phase):
        self.read_town()
        if phase in ("first start", "start"):
            self.terminate()
            if phase == "first start":
                subprocess.run(["rm", "-rf", os.path.join(self.folder, "agents", "care-a")], check=True)
            return None
        self.n += 1
        case = f"C-{self.n}"
        self.book_case(case)
        if phase in ("done", "purge"):
            self.tell(case)
            if not self.until_held(case, DEADLINE):
                self.book.wrong(f"what was sent of {case} does not arrive")
        if phase == "purge":
            self.country.control(do="erase", case=case, order="art. 17")
        return case

    def book_case(self, case):
        custody = {**self.need(case, 0), "type": "custody.started", "data": {"start": "2026-01-05T08:00:00Z", "origin": "0344", "destination": "0344"}}
        self.hand_in([custody], False)
        self.wait_empty()

    def wait_empty(self):
        def empty():
            self.read_town()
            return self.ask(do="status")[0]["outbox"]["waiting"] == 0

        wait_for(empty, "the outbox to be empty", SLOW)

    def run(self, phase, case):
        {"first start": lambda: self.launch(self.first_config), "start": lambda: self.launch(self.config), "stop": self.terminate, "reload": self.reload,
         "handing in": lambda: self.hand_in([self.need(case, n) for n in range(3)], True), "delivery": lambda: self.deliver(case), "done": lambda: self.deal(case),
         "purge": lambda: self.purge(case)}[phase]()

    def deliver(self, case):
        self.tell(case)
        self.until_held(case, self.patience)

    def deal(self, case):
        for line in self.ask_armed(do="done", sequences=sorted(self.book.sent[case])) or []:
            if line["result"] == "done":
                self.book.done.add(int(line["sequence"]))

    def reload(self):
        mark = self.mark()
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + PATIENCE
        while self.alive and time.monotonic() < end and not re.search("reload=", self.log_from(mark)):
            self.ask_armed(do="status")

    def purge(self, case):
        """The other operator confirms the erasure: the agent is told to destroy what it holds of the case."""
        with other_operator(self.folder):
            _, end = self.country.control(do="erase", case=case, order="art. 17, seen", confirm=True)
        if end["end"] == "ok":
            self.book.purged.add(case)
            self.until_purged(case, PATIENCE)

    def until_purged(self, case, seconds):
        sent, end = self.book.sent.get(case, set()), time.monotonic() + seconds
        while time.monotonic() < end:
            self.read_town()
            if not set(self.held(case)) & sent:
                return True
        return False

    # --- what must hold afterwards

    def settle(self, phase, case):
        if phase == "first start":
            if self.alive:
                self.terminate()
            if not self.launch(self.first_config):
                self.book.wrong(f"behind a first start that failed it does not start: {self.log_from(max(0, self.mark() - 600))}")
            else:
                self.ask(do="status")
                self.terminate()
        if not self.alive or self.first:
            self.restart()
        if case is None:
            return
        self.wait_empty()
        for event in [e for e in self.book.promised.values() if e["subject"] == case and case not in self.book.purged]:
            self.hand_in([event], False)
            if event["id"] not in self.book.sequence:
                self.book.wrong(f"{event['id']} was in the outbox and has no receipt")
        if case in self.book.purged:
            if not self.until_purged(case, DEADLINE):
                self.book.wrong(f"{case} was to be destroyed and is held: {self.held(case)}")
        elif not self.until_held(case, DEADLINE):
            self.book.wrong(f"of {case} the broker has {sorted(self.book.sent[case])} for it, and it holds {sorted(self.held(case))}")
        back = {int(line["sequence"]) for line in self.ask(do="inbox", case=case)} & self.book.done
        if back:
            self.book.wrong(f"what was dealt with is back: {sorted(back)}")

    def whole(self):
        """The broker's log has everything that was promised, once, where the receipts say."""
        self.wait_empty()
        audit = self.country.peer("audit-nl").hello()
        _, items, last = audit.ask("replay", credit=1000000, purpose="the end")
        found = {}
        for item in items:
            if not item.erased:
                found.setdefault(audit.opened(item).id, []).append(item.sequence)
        if last.code:
            self.book.wrong(f"no replay: {last.code}")
        for id, event in self.book.promised.items():
            if event["subject"] not in self.book.purged and found.get(id) != [int(self.book.sequence.get(id, 0))]:
                self.book.wrong(f"{event['type']} {id} was promised with sequence {self.book.sequence.get(id)}, and the log has it at {found.get(id)}")
        wait_for(lambda: not any(q["agency"] == "pi-utrecht" for q in self.country.control(do="queues")[0]), "what waits for pi-utrecht to be acknowledged")
