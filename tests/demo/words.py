"""What an event says, as a person would say it. One row per type that the demo can meet; dates in words."""
import datetime
import zoneinfo

ZONE = zoneinfo.ZoneInfo("Europe/Amsterdam")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")

WHO = {     # agency: its name here, who that is
    "om-utrecht": ("Court", "the prosecution service that carries out the sentence"),
    "pi-utrecht": ("Prison", "penitentiary institution Utrecht, its release unit"),
    "gm0344": ("Utrecht", "the municipality's re-entry coordinator"),
    "shelter-utrecht": ("Shelter", "a house for the first months"),
    "care-a": ("Care A", "a care provider without a free place"),
    "care-b": ("Care B", "a care provider with one"),
    "probation-nl": ("Probation", "arranges community service"),
    "employer-bouw": ("Employer", "a builder who offers a place to work"),
    "audit-nl": ("Auditor", "the inspectorate: sees the log, in its scope"),
    "broker-nl": ("reentry", "the broker itself"),
}
NEEDS = {"CARE": "care", "HOUSING": "housing", "DEBT": "debts", "INCOME": "income", "IDENTITY": "identity card", "WORK": "work",
         "PSYCHIATRIC": "psychiatric care", "INSURANCE": "health insurance"}
STATUS = {"OPEN": "nothing arranged", "IN_PROGRESS": "being arranged", "ARRANGED": "arranged", "NONE": "no need", "UNKNOWN": "not known", "NOT_POSSIBLE": "cannot be arranged",
          "DECLINED_BY_PERSON": "declined by the person"}
CODES = {"0344": "Utrecht"}


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(ZONE)


def in_words(day):
    """2027-02-26, a date or a moment → Friday 26 February."""
    day = datetime.date.fromisoformat(day) if isinstance(day, str) else day
    return f"{DAYS[day.weekday()]} {day.day} {MONTHS[day.month - 1]}"


def short(at):
    return f"{DAYS[at.weekday()][:3]} {at.day} {MONTHS[at.month - 1][:3]} {at:%H:%M}"


def clock(text):
    at = moment(text)
    return f"{in_words(at)} {at:%H:%M}"


def name(agency):
    return WHO.get(agency, (agency, ""))[0]


def need(code):
    return NEEDS.get(code, code.lower())


def days(n):
    return {0: "today", 1: "tomorrow"}.get(n, f"in {n} days")


def capital(text):
    return text[:1].upper() + text[1:]


def note(data):
    return f": “{data['note']}”" if data.get("note") else ""


def because(data):
    return f" ({data['reason']})" if data.get("reason") else ""


def sentence(d):
    if d["kind"] == "COMMUNITY_SERVICE":
        return f"sentenced to {d['hours']} hours of community service"
    return f"sentenced to {d['days']} days of detention" if d.get("days") else "sentenced to detention"


def approaching(d):
    left = "today is the release" if d["days_left"] == 0 else f"{d['days_left']} days to the release" if d["days_left"] > 1 else "one day to the release"
    still = ", still open: " + ", ".join(need(n) for n in d["open_needs"]) if d["open_needs"] else ""
    return f"{left}, {in_words(d['release_date'])}{still}" + (" (late notice)" if d["late"] else "")


def gap(d):
    if d["reason"] == "LATE":
        nights = "one night" if d["nights"] == 1 else f"{d['nights']} nights"
        return f"GAP: {nights} without {need(d['need'])} after the release"
    return f"GAP: {need(d['need'])}: nothing arranged, and the release is near"


def offered(d):
    start = f", to start by {in_words(d['start_by'])}" if d.get("start_by") else ""
    decide = f"; answer by {clock(d['decide_by'])}" if d.get("decide_by") else ""
    return f"will you take over {need(d['need'])}{start}{decide}"


def snapshot(d):
    parts = []
    if d.get("release_date"):
        parts.append(f"release {in_words(d['release_date'])}")
    for line in d["needs"]:
        parts.append(f"{need(line['need'])}: {STATUS[line['status']]}" + (f" from {in_words(line['from_date'])}" if line.get("from_date") else ""))
    return "where the case stands" + (": " + ", ".join(parts) if parts else "")


def arranged(what):
    return lambda d: what + (f" from {in_words(d['from_date'])}" if d.get("from_date") else "") + note(d)


SAYS = {
    "sentence.imposed": sentence,
    "custody.started": lambda d: "detention has begun" + (f"; home will be {CODES.get(d['destination'], d['destination'])}" if d.get("destination") else ""),
    "release.date-set": lambda d: f"release is {'expected' if d['kind'] == 'EXPECTED' else 'set'} for {in_words(d['date'])}{because(d)}",
    "release.approaching": approaching,
    "release.ordered": lambda d: f"RELEASE ORDERED, at once{because(d)}",
    "release.recorded": lambda d: "the gate has closed behind the person",
    "release.confirmed": lambda d: f"released, {clock(d['released_at'])}",
    "need.screened": lambda d: f"screened: {need(d['need'])}, {STATUS[d['status']]}{note(d)}",
    "need.status-changed": lambda d: f"{need(d['need'])}: {STATUS[d['status']]}" + (f" from {in_words(d['from_date'])}" if d.get("from_date") else "") + note(d),
    "gap.detected": gap,
    "gap.closed": lambda d: f"gap closed: {need(d['need'])}",
    "handover.offered": offered,
    "handover.delivered": lambda d: f"offer {d['handover']} has reached the other side",
    "handover.received": lambda d: f"offer {d['handover']} has been opened",
    "handover.accepted": lambda d: f"ACCEPTED {d['handover']}, starting {in_words(d['start_date'])}",
    "handover.declined": lambda d: f"DECLINED {d['handover']}: {d['code'].lower().replace('_', ' ')}{note(d)}",
    "handover.reminder": lambda d: f"reminder: offer {d['handover']} waits for an answer" + (f" by {clock(d['decide_by'])}" if d.get("decide_by") else ""),
    "handover.reconfirm": lambda d: f"the release is earlier than your start ({d['handover']}): does the agreement still hold, and from when",
    "handover.unplaced": lambda d: f"nobody has taken {d['handover']}",
    "handover.expired": lambda d: f"offer {d['handover']} has expired",
    "handover.escalated": lambda d: f"the release is near and {d['handover']} is not settled",
    "handover.started": lambda d: f"STARTED {d['handover']}: what was agreed happens",
    "housing.arranged": arranged("a house is arranged"),
    "care.arranged": lambda d: arranged(f"{need(d['need'])} is arranged")(d),
    "debt.plan-agreed": arranged("a plan for the debts is agreed"),
    "community-service.assigned": lambda d: f"{d['hours']} hours of community service, to be done by {in_words(d['complete_by'])}",
    "community-service.placed": lambda d: f"the place: {d.get('place', '')}, from {in_words(d['starts_on'])}",
    "followup.due": lambda d: f"{'a day' if d['day'] == 1 else str(d['day']) + ' days'} after the release: how is it going",
    "followup.done": lambda d: f"follow-up of day {d['day']} done{note(d)}",
    "case.snapshot": snapshot,
    "case.withdrawn": lambda d: "no longer your case: everything about it is deleted here",
    "delivery.overdue": lambda d: f"an urgent message has not reached {name(d.get('to', ''))} yet: telephone",
    "screening.overdue": lambda d: "the needs have not been screened yet",
}


def says(event):
    """One sentence about an event in JSON."""
    kind = event["type"].removeprefix("nl.reentry.")
    row = SAYS.get(kind)
    if row is None:
        return f"{kind} " + ", ".join(f"{k} {v}" for k, v in event["data"].items())
    return capital(row(event["data"])) + ("?" if kind in ("handover.offered", "handover.reconfirm", "followup.due") else "")
