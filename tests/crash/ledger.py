"""What was promised and what was seen, written down outside of broker and agents while they are killed; judge.py holds the two against each other."""
import collections
import threading


WAKE_EACH = 16     # steps; to wake everybody at each one costs more than the steps


class Event:
    """One event as its publisher made it, and what became of it."""

    def __init__(self, publisher, case, type, data, id=None, stream="control"):
        self.publisher, self.case, self.type, self.data, self.id, self.stream = publisher, case, type, data, id, stream
        self.order = None          # its place among those of this stream whose first asking was answered
        self.asked = 0
        self.promised = False      # said to be in the outbox, or better
        self.result = None         # "accepted" or "refused", when that is known
        self.sequence = None
        self.code = None

    def as_json(self):
        made = {"type": self.type, "subject": self.case, "data": self.data}
        if self.id:
            made["id"] = self.id
        return made

    def __repr__(self):
        return f"{self.publisher} {self.type} {self.case} {self.id or self.stream} sequence={self.sequence}"


class Inbox:
    """What one agency's inbox has shown of itself."""

    def __init__(self):
        self.seen = {}             # sequence: the event
        self.live = set()          # sequences that were reported as they arrived
        self.done = set()          # sequences that the agent has confirmed as done
        self.closed = set()        # those of them from before the present watch began
        self.before = set()        # sequences that were there before the present watch began
        self.top = {}              # case: the highest sequence known to have been there already
        self.by_id = {}            # event id: sequence
        self.final = {}            # case: {sequence: event}, when all is over


def sequence_of(event):
    return int(event["sequence"])


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.moved = threading.Condition(self.lock)
        self.progress = 0          # answers and arrivals so far
        self.goal = 0              # of those that somebody waits for
        self.events = []
        self.by_sequence = {}
        self.inboxes = collections.defaultdict(Inbox)
        self.wrongs = []           # (kind, sentence)
        self.count = collections.Counter()

    def wrong(self, kind, text):
        self.wrongs.append((kind, text))

    def step(self):
        """Wakes who waits for the goal at once, and who has nothing to say now and then."""
        self.progress += 1
        if self.progress == self.goal or self.progress % WAKE_EACH == 0:
            self.moved.notify_all()

    # --- publishing

    def handed_in(self, events):
        """Written down before anybody is told of them."""
        with self.lock:
            for event in events:
                if event.asked == 0:
                    self.events.append(event)
                event.asked += 1

    def answered(self, event, receipt, order=None):
        with self.lock:
            self.step()
            self.count[receipt["result"]] += 1
            if event.asked == 1 and order is not None:
                event.order = order
            if event.id is None:
                event.id = receipt.get("id")
            elif receipt.get("id") != event.id:
                self.wrong("dishonest", f"{event}: the receipt is about {receipt.get('id')}")
            {"queued": self.queued, "accepted": self.took, "duplicate": self.took, "refused": self.refused}.get(receipt["result"], self.odd)(event, receipt)

    def queued(self, event, receipt):
        event.promised = True

    def odd(self, event, receipt):
        self.wrong("dishonest", f"{event}: {receipt}")

    def took(self, event, receipt):
        sequence = sequence_of(receipt)
        if event.result == "refused":
            self.count["accepted after refusal"] += 1       # allowed: domain.md 3.2
        if event.sequence not in (None, sequence):
            self.wrong("dishonest", f"{event}: another receipt says sequence {sequence}")
        if event.promised and event.result is None and receipt["result"] == "accepted":
            self.wrong("lost", f"{event}: it was in the outbox, and had to be handed in again")
        other = self.by_sequence.setdefault(sequence, event)
        if other is not event:
            self.wrong("dishonest", f"{event}: its sequence {sequence} belongs to {other}")
        event.result, event.sequence, event.promised = "accepted", sequence, True

    def refused(self, event, receipt):
        if event.result == "accepted":
            self.wrong("dishonest", f"{event}: accepted before, now refused: {receipt.get('code')}")
            return
        event.result, event.code = "refused", receipt.get("code")
        self.count[f"refused {event.type} {receipt.get('code')}"] += 1

    # --- what arrives

    def begins(self, agency):
        """A new watch over this inbox: everything that was seen of it until now was there before."""
        with self.lock:
            inbox = self.inboxes[agency]
            inbox.before, inbox.closed = set(inbox.seen), set(inbox.done)
            for event in inbox.seen.values():
                self.raise_top(inbox, event)

    @staticmethod
    def raise_top(inbox, event):
        case, sequence = event["subject"], sequence_of(event)
        inbox.top[case] = max(inbox.top.get(case, 0), sequence)

    def note(self, agency, inbox, event):
        sequence = sequence_of(event)
        known = inbox.by_id.setdefault(event["id"], sequence)
        if known != sequence:
            self.wrong("twice", f"{agency}: {event['id']} came as sequence {known} and as {sequence}")
        first = inbox.seen.setdefault(sequence, event)
        if first["id"] != event["id"]:
            self.wrong("twice", f"{agency}: sequence {sequence} is {first['id']} and {event['id']}")

    def listed(self, agency, events, earlier):
        """What the inbox shows as not done. earlier: listed before the watch, so nothing that arrives from now on may be older."""
        with self.lock:
            inbox = self.inboxes[agency]
            for event in events:
                sequence = sequence_of(event)
                if sequence in inbox.done:
                    self.wrong("twice", f"{agency}: sequence {sequence} was done and is back")
                self.note(agency, inbox, event)
                if earlier:
                    inbox.before.add(sequence)
                    self.raise_top(inbox, event)

    def arrived(self, agency, event, first=False):
        """A line of the watch. first: its first line, which may be of something that was there before."""
        with self.lock:
            self.step()
            inbox = self.inboxes[agency]
            sequence, case = sequence_of(event), event["subject"]
            if sequence in inbox.closed:
                self.wrong("twice", f"{agency}: sequence {sequence} was done and arrived again")
            elif not first and (sequence in inbox.live or sequence in inbox.before):
                self.wrong("twice", f"{agency}: sequence {sequence} arrived again")
            if not first and sequence < inbox.top.get(case, 0):
                self.wrong("order", f"{agency}: {case}: sequence {sequence} arrived behind {inbox.top[case]}")
            self.note(agency, inbox, event)
            self.raise_top(inbox, event)
            if not first:
                inbox.live.add(sequence)

    def dealt_with(self, agency, sequences):
        with self.lock:
            self.inboxes[agency].done.update(sequences)

    def ends(self, agency, case, events):
        """Everything that the inbox holds of a case when all is over."""
        with self.lock:
            self.inboxes[agency].final[case] = {sequence_of(e): e for e in events}
