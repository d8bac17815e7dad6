"""Proves that ledger and judge find what they are there for: a small sound history passes, and the same history with one thing wrong in it does not."""
from judge import Judge, judge_commands, judge_files
from ledger import Event, Ledger

NAME = "C-1"
CUT = 14
STARTED = {"start": "2027-02-01T09:00:00Z", "origin": "0344", "destination": "0344"}
PLAN = [       # publisher, type, payload, sequence, receivers
    ("pi-utrecht", "custody.started", STARTED, 2, ("gm0344",)),
    ("pi-utrecht", "need.screened", {"need": "DEBT", "status": "OPEN", "note": "first"}, 5, ("gm0344",)),
    ("gm0344", "need.status-changed", {"need": "DEBT", "status": "NONE", "note": "second"}, 8, ("pi-utrecht",)),
    ("pi-utrecht", "need.screened", {"need": "WORK", "status": "OPEN", "note": "third"}, 11, ("gm0344",)),
]


def seen(event, sequence, **other):
    made = {"id": event.id, "type": "nl.reentry." + event.type, "subject": event.case, "source": "urn:nld:oin:00000099000000000000:systeem:" + event.publisher,
            "sequence": f"{sequence:020d}", "recordedtime": "2027-02-01T10:00:00Z", "data": event.data}
    return {**made, **other}


def receipt(event, sequence, result="accepted", **other):
    return {"id": event.id, "result": result, "sequence": f"{sequence:020d}", **other}


class History:
    """The sound history, one step at a time, so that a test can leave a step out or put another in its place."""

    def __init__(self):
        self.ledger = Ledger()
        self.events = [Event(publisher, NAME, type, data, f"id-{i}") for i, (publisher, type, data, _, _) in enumerate(PLAN)]
        self.publish()
        for agency in ("gm0344", "pi-utrecht"):
            self.ledger.begins(agency)
            for event, (_, _, _, sequence, receivers) in zip(self.events, PLAN):
                if agency in receivers:
                    self.arrive(agency, event, sequence)
            self.end(agency)

    def publish(self):
        for i, (event, plan) in enumerate(zip(self.events, PLAN)):
            self.ledger.handed_in([event])
            self.ledger.answered(event, receipt(event, plan[3]), i)
        for event, plan in zip(self.events, PLAN):
            self.again(event, plan[3])

    def again(self, event, sequence):
        self.ledger.handed_in([event])
        self.ledger.answered(event, receipt(event, sequence, "duplicate"))

    def arrive(self, agency, event, sequence):
        self.ledger.arrived(agency, seen(event, sequence))

    def end(self, agency):
        self.ledger.ends(agency, NAME, list(self.ledger.inboxes[agency].seen.values()))

    def kinds(self):
        return {kind for kind, _ in Judge(self.ledger, CUT, 1801480000).all()}


def ledger_passes_what_is_sound():
    """the ledger finds nothing wrong in a sound history"""
    return History().kinds() == set()


def ledger_finds_what_is_lost():
    """the ledger finds an accepted event that never arrived, one that left the inbox, and one that the outbox forgot"""
    class NeverArrived(History):
        def arrive(self, agency, event, sequence):
            if sequence != 5:
                super().arrive(agency, event, sequence)

    class LeftTheInbox(History):
        def end(self, agency):
            self.ledger.ends(agency, NAME, [e for s, e in self.ledger.inboxes[agency].seen.items() if s != 5])

    class LeftTheOutbox(History):
        def publish(self):
            self.ledger.handed_in(self.events[:1])
            self.ledger.answered(self.events[0], {"id": "id-0", "result": "queued"}, 0)
            super().publish()

    class NeverAnswered(History):
        def publish(self):
            super().publish()
            late = Event("pi-utrecht", NAME, "custody.leave-started", {}, "id-late")
            self.ledger.handed_in([late])
            self.ledger.answered(late, {"id": "id-late", "result": "queued"}, 9)

    return all(h().kinds() == {"lost"} for h in (NeverArrived, LeftTheInbox, LeftTheOutbox, NeverAnswered))


def ledger_finds_what_came_twice():
    """the ledger finds a sequence that arrived again, an id under two sequences, and a thing that was done and is back"""
    class Again(History):
        def arrive(self, agency, event, sequence):
            super().arrive(agency, event, sequence)
            if sequence == 11:
                super().arrive(agency, event, sequence)

    class AgainAfterRestart(History):
        def end(self, agency):
            self.ledger.begins(agency)
            if agency == "gm0344":
                self.arrive(agency, self.events[3], 11)
            super().end(agency)

    class DoneAndBack(History):
        def end(self, agency):
            self.ledger.dealt_with(agency, {2})
            self.ledger.begins(agency)
            self.ledger.listed(agency, [e for s, e in self.ledger.inboxes[agency].seen.items() if s == 2], True)
            super().end(agency)

    other = History()
    other.ledger.arrived("gm0344", seen(other.events[3], 14))
    return all(h().kinds() == {"twice"} for h in (Again, AgainAfterRestart, DoneAndBack)) and "twice" in other.kinds()


def ledger_finds_disorder():
    """the ledger finds events that arrived, or were logged, in another order than they were handed in"""
    class Arrived(History):
        def arrive(self, agency, event, sequence):
            if sequence == 5:
                return
            super().arrive(agency, event, sequence)
            if sequence == 11:
                super().arrive(agency, self.events[1], 5)

    class AfterRestart(History):
        def end(self, agency):
            if agency == "gm0344":
                self.ledger.begins(agency)
                del self.ledger.inboxes[agency].seen[5]
                self.ledger.inboxes[agency].before.discard(5)
                self.ledger.inboxes[agency].live.discard(5)
                self.arrive(agency, self.events[1], 5)
            super().end(agency)

    class Logged(History):
        def publish(self):
            super().publish()
            self.events[1].order = 7

    return all(h().kinds() == {"order"} for h in (Arrived, AfterRestart, Logged))


def ledger_finds_what_nobody_published():
    """the ledger finds an event that nobody published, a refused one, one for another agency, and a broker's own without a reason"""
    def with_one(agency, event, sequence=14, **other):
        history = History()
        history.ledger.arrived(agency, seen(event, sequence, **other))
        return history.kinds()

    def refused():
        history = History()
        event = Event("gm0344", NAME, "need.screened", {"need": "DEBT", "status": "OPEN"}, "id-9")
        history.ledger.handed_in([event])
        history.ledger.answered(event, receipt(event, 14, "refused", code="no-such-case"), 9)
        history.ledger.arrived("pi-utrecht", seen(event, 14))
        return history.kinds()

    stranger = Event("gm0344", NAME, "need.screened", {}, "id-stranger")
    notice = Event("broker-nl", NAME, "release.approaching", {"milestone": 7, "skipped": []}, "id-notice")
    history = History()
    history.ledger.arrived("care-a", seen(history.events[1], 5))
    return (with_one("pi-utrecht", stranger) == {"invented"} and refused() == {"invented"} and history.kinds() == {"invented"}
            and with_one("gm0758", notice) == {"invented"} and with_one("gm0344", notice, causationid="id-unknown") == {"invented"}
            and with_one("gm0344", notice, CUT + 1, causationid="id-unknown") == set() and with_one("gm0344", notice) == set())


def ledger_finds_dishonest_receipts():
    """the ledger finds another sequence for the same id, one sequence for two ids, and a refusal of what was accepted"""
    def after(event, answer):
        history = History()
        history.ledger.handed_in([history.events[event]])
        history.ledger.answered(history.events[event], answer(history.events[event]))
        return history.kinds()

    class OneForTwo(History):
        def publish(self):
            super().publish()
            other = Event("pi-utrecht", "C-2", "custody.started", STARTED, "id-other")
            self.ledger.handed_in([other])
            self.ledger.answered(other, receipt(other, 11), 9)

    return ("dishonest" in after(1, lambda e: receipt(e, 6, "duplicate")) and after(1, lambda e: receipt(e, 5, "refused", code="busy")) == {"dishonest"}
            and "dishonest" in OneForTwo().kinds())


def ledger_finds_wrong_contents():
    """the ledger finds a payload that changed on its way"""
    class Changed(History):
        def arrive(self, agency, event, sequence):
            self.ledger.arrived(agency, seen(event, sequence, data={**event.data, "note": "other"}) if sequence == 11 else seen(event, sequence))

    return Changed().kinds() == {"wrong"}


def ledger_follows_what_leaves_the_inbox():
    """the ledger finds a missing, a torn and a doubled file in out/, and a command that did not run, ran again or ran out of order"""
    import json

    def kinds(judge, change):
        history = History()
        lines = [json.dumps(e) for _, e in sorted(history.ledger.inboxes["gm0344"].final[NAME].items())]
        change(lines)
        judge(history.ledger, lines)
        return {kind for kind, _ in history.ledger.wrongs}

    def files(change):
        return kinds(lambda ledger, lines: judge_files(ledger, "gm0344", {f"{i}.json": line for i, line in enumerate(lines)}, CUT), change)

    def commands(change):
        return kinds(lambda ledger, lines: judge_commands(ledger, "gm0344", lines, 0, CUT), change)

    def tear(lines):
        lines[0] = lines[0][:-9]

    return (files(lambda l: None) == set() and files(lambda l: l.pop()) == {"lost"} and "wrong" in files(tear) and files(lambda l: l.append(l[0])) == {"twice"}
            and commands(lambda l: None) == set() and commands(lambda l: l.pop()) == {"lost"} and commands(lambda l: l.append(l[0])) == {"twice"}
            and commands(lambda l: l.reverse()) == {"order"})


# --- relations that end and begin, deadlines

LONG_PLAN = [
    ("pi-utrecht", "custody.started", {"start": "2027-02-01T09:00:00Z", "origin": "0344", "destination": "0599"}, 2, ("gm0344", "gm0599")),
    ("pi-utrecht", "release.date-set", {"date": "2027-02-09", "kind": "EXPECTED"}, 4, ("gm0344", "gm0599")),
    ("gm0344", "handover.offered", {"handover": "H-1", "to": "care-a", "need": "CARE"}, 10, ("care-a",)),
    ("gm0344", "destination.changed", {"destination": "0758"}, 20, ("pi-utrecht",)),
    ("care-a", "handover.accepted", {"handover": "H-1", "start_date": "2027-02-09"}, 30, ("gm0344", "gm0758", "pi-utrecht")),
    ("pi-utrecht", "release.recorded", {"released_at": "2027-02-08T09:00:00Z"}, 40, ()),
]
STAY = ("gm0344", "pi-utrecht")
MADE = [       # by the broker: type, payload, sequence, receivers, cause
    ("release.approaching", {"milestone": 7, "skipped": [], "release_date": "2027-02-09"}, 5, (*STAY, "gm0599"), 1),
    ("handover.delivered", {"handover": "H-1", "offer": 1}, 12, ("gm0344",), 2),
    ("case.withdrawn", {}, 21, ("gm0599",), None),
    ("case.snapshot", {}, 22, ("gm0758",), None),
    ("case.snapshot", {}, 31, ("care-a",), None),
    ("release.approaching", {"milestone": 2, "skipped": [], "release_date": "2027-02-09"}, 35, (*STAY, "gm0758", "care-a"), None),
    ("release.confirmed", {"released_at": "2027-02-08T09:00:00Z"}, 41, (*STAY, "gm0758", "care-a"), None),
]


def long_history(without=(), more=()):
    """Kinds that the judge finds in the longer history without the broker's own events of these sequences, and with others."""
    ledger = Ledger()
    events = [Event(publisher, NAME, type, data, f"id-{i}") for i, (publisher, type, data, _, _) in enumerate(LONG_PLAN)]
    arrivals = []
    for i, (event, plan) in enumerate(zip(events, LONG_PLAN)):
        ledger.handed_in([event])
        ledger.answered(event, receipt(event, plan[3]), i)
        arrivals += [(plan[3], agency, event, {}) for agency in plan[4]]
    for type, data, sequence, receivers, cause in [m for m in MADE if m[2] not in without] + list(more):
        event = Event("broker-nl", NAME, type, data, f"made-{sequence}")
        arrivals += [(sequence, agency, event, {} if cause is None else {"causationid": events[cause].id}) for agency in receivers]
    for sequence, agency, event, other in sorted(arrivals, key=lambda a: a[:2]):
        ledger.arrived(agency, seen(event, sequence, recordedtime="2027-02-01T09:00:00Z", **other))
    for agency in ("gm0344", "gm0599", "gm0758", "pi-utrecht", "care-a"):
        ledger.ends(agency, NAME, [e for s, e in ledger.inboxes[agency].seen.items() if agency != "gm0599" or s >= 21])
    return {kind for kind, _ in Judge(ledger, 50, 1804000000).all()}


def ledger_follows_relations_and_deadlines():
    """the ledger finds a missing or a second notice, withdrawal, snapshot, confirmation or acknowledgement, and what comes after a relation has ended"""
    notice = ("release.approaching", {"milestone": 2, "skipped": [], "release_date": "2027-02-09"}, 37, STAY, None)
    old = ("release.approaching", {"milestone": 1, "skipped": [], "release_date": "2027-02-19"}, 37, STAY, None)
    late = ("gap.detected", {"need": "DEBT", "reason": "NOT_ARRANGED"}, 25, ("gm0599",), None)
    missing = all(long_history(without=(m[2],)) == {"lost"} for m in MADE)
    twice = all(long_history(more=[(m[0], m[1], m[2] + 1, m[3], m[4])]) == {"twice"} for m in MADE if m[2] not in (21, 22)) and long_history(more=[notice]) == {"twice"}
    return long_history() == set() and missing and twice and long_history(more=[old]) == {"wrong"} and long_history(more=[late]) == {"invented"}


TESTS = [ledger_passes_what_is_sound, ledger_finds_what_is_lost, ledger_finds_what_came_twice, ledger_finds_disorder, ledger_finds_what_nobody_published,
         ledger_finds_dishonest_receipts, ledger_finds_wrong_contents, ledger_follows_what_leaves_the_inbox,
         ledger_follows_relations_and_deadlines]
