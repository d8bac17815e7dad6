"""Holds what was seen against what was promised. Every difference goes to the ledger as (kind, sentence):
lost, twice, order, invented, dishonest, wrong."""
import collections
import datetime
import json
import zoneinfo

from ledger import Event, sequence_of
from model import BY_CODE, Case

ZONE = zoneinfo.ZoneInfo("Europe/Amsterdam")
MILESTONES = (90, 56, 24, 14, 7, 2, 1, 0)
MARGIN = 6 * 3600                   # shown seconds before the end in which a deadline may be on its way still
PARALLEL = 4                        # commands at one time (exec.parallel)
MADE = {"release.approaching", "release.confirmed", "release.still-unknown", "screening.overdue", "case.snapshot", "case.withdrawn", "gap.detected", "gap.closed",
        "handover.delivered", "handover.reminder", "handover.expired", "handover.unplaced", "handover.reconfirm", "handover.escalated", "followup.due",
        "delivery.overdue", "need.status-changed"}
PREFIX = "nl.reentry."


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def kind_of(event):
    return event["type"].removeprefix(PREFIX)


def source_of(event):
    return event["source"].rsplit(":", 1)[1]


class Judge:
    def __init__(self, ledger, cut, now):
        """cut: the last sequence that had to be delivered by now; now: shown seconds."""
        self.ledger, self.cut, self.now = ledger, cut, now
        self.by_case = collections.defaultdict(list)
        self.by_id = {}
        for event in ledger.events:
            if event.id is not None:
                self.by_id[event.id] = event
            if event.result == "accepted":
                self.by_case[event.case].append(event)
        for event in self.expiries().values():
            self.by_case[event.case].append(event)
        self.cases = {name: Case(events) for name, events in self.by_case.items()}
        self.views = {agency: self.held(inbox) for agency, inbox in ledger.inboxes.items()}
        self.made = {e["id"] for view in self.views.values() for held in view.values() for e in held.values() if source_of(e) == "broker-nl"}

    def expiries(self):
        """sequence: what the broker ended by itself, as anybody saw it; the rules go on from there."""
        found = {}
        for inbox in self.ledger.inboxes.values():
            for sequence, seen in [*inbox.seen.items(), *(item for events in inbox.final.values() for item in events.items())]:
                if kind_of(seen) == "handover.expired" and source_of(seen) == "broker-nl" and seen["subject"] in self.by_case:
                    event = found[sequence] = Event("broker-nl", seen["subject"], "handover.expired", seen["data"], seen["id"])
                    event.sequence = sequence
        return found

    def all(self):
        self.answers()
        self.hand_in_order()
        for agency, view in self.views.items():
            for name, held in view.items():
                self.contents(agency, name, held)
        for name, case in self.cases.items():
            self.copies(name, case)
            self.relations(name, case)
            self.offers(name, case)
            self.milestones(name, case)
            self.confirmed(name, case)
        return self.ledger.wrongs

    def wrong(self, kind, text):
        self.ledger.wrong(kind, text)

    @staticmethod
    def held(inbox):
        """case: {sequence: event} of all that the inbox has ever shown."""
        held = collections.defaultdict(dict)
        for sequence, event in inbox.seen.items():
            held[event["subject"]][sequence] = event
        for name, events in inbox.final.items():
            held[name].update(events)
        return held

    def seen(self, agency, name):
        return self.views.get(agency, {}).get(name, {})

    # --- publishing

    def answers(self):
        for event in self.ledger.events:
            if event.result is None:
                self.wrong("lost" if event.promised else "wrong", f"{event}: asked {event.asked} times, no answer yet")

    def hand_in_order(self):
        last = {}
        for event in sorted((e for e in self.ledger.events if e.result == "accepted" and e.order is not None), key=lambda e: e.order):
            before = last.setdefault((event.publisher, event.stream, event.case), event)
            if event.sequence < before.sequence:
                self.wrong("order", f"{event} was handed in after {before}")
            last[(event.publisher, event.stream, event.case)] = event

    # --- each thing that was delivered: was it published, and for this agency?

    def contents(self, agency, name, held):
        for sequence, seen in held.items():
            if seen["subject"] != name:
                self.wrong("wrong", f"{agency}: sequence {sequence} is of another case")
            if source_of(seen) == "broker-nl":
                self.broker_made(agency, name, sequence, seen)
            else:
                self.published(agency, name, sequence, seen)

    def published(self, agency, name, sequence, seen):
        event = self.by_id.get(seen["id"])
        if event is None or event.result != "accepted":
            self.wrong("invented", f"{agency}: sequence {sequence} {kind_of(seen)} {seen['id']}: " + ("nobody published it" if event is None else f"{event} was not accepted: {event.code}"))
            return
        if event.sequence != sequence:
            self.wrong("dishonest", f"{agency}: {event} was delivered as sequence {sequence}")
        same = all(seen["data"].get(k) == v for k, v in event.data.items())
        if not same or kind_of(seen) != event.type or source_of(seen) != event.publisher or seen["subject"] != event.case:
            self.wrong("wrong", f"{agency}: {event} arrived as {json.dumps(seen)}")
        elif not any(s == sequence and a == agency for s, a, _ in self.cases[name].copies):
            self.wrong("invented", f"{agency}: {event} is not for this agency")

    def broker_made(self, agency, name, sequence, seen):
        kind, case, cause = kind_of(seen), self.cases.get(name), seen.get("causationid")
        if kind not in MADE or case is None:
            self.wrong("invented", f"{agency}: sequence {sequence} {kind} of {name}: nothing can have led to it")
            return
        known_by_now = sequence <= self.cut      # of what is later, the cause may not have been shown to anybody yet
        if cause is not None and known_by_now and cause not in self.made and (cause not in self.by_id or self.by_id[cause].result != "accepted"):
            self.wrong("invented", f"{agency}: sequence {sequence} {kind}: its cause {cause} is unknown")
        relations, candidates = case.at(sequence)
        if agency not in relations and not (kind in ("case.withdrawn", "handover.expired") or (kind.startswith("handover.") and agency in candidates)):
            self.wrong("invented", f"{agency}: sequence {sequence} {kind} of {name}: it has no relation to the case")

    # --- each thing that had to be delivered: is it there?

    def copies(self, name, case):
        for sequence, agency, event in case.copies:
            inbox = self.ledger.inboxes[agency]
            final = inbox.final.get(name, {})
            if any(s > sequence and a == agency for s, a, _ in case.losses):
                if sequence in final:
                    self.wrong("wrong", f"{agency}: {event} is still held although the case was withdrawn")
            elif sequence not in final:
                self.wrong("lost", f"{agency}: {event} " + ("was in the inbox and is gone" if sequence in inbox.seen else "never arrived"))

    def relations(self, name, case):
        for sequence, agency, event in case.gains:
            later = [s for s, a, _ in case.gains + case.losses if a == agency and s > sequence]
            end = min(later, default=1 << 62)
            if not later:
                self.exactly_one(agency, name, "case.snapshot", sequence, end, event)
        for sequence, agency, event in case.losses:
            if event.type != "handover.expired" and not any(s > sequence and a == agency for s, a, _ in case.losses):
                end = min((s for s, a, _ in case.gains if a == agency and s > sequence), default=1 << 62)
                self.exactly_one(agency, name, "case.withdrawn", sequence, end, event)

    def exactly_one(self, agency, name, kind, after, before, event):
        found = [s for s, e in self.seen(agency, name).items() if kind_of(e) == kind and after < s < before]
        if len(found) != 1 and event.sequence <= self.cut:
            self.wrong("lost" if not found else "twice", f"{agency}: {name}: {len(found)} {kind} after {event}: {found}")

    def offers(self, name, case):
        """One that was declined, or expired (an urgent one does within two shown hours), may have ended before its acknowledgement was counted: then there is nothing left to acknowledge."""
        for offerer, handover, event in case.made_offers:
            found = [s for s, e in self.seen(offerer, name).items() if kind_of(e) == "handover.delivered" and e.get("causationid") == event.id]
            if len(found) != 1 and (found or event not in case.ended):
                self.wrong("lost" if not found else "twice", f"{offerer}: {len(found)} handover.delivered of {event}: {found}")

    # --- deadlines

    def stay(self, case):
        """Agencies whose relation never ends: the custodian, and the origin's municipality."""
        return {case.custodian, BY_CODE[case.origin]}

    def recorded_at(self, name, sequence):
        for agency in self.views:
            event = self.seen(agency, name).get(sequence)
            if event is not None:
                return seconds(event["recordedtime"])
        return None

    def milestones(self, name, case):
        if case.started is None:
            return
        last = case.recorded.sequence if case.recorded else 1 << 62
        for i, (sequence, event) in enumerate(case.versions):
            following = case.versions[i + 1][0] if i + 1 < len(case.versions) else 1 << 62
            if following < 1 << 62:
                end = self.recorded_at(name, following)
            elif case.recorded:
                end = seconds(case.recorded.data["released_at"]) - MARGIN
            else:
                end = self.now - MARGIN
            if end is not None and sequence < last:
                for agency in self.stay(case):
                    self.notices(agency, name, case, event, (sequence, following, end))

    def notices(self, agency, name, case, event, span):
        sequence, following, end = span
        day = datetime.date.fromisoformat(event.data["date"])
        notices = [e for s, e in self.seen(agency, name).items() if kind_of(e) == "release.approaching" and sequence < s < following]
        fired = collections.Counter(e["data"]["milestone"] for e in notices)
        told = set(fired) | {m for e in notices for m in e["data"]["skipped"]}
        for milestone, n in fired.items():
            if n > 1:
                self.wrong("twice", f"{agency}: {n} notices of milestone {milestone} of {event}")
        for notice in notices:
            if notice["data"]["release_date"] != event.data["date"]:
                self.wrong("wrong", f"{agency}: a notice about {notice['data']['release_date']} came after {event}")
        for milestone in MILESTONES:
            at = datetime.datetime.combine(day - datetime.timedelta(days=milestone), datetime.time(8), ZONE).timestamp()
            if seconds(case.started.data["start"]) < at <= end and milestone not in told:
                self.wrong("lost", f"{agency}: no notice of milestone {milestone} of {event}, date {day}")

    def confirmed(self, name, case):
        if case.recorded is None:
            return
        for agency in self.stay(case):
            found = [s for s, e in self.seen(agency, name).items() if kind_of(e) == "release.confirmed"]
            if len(found) != 1:
                self.wrong("twice" if found else "lost", f"{agency}: {len(found)} release.confirmed of {name}: {found}")


# --- what left the inbox for an agency's own systems

def owed(ledger, agency, cut):
    """Sequences up to the cut that must have left the inbox: what it holds, and each withdrawal that it showed and no later one purged."""
    inbox = ledger.inboxes[agency]
    held = {s for events in inbox.final.values() for s in events}
    last = {}
    for sequence, event in sorted(inbox.seen.items()):
        if kind_of(event) == "case.withdrawn":
            last[event["subject"]] = sequence
    return {s for s in held | set(last.values()) if s <= cut}


def judge_files(ledger, agency, files, cut):
    """files: name → text of all in out/. One whole file per event that the inbox holds."""
    found = {}
    for name, text in files.items():
        try:
            event = json.loads(text)
        except ValueError:
            ledger.wrong("wrong", f"{agency}: out/{name} is not whole")
            continue
        if sequence_of(event) in found:
            ledger.wrong("twice", f"{agency}: out/{name} and out/{found[sequence_of(event)]} are one event")
        found[sequence_of(event)] = name
    wanted = owed(ledger, agency, cut)
    for sequence in sorted(wanted - set(found)):
        ledger.wrong("lost", f"{agency}: sequence {sequence} has no file in out/")
    for sequence in sorted(s for s in set(found) - wanted if s <= cut):
        ledger.wrong("wrong", f"{agency}: out/{found[sequence]} is not in the inbox (any more)")


def commands_run(lines):
    """How often for which sequence."""
    runs = collections.Counter()
    for line in lines:
        runs[sequence_of(json.loads(line))] += 1
    return runs


def judge_commands(ledger, agency, lines, kills, cut):
    """The command ran for each event, in order within a case, and again only where a kill came between."""
    runs, top = collections.Counter(), {}
    for event in map(json.loads, lines):
        sequence, case = sequence_of(event), event["subject"]
        if not runs[sequence] and sequence < top.get(case, 0):
            ledger.wrong("order", f"{agency}: the command got sequence {sequence} of {case} behind {top[case]}")
        top[case] = max(top.get(case, 0), sequence)
        runs[sequence] += 1
    again = sum(n - 1 for n in runs.values())
    if again > kills * PARALLEL:
        ledger.wrong("twice", f"{agency}: {again} commands ran again, with {kills} kills")
    for sequence in sorted(owed(ledger, agency, cut) - set(runs)):
        ledger.wrong("lost", f"{agency}: no command ran for sequence {sequence}")
