"""What the agencies of the test do while daemons die: hand in events, watch their inboxes, deal with what came. One thread each; each draws from a sequence of its own."""
import datetime
import json
import os
import random
import threading
import time
import uuid

from control import Control, Down, Refused
from country import DEADLINE, STEP
from ledger import Event, sequence_of
from model import BY_CODE, ROLE

CODES = ("0344", "0599", "0758")
NEEDS = ("HOUSING", "INCOME", "DEBT", "WORK")
STATUS = ("OPEN", "IN_PROGRESS", "NONE", "NOT_POSSIBLE")
BATCH_MAX = 12
CASE_EVENTS = 40                       # then the release is recorded, and nobody writes about the case any more
FILES_MAX = 6                          # in in/ at one time
LEFT_OPEN = 0.02                       # share of what came that nobody deals with


def moment_text(seconds):
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """What the threads share: the country, the ledger, which cases there are, and how much may still be handed in before the next kill."""

    def __init__(self, country, ledger, seed):
        self.country, self.ledger, self.seed = country, ledger, seed
        self.lock = threading.Lock()
        self.granted = threading.Condition(self.lock)
        self.budget = 0
        self.stopping = False
        self.cases = {}                # open ones: reference → {"custodian", "origin", "n", "offer", "sentenced"}
        self.opened = 0
        self.offers = []               # offers that care has seen and not answered: (case, handover)
        self.offered = set()
        self.orders = 0
        self.failures = []             # of threads

    def grant(self, events):
        with self.lock:
            self.budget += events
            self.granted.notify_all()

    def wait_grant(self):
        """Waits until something may be handed in; False when the run is over."""
        with self.lock:
            self.granted.wait_for(lambda: self.stopping or self.budget > 0, DEADLINE)
            return not self.stopping

    def take(self, n):
        with self.lock:
            self.budget -= n
            self.orders += 1
            return self.orders << 8    # room for the lines of one batch

    def stop(self):
        with self.lock:
            self.stopping = True
            self.granted.notify_all()

    # --- cases

    def new_case(self, agency, rng):
        with self.lock:
            self.opened += 1
            return f"C-{self.opened:06d}-{rng.randrange(1 << 32):08x}"

    def open_case(self, event):
        with self.lock:
            self.cases[event.case] = {"custodian": event.publisher, "origin": event.data["origin"], "n": 0, "offer": None, "sentenced": False}

    def pick(self, rng, allowed):
        with self.lock:
            names = [n for n, c in self.cases.items() if allowed(c)]
            return rng.choice(names) if names else None

    def count(self, name):
        """How many events a case has been given, with this one."""
        with self.lock:
            if name in self.cases:
                self.cases[name]["n"] += 1
                return self.cases[name]["n"]
            return 0

    def close_case(self, name):
        with self.lock:
            self.cases.pop(name, None)

    def see_offer(self, case, handover):
        with self.lock:
            if handover not in self.offered:
                self.offered.add(handover)
                self.offers.append((case, handover))

    def take_offer(self):
        with self.lock:
            return self.offers.pop(0) if self.offers else None


class Publisher(threading.Thread):
    def __init__(self, world, agency):
        super().__init__(name=f"publisher {agency}", daemon=True)
        self.world, self.agency = world, agency
        self.rng = random.Random(f"{world.seed} {agency} publisher")
        self.daemon_of = world.country.agents[agency]
        self.connection = None
        self.again = []                # events whose asking was not answered
        self.counter = 0

    def run(self):
        try:
            while self.may_speak():
                batch = self.again if self.again and self.rng.random() < 0.6 else self.batch()
                if not batch:
                    self.until_moved()
                    continue
                self.again = []
                self.hand_in(batch)
        except Exception as error:     # told by the main thread
            self.world.failures.append(f"{self.name}: {error!r}")

    def may_speak(self):
        """An offer is answered as soon as it is seen, whatever is granted: it has a deadline."""
        return not self.world.stopping if ROLE[self.agency] == "care" else self.world.wait_grant()

    def until_moved(self):
        """Nothing to say: until somebody else has done something."""
        ledger = self.world.ledger
        with ledger.lock:
            ledger.moved.wait(0.05)

    # --- handing in

    def hand_in(self, batch, wait_ms=None):
        base = self.world.take(len(batch))
        self.world.ledger.handed_in(batch)
        lines = []
        if any(e.type == "custody.started" for e in batch):
            wait_ms = 3000             # the others can only speak of the case once it is there
        try:
            if self.connection is None:
                self.connection = Control(self.daemon_of.socket)
            self.connection.ask(lines, do="publish", lines=[json.dumps(e.as_json()) for e in batch],
                                wait_ms=self.rng.choice((0, 5, 3000)) if wait_ms is None else wait_ms)
        except (Down, Refused) as error:
            self.drop()
            if isinstance(error, Refused):
                self.world.ledger.wrong("wrong", f"{self.agency}: {error}")
        for i, (event, receipt) in enumerate(zip(batch, lines)):
            self.world.ledger.answered(event, receipt, base + i)
            if event.type == "custody.started" and event.result == "accepted":
                self.world.open_case(event)
        self.again = batch[len(lines):]
        if self.again:
            self.wait_listening()

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def wait_listening(self):
        """The daemon was killed: until it takes connections again, or the run is over."""
        end = time.monotonic() + DEADLINE
        while not self.world.stopping and time.monotonic() < end:
            try:
                self.connection = Control(self.daemon_of.socket)
                return
            except Down:
                time.sleep(STEP)

    # --- what to say

    def event(self, case, type, **data):
        self.counter += 1
        ms = int(time.time() * 1000)
        id = uuid.UUID(int=ms << 80 | 7 << 76 | self.rng.getrandbits(12) << 64 | 2 << 62 | self.rng.getrandbits(62))
        return Event(self.agency, case, type, data, str(id))

    def token(self):
        return f"{self.agency} says {self.rng.getrandbits(64):016x}"

    def now(self):
        return self.world.country.now()

    def day(self, ahead):
        return moment_text(self.now() + ahead * 86400)[:10]

    def batch(self):
        events = []
        for _ in range(self.rng.randint(1, BATCH_MAX)):
            events += getattr(self, "say_as_" + ROLE[self.agency])()
        return events

    def say_as_prison(self):
        case = self.world.pick(self.rng, lambda c: c["custodian"] == self.agency)
        if case is None or self.rng.random() < 0.06:
            return self.open_one()
        if self.world.count(case) > CASE_EVENTS:
            self.world.close_case(case)
            return [self.event(case, "release.recorded", released_at=moment_text(self.now()))]
        return [self.one_of_prison(case)]

    def open_one(self):
        case = self.world.new_case(self.agency, self.rng)
        events = [self.event(case, "custody.started", start=moment_text(self.now()), origin=self.rng.choice(CODES[:2]), destination=self.rng.choice(CODES))]
        return events + [self.one_of_prison(case) for _ in range(self.rng.randint(0, 3))]

    def one_of_prison(self, case):
        kind = self.rng.random()
        if kind < 0.4:
            return self.event(case, "release.date-set", date=self.day(self.rng.randint(3, 40)), kind=self.rng.choice(("EXPECTED", "CONFIRMED")), reason=self.token())
        if kind < 0.6:
            return self.event(case, "custody.leave-started", at=moment_text(self.now()))
        if kind < 0.9:
            return self.event(case, "need.screened", need=self.rng.choice(NEEDS), status=self.rng.choice(STATUS), note=self.token())
        return self.event(case, "destination.changed", destination=self.rng.choice(CODES), reason=self.token())

    def say_as_municipality(self):
        case = self.world.pick(self.rng, lambda c: BY_CODE[c["origin"]] == self.agency)
        if case is None:
            return []
        self.world.count(case)
        kind = self.rng.random()
        if kind < 0.1:
            return self.offer(case)
        if kind < 0.2:
            return [self.event(case, "destination.changed", destination=self.rng.choice(CODES), reason=self.token())]
        return [self.event(case, "need.status-changed", need=self.rng.choice(NEEDS), status=self.rng.choice(STATUS), note=self.token())]

    def offer(self, case):
        with self.world.lock:
            known = self.world.cases.get(case)
            if known is None or known["offer"]:
                return []
            known["offer"] = handover = f"H-{case}"
        return [self.event(case, "handover.offered", handover=handover, to="care-a", need="CARE")]

    def say_as_court(self):
        case = self.world.pick(self.rng, lambda c: not c["sentenced"])
        if case is None:
            return []
        with self.world.lock:
            if case in self.world.cases:
                self.world.cases[case]["sentenced"] = True
        return [self.event(case, "sentence.imposed", kind="DETENTION", days=self.rng.randint(1, 90))]

    def say_as_care(self):
        offer = self.world.take_offer()
        if offer is None:
            return []
        case, handover = offer
        answer = self.event(case, "handover.received", handover=handover)
        if self.rng.random() < 0.5:
            return [answer, self.event(case, "handover.declined", handover=handover, code="NO_CAPACITY", note=self.token())]
        return [answer, self.event(case, "handover.accepted", handover=handover, start_date=self.day(40))]


class Dropper(Publisher):
    """Hands in through the spool: files of lines without ids. The answers are read from done/ and failed/ when all is over."""

    def __init__(self, world, agency):
        super().__init__(world, agency)
        self.name = f"spool {agency}"
        self.rng = random.Random(f"{world.seed} {agency} spool")
        self.folder = world.country.path(f"spool/{agency}")
        self.files = {}                # name: events, a line each

    def hand_in(self, batch, wait_ms=None):
        batch = [e for e in batch if e.type != "custody.started"]
        if not batch or not os.path.isdir(self.folder + "/in") or len(os.listdir(self.folder + "/in")) >= FILES_MAX:
            self.until_moved()
            return
        base = self.world.take(len(batch))
        for i, event in enumerate(batch):
            event.id, event.stream, event.order = None, f"file {len(self.files)}", base + i
        name = f"f-{len(self.files):06d}.jsonl"
        self.world.ledger.handed_in(batch)
        self.files[name] = batch
        with open(f"{self.folder}/in/.{name}", "w", encoding="utf-8") as f:
            f.writelines(json.dumps(e.as_json()) + "\n" for e in batch)
        os.rename(f"{self.folder}/in/.{name}", f"{self.folder}/in/{name}")

    def open_one(self):
        return []                      # nobody would know when it is open

    def settled(self):
        return not any(n.endswith(".jsonl") for n in os.listdir(self.folder + "/in"))

    def read_answers(self):
        """Every line has its receipt beside the file."""
        for name, events in self.files.items():
            where = "done" if os.path.exists(f"{self.folder}/done/{name}") else "failed"
            with open(f"{self.folder}/{where}/{name}.receipts.jsonl", encoding="utf-8") as f:
                receipts = {r.pop("line"): r for r in map(json.loads, f)}
            if len(receipts) != len(events):
                self.world.ledger.wrong("lost", f"{self.agency}: {where}/{name}: {len(receipts)} receipts for {len(events)} lines")
            for line, receipt in receipts.items():
                self.world.ledger.answered(events[line - 1], receipt)


class Watcher(threading.Thread):
    """Watches one inbox as it fills, and deals with what came."""

    def __init__(self, world, agency):
        super().__init__(name=f"watcher {agency}", daemon=True)
        self.world, self.agency = world, agency
        self.rng = random.Random(f"{world.seed} {agency} watcher")
        self.socket = world.country.agents[agency].socket
        self.stopping = False

    def run(self):
        try:
            while not self.stopping:
                try:
                    self.watch()
                except Down:
                    self.until_later()     # killed: it will listen again
        except Exception as error:     # told by the main thread
            self.world.failures.append(f"{self.name}: {error!r}")

    @staticmethod
    def until_later():
        time.sleep(STEP)

    def watch(self):
        """One connection's life: what is there, then what arrives. Of the watch only the first line can be about something that was there before."""
        ledger = self.world.ledger
        with Control(self.socket) as asking, Control(self.socket) as watching:
            ledger.begins(self.agency)
            earlier = asking.ask(do="inbox")
            ledger.listed(self.agency, earlier, True)
            watching.send({"do": "inbox", "follow": True, "max": 1})
            first = watching.line(0.05)
            since = asking.ask(do="inbox")
            ledger.listed(self.agency, since, False)
            self.deal(asking, earlier + since)
            if first is not None:
                ledger.arrived(self.agency, first, True)
                self.deal(asking, [first])
            while not self.stopping:
                came = [line for line in [watching.line(0.1)] if line is not None]
                while came and len(came) < 200 and (more := watching.line(0)) is not None:
                    came.append(more)
                for line in came:
                    ledger.arrived(self.agency, line, first is None)
                    first = first or line
                self.deal(asking, came)

    def deal(self, asking, events):
        for event in events:
            if event["type"] == "nl.reentry.handover.offered" and ROLE[self.agency] == "care":
                self.world.see_offer(event["subject"], event["data"]["handover"])
        sequences = sorted({sequence_of(e) for e in events if self.rng.random() >= LEFT_OPEN})
        if not sequences:
            return
        answers = asking.ask(do="done", sequences=sequences)
        for answer in answers:
            if answer["result"] != "done":
                self.world.ledger.wrong("lost", f"{self.agency}: of sequence {answer['sequence']}, which it has shown, the agent says {answer['result']}")
        self.world.ledger.dealt_with(self.agency, {int(a["sequence"]) for a in answers})
