"""Proves what an auditor can ask of the log: the state of a case at a moment, and exactly what an agency had been given by then, byte for byte; that a replay is on record before it says anything,
shows nothing outside of the scope, holds nothing while the asker is slow, and goes on after the broker was killed in the middle of it."""
import datetime
import json
import os
import re
import subprocess
import time

import pytest
from agency import Agency
from country import BIN, DEADLINE, wait_for
from test_accept_erase import OTHER, ask_as
from test_protocol_conversation import ACCEPTED, custody, open_case

MANDATE = 'municipalities = [ "*" ]; types = [ "*" ]; classes = [ "A", "B", "C" ]; mandate = [ "C" ];'
EPOCH = datetime.date(1970, 1, 1)
WHY = ["--purpose", "a test"]


def day(n):
    """In so many days, as the log counts and as it is written."""
    date = datetime.date.today() + datetime.timedelta(days=n)
    return (date - EPOCH).days, date.isoformat()


class Play:
    """The country with an auditor, municipalities as real agents, and a prison that publishes."""

    def __init__(self, country, towns=("gm0344",), scope=None, limits=None):
        self.country = country
        country.scope = scope or country.scope
        country.limits.update(limits or {})
        country.write_config()
        country.start()
        self.prison = country.peer("pi-utrecht").hello()
        self.agencies = {name: Agency(country, name).start() for name in ("audit-nl", *towns)}
        self.auditor = self.agencies["audit-nl"]

    def open(self, case, origin, destination):
        event = self.country.proto.event
        receipt = self.prison.publish_one("custody.started", case, event.CustodyStarted(start=event.Moment(ms=1_800_000_000_000), origin=origin, destination=destination))
        assert receipt.result == ACCEPTED, receipt

    def date(self, case, days, **more):
        event = self.country.proto.event
        receipt = self.prison.publish_one("release.date-set", case, event.ReleaseDateSet(date=event.Date(days=days), kind=1), **more)
        assert receipt.result == ACCEPTED, receipt
        return receipt.sequence

    def need(self, case, code, status="OPEN"):
        event = self.country.proto.event
        data = event.NeedStatusChanged(need=event.Need.Value.Value(code), status=event.NeedStatus.Value.Value(status))
        receipt = self.prison.publish_one("need.screened", case, data)
        assert receipt.result == ACCEPTED, receipt
        return receipt.sequence

    def replay(self, *arguments, **more):
        return self.auditor.json("replay", *WHY, *arguments, **more)

    def moment(self, sequence):
        """When that was recorded; and nothing else bears that moment."""
        at = next(e["recordedtime"] for e in self.replay() if int(e["sequence"]) == sequence)
        then = datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()
        wait_for(lambda: time.time() > then + 0.01, "the next moment")
        return at

    def received(self, agency, n):
        """Everything that the agent has, n of them, and the broker knows that it has."""
        self.agencies[agency].wait_inbox(n, "--all")
        wait_for(lambda: all(q["agency"] != agency for q in self.country.control(do="queues")[0]), f"the acknowledgements of {agency}")
        lines = self.agencies[agency].cli("--json", "inbox", "--all").stdout.splitlines()
        assert len(lines) == n, lines
        return {json.loads(line)["sequence"]: re.sub(r'(,"(filenumber|done|superseded|folded)":[^,}]*)+}$', "}", line) for line in lines}

    def given(self, agency, *arguments):
        """What the auditor is shown as given: by sequence the event as text, and when it was given and acknowledged."""
        texts, times = {}, {}
        for line in self.auditor.cli("--json", "replay", *WHY, "--as-seen-by", agency, *arguments).stdout.splitlines():
            event = json.loads(line)
            texts[event["sequence"]] = re.sub(r',"deliveredtime":.*}$', "}", line)
            times[event["sequence"]] = (event["deliveredtime"], event.get("acknowledgedtime"), event.get("masked", False))
        assert list(texts) == sorted(texts)
        return texts, times

    def close(self):
        for agency in self.agencies.values():
            agency.close()


@pytest.fixture
def play(country):
    made = []

    def make(*arguments, **more):
        made.append(Play(country, *arguments, **more))
        return made[0]
    yield make
    for one in made:
        one.close()


def kinds(texts):
    return [json.loads(text)["type"].removeprefix("nl.reentry.") for text in texts.values()]


def test_what_was_the_state_and_what_had_been_told(play):
    p = play()
    first, second = day(40), day(50)
    open_case(p.prison, "C-1")
    p.need("C-1", "HOUSING")
    before = p.moment(p.date("C-1", first[0]))
    inbox = p.received("gm0344", 4)      # custody, need, date, notice
    p.agencies["gm0344"].stop()
    after = p.moment(p.date("C-1", second[0]))
    [state] = p.replay("--case", "C-1", "--as-of", before)
    assert state["record"] == "state" and state["case"] == "C-1" and state["release_date"] == first[1] and state["inside"] is True
    assert state["at"] == before and state["days_left"] == 40
    assert [n["need"] for n in state["needs"]] == ["HOUSING"] and state["custodian"] == "pi-utrecht"
    assert {"agency": "gm0344", "relations": ["municipality"]} in state["related"]
    [state] = p.replay("--case", "C-1", "--as-of", after)
    assert state["release_date"] == second[1]
    page = p.auditor.cli("--lang", "en", "replay", *WHY, "--case", "C-1", "--as-of", before).stdout
    assert "in 40 days" in page and "housing" in page, page
    texts, times = p.given("gm0344", "--as-of", after)
    assert texts == inbox, "the same bytes, and nothing of what waits for it"
    assert all(acked and at <= acked for at, acked, _ in times.values())
    p.agencies["gm0344"].start()
    inbox = p.received("gm0344", 6 if len(inbox) == 4 else 5)
    assert p.given("gm0344")[0] == inbox
    assert p.given("gm0344", "--as-of", after)[0] == texts, "what came later changes nothing of what was"
    assert p.given("gm0344", "--type", "release.date-set", "--to", after)[0].keys() == {k for k, t in texts.items() if "release.date-set" in t}
    assert p.given("gm0344", "--case", "C-9")[0] == {}
    assert p.replay("--case", "C-1", "--as-of", "2020-01-01T00:00:00Z") == []
    assert "future" in p.auditor.cli("replay", *WHY, "--as-of", "2100-01-01T00:00:00Z", code=1).stderr
    assert "no such agency" in p.auditor.cli("replay", *WHY, "--as-seen-by", "gm9999", code=1).stderr


def test_states_of_all_cases_and_a_choice_of_them(play):
    p = play(towns=())
    for case in ("C-1", "C-2", "C-3"):
        open_case(p.prison, case)
    then = p.moment(p.date("C-2", day(40)[0]))
    open_case(p.prison, "C-4")
    p.date("C-1", day(60)[0])
    assert [s["case"] for s in p.replay("--as-of", then)] == ["C-1", "C-2", "C-3"], "in the order in which they were opened"
    assert [s["case"] for s in p.replay("--as-of", then, "--type", "release.date-set")] == ["C-2"]
    assert [s["case"] for s in p.replay("--as-of", then, "--from", then)] == ["C-2"]
    states = p.replay("--as-of", then, "--limit", "1")
    assert [s["case"] for s in p.replay("--as-of", then, "--after", states[0]["opened"])] == ["C-2", "C-3"]
    assert "release_date" not in states[0]


def test_under_the_configuration_that_was_on_record(play):
    p = play()
    open_case(p.prison, "C-1")
    p.received("gm0344", 1)
    then = p.moment(p.need("C-1", "DEBT"))
    p.received("gm0344", 2)
    p.country.agencies["gm0344"] = ("municipality", p.country.agencies["gm0344"][1], ["0345"])
    p.country.write_config()
    p.country.reload()
    later = p.moment(p.need("C-1", "INCOME"))
    [was] = p.replay("--as-of", then)
    [became] = p.replay("--as-of", later)
    assert {"agency": "gm0344", "relations": ["municipality"]} in was["related"]
    assert all(r["agency"] != "gm0344" for r in became["related"]) and any(r["relations"] == ["desk"] for r in became["related"])
    assert kinds(p.given("gm0344")[0]) == ["custody.started", "need.screened"]


def test_nothing_after_the_last_relation(play):
    p = play(towns=("gm0344", "gm0599"))
    p.open("C-1", "9999", "0344")
    p.received("gm0344", 1)
    event = p.country.proto.event
    assert p.prison.publish_one("destination.changed", "C-1", event.DestinationChanged(destination="0599")).result == ACCEPTED
    wait_for(lambda: not p.country.control(do="queues")[0], "the end")
    p.need("C-1", "HOUSING")
    p.received("gm0599", 2)
    assert kinds(p.given("gm0344")[0]) == ["custody.started", "case.withdrawn"]
    assert kinds(p.given("gm0599")[0]) == ["case.snapshot", "need.screened"]
    last = json.loads(list(p.given("gm0344")[0].values())[-1])
    assert "0599" not in json.dumps(last), "not even the new code"


def test_as_it_was_given_before_and_after_a_consent_was_withdrawn(play):
    p = play(towns=("gm0344", "gm0599"), scope=MANDATE)
    p.open("C-1", "0344", "0599")
    p.received("gm0599", 1)
    p.agencies["gm0344"].publish("consent.given", "C-1", to="gm0599", **{"class": "C"})
    p.need("C-1", "PSYCHIATRIC")
    p.date("C-1", day(30)[0])            # a notice goes out at once, with the open needs
    inbox = p.received("gm0599", 5)
    notice = [t for t in inbox.values() if "release.approaching" in t]
    assert len(notice) == 1 and "PSYCHIATRIC" in notice[0]
    p.agencies["gm0599"].stop()
    p.date("C-1", day(20)[0])            # queued under the consent, delivered without
    p.agencies["gm0344"].publish("consent.withdrawn", "C-1", to="gm0599", **{"class": "C"})
    p.agencies["gm0599"].start()
    inbox = p.received("gm0599", 8)
    assert sorted("PSYCHIATRIC" in t for t in inbox.values() if "release.approaching" in t) == [False, True]
    texts, times = p.given("gm0599")
    assert texts == inbox and not any(masked for _, _, masked in times.values())
    towns = [t for t in p.given("gm0344")[0].values() if "release.approaching" in t]
    assert len(towns) == 2 and all('"CARE"' in t and "PSYCHIATRIC" not in t for t in towns)
    p.country.scope = MANDATE.replace('mandate = [ "C" ];', "")
    p.country.write_config()
    p.country.reload()
    texts, times = p.given("gm0599")
    assert not any("PSYCHIATRIC" in t for t in texts.values()), "class C needs a mandate, whoever was given it"
    assert any(masked for _, _, masked in times.values())
    assert not any("PSYCHIATRIC" in json.dumps(e) for e in p.replay("--records") + p.replay() + p.replay("--as-of", p.replay()[-1]["recordedtime"]))


@pytest.mark.skipif(os.geteuid() != 0, reason="two operators need root")
def test_what_was_erased_is_shown_as_erased_with_the_order(play):
    p = play()
    open_case(p.prison, "C-1")
    p.need("C-1", "HOUSING")
    p.received("gm0344", 2)
    before = p.replay()
    assert p.country.control(do="erase", case="C-1", order="art. 17, request 4")[1] == {"end": "ok"}
    end, text = ask_as(p.country, OTHER, do="erase", case="C-1", order="seen", confirm=True)
    assert end == {"end": "ok"}, text
    for lines in (p.replay(), p.replay("--case", "C-1"), p.replay("--as-seen-by", "gm0344")):
        gone = [e for e in lines if "erased" in e]
        assert [e["sequence"] for e in gone] == [e["sequence"] for e in before]
        assert all(e["erased"] == "art. 17, request 4" and e["subject"] == "C-1" and "data" not in e and "id" not in e for e in gone)
    assert all("acknowledgedtime" in e for e in p.replay("--as-seen-by", "gm0344") if "erased" in e)
    [state] = p.replay("--as-of", before[-1]["recordedtime"])
    assert state["erased"] == "art. 17, request 4" and "needs" not in state
    steps = [e["audit"]["action"] for e in p.replay("--records", "--case", "C-1") if e.get("record") == "erase"]
    assert steps == ["order", "confirm", "executed"]
    assert "erased" in p.auditor.cli("--lang", "en", "replay", *WHY, "--case", "C-1").stdout
    p.country.scope = 'municipalities = [ "0344" ]; types = [ "*" ]; classes = [ "A", "B" ];'
    p.country.write_config()
    p.country.reload()
    assert p.replay() == p.replay("--as-seen-by", "gm0344") == p.replay("--case", "C-1", "--records") == [], "of what is erased it is not known where it was"


def test_who_is_no_auditor_is_denied_and_that_is_on_record(play):
    p = play()
    open_case(p.prison, "C-1")
    denied = p.agencies["gm0344"].cli("replay", *WHY, "--case", "C-1", code=1)
    assert denied.stdout == "" and "not-allowed" in denied.stderr and len(denied.stderr.splitlines()) == 1
    other = p.country.peer("gm0599").hello()
    assert other.ask("case", case="C-1")[2].code == "no-such-case"
    assert other.publish_one("case.closed", "C-1").code == "no-such-case"
    lines = p.replay("--records", "--case", "C-1")
    assert [(e["agency"], e["audit"]["action"]) for e in lines if e.get("record") == "denied"] == [("gm0344", "replay"), ("gm0599", "case")]
    assert [(e["agency"], e["code"]) for e in lines if e.get("record") == "refused"] == [("gm0599", "no-such-case")]
    assert p.auditor.cli("replay", code=2).returncode == 2
    assert p.auditor.cli("replay", "--purpose", "  ", code=2).returncode == 2


def test_a_replay_is_on_record_from_its_begin_to_its_end(play):
    p = play()
    open_case(p.prison, "C-1")
    p.received("gm0344", 1)
    p.replay("--case", "C-1", "--on-behalf-of", "inspector 12")
    lines = [e for e in p.replay("--records", "--case", "C-1") if e.get("record") == "replay"]
    first, last = [e["audit"] for e in lines][:2]
    assert (first["who"], first["on_behalf_of"], first["action"], first["purpose"], first["filter"], first["outcome"]) == (
        "audit-nl", "inspector 12", "replay", "a test", "case=C-1", "started")
    assert (last["outcome"], last["count"]) == ("finished", 1)
    assert [e["record"] for e in p.replay("--records", "--case", "C-1") if "record" in e][:3] == ["routed", "delivered", "acked"]


@pytest.mark.parametrize("question", [["--as-of"], ["--as-seen-by", "gm0344"], ["--records"], []])
def test_what_is_missing_in_a_scope_grants_nothing(play, question):
    p = play()
    for case, town in (("C-1", "0344"), ("C-2", "0599")):
        open_case(p.prison, case, town)
    p.need("C-1", "HOUSING")
    p.received("gm0344", 2)
    question = ["--as-of", p.replay()[-1]["recordedtime"]] if question == ["--as-of"] else question

    def cases(scope, **more):
        p.country.scope = scope
        p.country.write_config()
        p.country.reload()
        lines = p.auditor.cli("--json", "replay", *WHY, *question, code=None).stdout.splitlines()
        return {e.get("subject", e.get("case")) for e in map(json.loads, lines)} - {None}
    both = 'municipalities = [ "*" ]; types = [ "*" ]; classes = [ "A", "B" ];'
    assert "C-1" in cases(both)
    assert cases('municipalities = [ "0344" ]; types = [ "*" ]; classes = [ "A", "B" ];') == {"C-1"}
    for scope in ('types = [ "*" ]; classes = [ "A", "B" ];', 'municipalities = [ "*" ]; classes = [ "A", "B" ];', 'municipalities = [ "*" ]; types = [ "*" ];',
                  'municipalities = [ "0758" ]; types = [ "*" ]; classes = [ "A", "B" ];', None):
        assert cases(scope) == set(), scope
        assert p.auditor.cli("--json", "replay", *WHY, *question, code=None).stdout == "", scope


def fill(p, n):
    """So many events, on cases that nobody else hears of."""
    for i in range(0, n, 1000):
        receipts = p.prison.publish(*[custody(p.prison, f"C-{k}", "9999") for k in range(i, min(i + 1000, n))])
        assert {r.result for r in receipts} == {ACCEPTED}


def test_a_replay_goes_on_when_the_broker_was_killed_in_the_middle(play):
    p = play(towns=(), limits={"message_max": "128KiB"})
    open_case(p.prison, "C-1", "9999")
    far, event = day(400)[0], p.country.proto.event
    for _ in range(100):
        contents = [p.prison.content("release.date-set", "C-1", event.ReleaseDateSet(date=event.Date(days=far), kind=1, reason="x" * 1900)) for _ in range(50)]
        assert {r.result for r in p.prison.publish(*contents)} == {ACCEPTED}
    process = subprocess.Popen([os.path.join(BIN, "reentry"), "-c", p.auditor.config, "--json", "replay", *WHY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    first = json.loads(process.stdout.readline())      # the rest waits: more than all the room on the way holds
    p.country.kill()
    endpoint = p.country.bound[0]
    p.country.endpoints = [endpoint]
    p.country.write_config()
    p.country.start()
    out, err = process.communicate(timeout=DEADLINE * 3)
    assert process.returncode == 0, err
    sequences = [int(first["sequence"])] + [int(json.loads(line)["sequence"]) for line in out.splitlines()]
    assert len(sequences) == 5001 and sequences == sorted(set(sequences)), "each once, in order"
    assert b"goes on" in err
    assert int(p.replay("--after", str(sequences[-2]), "--limit", "1")[0]["sequence"]) == sequences[-1]


def test_an_auditor_who_is_slow_does_not_make_the_store_grow(play):
    p = play(towns=())
    fill(p, 2000)
    path = os.path.join(p.country.folder, "store", "data.mdb")

    def grown(n):
        before = os.path.getsize(path)
        for i in range(n):
            assert p.prison.publish_one("release.date-unknown", f"C-{i % 50}").result == ACCEPTED
        return os.path.getsize(path) - before
    usual = max(grown(200), grown(200))
    auditor = p.country.peer("audit-nl")
    p.auditor.stop()
    auditor.hello()
    for number in (1, 2, 3):
        auditor.send(query=auditor.proto.wire.Query(number=number, kind="replay", credit=1, parameters=["purpose=p", *(["records=true"] if number == 2 else []),
                                                                                                        *(["as_of=" + datetime.datetime.now(datetime.UTC if hasattr(datetime, "UTC") else datetime.timezone.utc).isoformat()] if number == 3 else [])]))
        assert not auditor.receive("answer").last
    assert grown(200) <= usual + (1 << 20), "a transaction that is held keeps every page that is freed meanwhile: tens of MiB"
    auditor.close()
    p.auditor.start()
