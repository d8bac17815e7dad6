"""One run: traffic, kills at random moments, then quiet, a last look at everything, and the judgement."""
import os
import random
import time

from control import Down
from country import AGENCIES, RATE, SPOOL, EXEC, Country, wait_for
from judge import Judge, commands_run, judge_commands, judge_files, owed
from ledger import Ledger
from traffic import Dropper, Publisher, Watcher, World

PER_KILL = 30              # events that each publisher may hand in from one kill to the next
IDLE_SECONDS = 1.0         # a kill comes at the latest after so long without a sign of life
SETTLE_SECONDS = 180       # everything handed in must have arrived by then
LIE_DOWN_SECONDS = 0.4     # at most, before a killed daemon is started again
QUIET_HOURS = 3            # shown: in which the last deadlines of 45 minutes pass
ASK_AT_ONCE = 500
VICTIMS = (("broker", 45), ("agent", 35), ("both", 10), ("all", 10))


class Run:
    def __init__(self, bin_folder, seed, broker_program=None, say=print, country=None):
        self.rng = random.Random(f"{seed} kills")
        self.ledger = Ledger()
        self.country = country or Country(bin_folder, broker_program)
        self.world = World(self.country, self.ledger, seed)
        self.say = say
        self.kills = 0
        self.publishers = [Publisher(self.world, a) for a in AGENCIES] + [Dropper(self.world, SPOOL[0])]
        self.watchers = [Watcher(self.world, a) for a in AGENCIES]

    def close(self, keep=False):
        self.world.stop()
        for watcher in self.watchers:
            watcher.stopping = True
        self.country.close(keep)

    def start(self):
        self.country.start()
        for thread in self.publishers + self.watchers:
            thread.start()

    # --- killing

    def until_progress(self, steps, seconds):
        """Until so much more has been answered or has arrived, or that time has passed."""
        ledger = self.ledger
        with ledger.lock:
            ledger.goal = goal = ledger.progress + steps
            ledger.moved.wait_for(lambda: ledger.progress >= goal, seconds)

    def until_moment(self, seconds):
        """Busy for a moment, so that a kill hits anything, not just what follows an answer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def victims(self):
        kind = self.rng.choices([k for k, _ in VICTIMS], [w for _, w in VICTIMS])[0]
        agent = self.country.agents[self.rng.choice(list(AGENCIES))]
        broker = self.country.broker
        return {"broker": [broker], "agent": [agent], "both": [broker, agent], "all": [broker, *self.country.agents.values()]}[kind]

    def round(self, seconds=IDLE_SECONDS):
        """Some traffic: a random part of what is granted, or until nothing moves any more."""
        self.world.grant(PER_KILL * len(self.publishers))
        self.until_progress(self.rng.randint(1, PER_KILL * len(self.publishers)), seconds)

    def kill_once(self):
        self.round()
        self.until_moment(self.rng.random() * 0.003)
        victims = self.victims()
        for daemon in victims:
            if not daemon.kill():
                self.ledger.wrong("died", f"{daemon.name} had ended by itself: {daemon.tail()}")
        self.kills += 1
        if self.rng.random() < 0.5:
            self.until_progress(self.rng.randint(1, PER_KILL), self.rng.random() * LIE_DOWN_SECONDS)
        for daemon in victims:
            daemon.start()
            if self.rng.random() < 0.8:      # else the next kill may find it starting
                daemon.wait_up()

    # --- quiet

    def settle(self, seconds=SETTLE_SECONDS):
        """Everybody is up; what was handed in gets its answer, and what was accepted arrives."""
        end = time.monotonic() + seconds
        self.world.stop()
        for daemon in self.country.daemons():
            if daemon.ended_itself() and not self.ledger.wrongs:
                self.ledger.wrong("died", f"{daemon.name} ended by itself: {daemon.tail()}")
            if daemon.process is None or daemon.ended_itself():
                daemon.start()
            daemon.wait_up()
        for publisher in self.publishers:
            publisher.join(end - time.monotonic())
        self.outboxes_empty(end)
        for publisher in self.publishers[:-1]:
            self.ask_again(self.country.agents[publisher.agency], publisher, [e for e in self.ledger.events if e.stream == "control" and e.publisher == publisher.agency])
        self.outboxes_empty(end)
        dropper = self.publishers[-1]
        wait_for(dropper.settled, "the spool to be empty", end - time.monotonic())
        dropper.read_answers()
        self.until_shown(self.country.now() + QUIET_HOURS * 3600)
        # Deadlines that fall due during the last look would be in some inboxes and not in others.
        self.country.broker.kill()
        self.country.slow_down()
        self.country.broker.start()
        self.country.broker.wait_up()
        cut = self.country.broker.answers()["last_sequence"]
        wait_for(lambda: self.delivered(cut), "the queues to be empty", end - time.monotonic())
        return cut

    def outboxes_empty(self, end):
        def waiting():
            return all((a.answers() or {"outbox": {"waiting": 1}})["outbox"]["waiting"] == 0 for a in self.country.agents.values())
        wait_for(waiting, "the outboxes to be empty", end - time.monotonic())

    def until_shown(self, moment):
        wait_for(lambda: self.country.now() >= moment, "shown time to pass", 10 + (moment - self.country.now()) / RATE)

    def delivered(self, cut):
        return all(q["queued"] == 0 or q["oldest_sequence"] > cut for q in self.country.broker.ask(do="queues") if q["agency"] in AGENCIES)

    def ask_again(self, agent, publisher, events):
        """The same ids once more, except refused ones: what was promised must be a duplicate now, with the sequence that was told before."""
        events = [e for e in events if e.result != "refused"]
        publisher.daemon_of = agent
        publisher.drop()
        for i in range(0, len(events), ASK_AT_ONCE):
            publisher.hand_in(events[i:i + ASK_AT_ONCE], wait_ms=10000)

    # --- the last look

    def judge(self, cut):
        for watcher in self.watchers:
            watcher.stopping = True
        for watcher in self.watchers:
            watcher.join(10)
        now = self.country.now()       # what falls due while we look may be in the inboxes or not
        cases = sorted({e.case for e in self.ledger.events})
        for name, agent in self.country.agents.items():
            for case in cases:
                self.ledger.ends(name, case, agent.ask(do="inbox", all=True, case=case))
        Judge(self.ledger, cut, now).all()

    def systems(self, cut):
        """What left the inboxes for the agencies' own systems: files in out/, and runs of a command."""
        folder = self.country.path(f"spool/{SPOOL[1]}/out")
        judge_files(self.ledger, SPOOL[1], {n: self.read(os.path.join(folder, n)) for n in os.listdir(folder) if not n.startswith(".")}, cut)
        log = self.country.path("exec.log")
        wanted = owed(self.ledger, EXEC, cut)
        self.until_progress_of(lambda: wanted <= set(commands_run(self.read(log).splitlines())))
        judge_commands(self.ledger, EXEC, self.read(log).splitlines(), self.country.agents[EXEC].kills, cut)

    @staticmethod
    def until_progress_of(condition):
        """Until it holds, or has had its time: the judgement says what is missing."""
        try:
            wait_for(condition, "the commands")
        except TimeoutError:
            pass

    @staticmethod
    def read(path):
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as f:
            return f.read()

    def rebuilt(self):
        answer = self.country.broker.ask(do="rebuild")[0]
        if not answer["equal"]:
            self.ledger.wrong("wrong", f"the state rebuilt from the log differs: {answer.get('difference')}")

    def new_agents(self, cut):
        """Agents that know nothing, with the same keys: now the broker itself must know each id, and must not deliver what was acknowledged."""
        for name, agent in list(self.country.agents.items()):
            self.ends_well(agent)
            fresh = self.country.agent(name, "-2")
            self.country.others.append(fresh)
            fresh.start()
            fresh.wait_up()
        for publisher, fresh in zip(self.publishers, self.country.others):
            events = [e for e in self.ledger.events if e.publisher == publisher.agency and e.result == "accepted" and e.id]
            self.ask_again(fresh, publisher, events)
            old = [e["sequence"] for e in fresh.ask(do="inbox", all=True) if int(e["sequence"]) <= cut]
            if old:
                self.ledger.wrong("twice", f"{fresh.name}: {len(old)} events that were acknowledged came again: {old[:5]}")

    def ends_well(self, daemon):
        code = daemon.stop()
        if code != 0:
            self.ledger.wrong("died", f"{daemon.name}: exit code {code} after SIGTERM")

    def finish(self):
        """All checks behind the last kill."""
        cut = self.settle()
        self.judge(cut)
        self.systems(cut)
        self.rebuilt()
        self.new_agents(cut)
        for daemon in self.country.others + [self.country.broker]:
            self.ends_well(daemon)
        for failure in self.world.failures:
            self.ledger.wrong("wrong", failure)
        for daemon in self.country.daemons():
            for error in daemon.errors():
                self.ledger.wrong("wrong", f"error logged: {error}")
        return self.ledger.wrongs
