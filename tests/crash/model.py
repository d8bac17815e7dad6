"""Who had to be told what: the rules of domain.md 2 and 3.2, as far as the traffic of this test goes, applied to what the broker accepted, in its order."""
import bisect

from country import AGENCIES

ROLE = {name: role for name, (role, _, _) in AGENCIES.items()}
BY_CODE = {code: name for name, (_, _, codes) in AGENCIES.items() for code in codes}
TO = {     # type: relations that receive it
    "sentence.imposed": "municipality custodian",
    "custody.started": "municipality authority provider",
    "custody.leave-started": "municipality",
    "release.date-set": "municipality authority provider",
    "release.recorded": "",
    "need.screened": "municipality custodian",
    "need.status-changed": "municipality custodian",
    "destination.changed": "custodian kept",
    "handover.offered": "candidate",
    "handover.received": "offerer",
    "handover.accepted": "offerer municipality custodian",
    "handover.declined": "offerer municipality",
    "handover.expired": "offerer municipality",    # made by the broker; the candidate, whose relation ends, gets it too
}


class Case:
    """One case, folded over its accepted events by sequence."""

    def __init__(self, events):
        self.origin = self.destination = self.custodian = self.authority = None
        self.offers = {}           # handover: (offerer, candidate)
        self.candidates, self.providers = set(), set()
        self.copies = []           # (sequence, agency, event): who had to get it
        self.losses, self.gains = [], []       # (sequence, agency, event that did it)
        self.made_offers = []      # (offerer, handover, event)
        self.ended = []            # events of made_offers that were declined or expired
        self.versions = []         # (sequence, event) of the release date
        self.recorded = None       # the event
        self.started = None
        self.turns = []            # (sequence, relations from then on, candidates from then on)
        for event in sorted(events, key=lambda e: e.sequence):
            self.fold(event)

    def municipalities(self):
        return {BY_CODE[c] for c in (self.origin, self.destination) if c in BY_CODE}

    def relations(self):
        return self.municipalities() | self.providers | {a for a in (self.custodian, self.authority) if a}

    def at(self, sequence):
        """Relations and candidates as they were just after that position."""
        i = bisect.bisect_right(self.turns, sequence, key=lambda t: t[0])
        return self.turns[i - 1][1:] if i else (set(), set())

    def fold(self, event):
        before = self.municipalities()
        data, kind = event.data, event.type.rsplit(".", 1)[1]
        getattr(self, "on_" + event.type.replace(".", "_").replace("-", "_"), lambda e, d: None)(event, data)
        offer = self.offers.get(data.get("handover"), (None, None))
        named = {"municipality": self.municipalities(), "custodian": {self.custodian}, "authority": {self.authority}, "provider": self.providers,
                 "kept": before & self.municipalities(), "candidate": {offer[1]}, "offerer": {offer[0]}}
        for agency in set().union(*(named[r] for r in TO[event.type].split())) - {None, event.publisher}:
            self.copies.append((event.sequence, agency, event))
        if kind in ("accepted", "declined", "expired"):
            self.candidates = self.candidates - {offer[1]}
        self.turns.append((event.sequence, self.relations(), set(self.candidates)))

    def on_sentence_imposed(self, event, data):
        self.authority = event.publisher

    def on_custody_started(self, event, data):
        self.custodian, self.origin, self.destination, self.started = event.publisher, data["origin"], data["destination"], event

    def on_release_date_set(self, event, data):
        self.versions.append((event.sequence, event))

    def on_release_recorded(self, event, data):
        self.recorded = event

    def on_destination_changed(self, event, data):
        before = self.relations()
        self.destination = data["destination"]
        after = self.relations()
        self.losses += [(event.sequence, a, event) for a in before - after]
        self.gains += [(event.sequence, a, event) for a in after - before]

    def on_handover_offered(self, event, data):
        self.offers[data["handover"]] = (event.publisher, data["to"])
        self.candidates = self.candidates | {data["to"]}
        self.made_offers.append((event.publisher, data["handover"], event))

    def on_handover_declined(self, event, data):
        taker = self.offers[data["handover"]][1]
        self.ended += [e for _, h, e in self.made_offers if h == data["handover"]]
        if taker not in self.relations():
            self.losses.append((event.sequence, taker, event))

    def on_handover_expired(self, event, data):
        taker = self.offers.get(data["handover"], (None, None))[1]
        self.ended += [e for _, h, e in self.made_offers if h == data["handover"]]
        if taker is not None and taker not in self.relations():
            self.losses.append((event.sequence, taker, event))

    def on_handover_accepted(self, event, data):
        taker = self.offers[data["handover"]][1]
        if taker not in self.providers:
            self.gains.append((event.sequence, taker, event))
        self.providers = self.providers | {taker}
