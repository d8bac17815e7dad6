"""Proves that questions (case, cases, offers, directory, replay) are answered in bounded parts within the asker's rights and credit, and that reading the log is on record first."""
import json

from test_protocol_conversation import ACCEPTED, custody, need, open_case


def wire_query(peer, **fields):
    peer.send(query=peer.proto.wire.Query(**fields))


def test_a_case_is_shown_to_who_has_a_relation(broker):
    prison, town, other = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello(), broker.peer("gm0599").hello()
    open_case(prison, "C-1")
    prison.publish(need(prison, "C-1"))
    texts, items, last = town.ask("case", case="C-1")
    page = json.loads(texts[0])
    assert page["case"] == "C-1" and page["custodian"] == "pi-utrecht" and page["relations"] == ["municipality"]
    assert [n["need"] for n in page["needs"]] == ["HOUSING"]
    assert [town.opened(d).type for d in items] == ["need.screened", "custody.started"], "newest first"
    assert not last.code
    denied = other.ask("case", case="C-1")[2]
    unknown = other.ask("case", case="C-none")[2]
    assert (denied.code, denied.detail) == (unknown.code, unknown.detail) == ("no-such-case", "case: there is no such case")


def test_lists_are_filtered_and_paged(broker):
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    event = broker.proto.event
    for i in range(150):
        open_case(prison, f"C-{i:03}")
    date = prison.content("release.date-set", "C-007", event.ReleaseDateSet(date=event.Date(days=25000), kind=1))
    assert prison.publish(date)[0].result == ACCEPTED
    everything = [json.loads(t)["case"] for t in town.ask("cases")[0]]
    assert everything == [f"C-{i:03}" for i in range(150)]
    no_date = [json.loads(t)["case"] for t in town.ask("cases", no_date="true")[0]]
    assert no_date == [c for c in everything if c != "C-007"]
    assert [json.loads(t)["case"] for t in town.ask("cases", no_date="false")[0]] == ["C-007"]
    assert [json.loads(t)["case"] for t in town.ask("cases", days_left_max="99999")[0]] == ["C-007"]
    assert [json.loads(t)["case"] for t in town.ask("cases", after="C-147")[0]] == ["C-148", "C-149"]
    assert town.ask("offers")[0] == []
    assert broker.peer("gm0599").hello().ask("cases")[0] == []


def test_an_offer_is_listed_for_its_candidate(broker):
    prison, care = broker.peer("pi-utrecht").hello(), broker.peer("care-a").hello()
    event = broker.proto.event
    open_case(prison, "C-1")
    offer = event.HandoverOffered(handover="H-1", to="care-a", need=event.Need.Value.Value("HOUSING"))
    assert prison.publish(prison.content("handover.offered", "C-1", offer))[0].result == ACCEPTED
    lines = [json.loads(t) for t in care.ask("offers")[0]]
    assert len(lines) == 1 and lines[0]["handovers"][0]["handover"] == "H-1"
    assert "custodian" not in lines[0]
    accepted = event.HandoverAccepted(handover="H-1", start_date=event.Date(days=30000))
    assert care.publish(care.content("handover.accepted", "C-1", accepted))[0].result == ACCEPTED
    assert care.ask("offers")[0] == []


def test_a_replay_needs_role_purpose_and_scope(broker):
    prison, auditor, care = broker.peer("pi-utrecht").hello(), broker.peer("audit-nl").hello(), broker.peer("care-a").hello()
    open_case(prison, "C-1", "0344")
    open_case(prison, "C-2", "0599")
    prison.publish(need(prison, "C-1"))
    assert care.ask("replay", purpose="curious")[2].code == "not-allowed"
    assert auditor.ask("replay")[2].code == "invalid-value"
    assert auditor.ask("replay", purpose="  ")[2].code == "invalid-value"
    assert broker.control(do="checkpoint")[1] == {"end": "ok"}  # after which nothing adds a record by itself for a while
    before = broker.status()["last_sequence"]
    _, items, last = auditor.ask("replay", purpose="yearly inspection")
    assert not last.code
    assert [(auditor.opened(d).type, auditor.opened(d).subject) for d in items] == [
        ("custody.started", "C-1"), ("custody.started", "C-2"), ("need.screened", "C-1")]
    assert broker.status()["last_sequence"] == before + 2, "that the replay began, and that it ended, is on record"
    assert [auditor.opened(d).subject for d in auditor.ask("replay", purpose="p", case="C-2")[1]] == ["C-2"]
    assert [auditor.opened(d).type for d in auditor.ask("replay", purpose="p", type="need.screened")[1]] == ["need.screened"]
    assert auditor.ask("replay", purpose="p", after=items[1].sequence)[1][0].sequence == items[2].sequence
    assert auditor.ask("replay", purpose="p", to="2000-01-01T00:00:00Z")[1] == []
    assert len(auditor.ask("replay", purpose="p", limit=2)[1]) == 2
    assert auditor.ask("replay", purpose="p", nonsense=1)[2].code == "invalid-value"
    assert prison.nothing("deliver") and care.nothing("deliver"), "a replay sends nothing to anybody else"
    town = broker.peer("gm0344").hello()
    town.publish(need(town, "C-1"))
    assert [(auditor.opened(d).source, auditor.opened(d).subject) for d in auditor.ask("replay", purpose="p", agency="gm0344")[1]] == [("gm0344", "C-1")]
    assert len(auditor.ask("replay", purpose="p", agency="pi-utrecht")[1]) == 3
    assert auditor.ask("replay", purpose="p", agency="broker-nl")[1:2] == ([],)
    assert auditor.ask("replay", purpose="p", agency="nobody")[2].code == "invalid-value"
    assert auditor.ask("replay", purpose="p", agency="gm0344", records="true")[2].code == "invalid-value"


def test_a_scope_that_is_missing_means_nothing(country):
    country.scope = 'municipalities = [ "0344" ]; types = [ "custody.started" ]; classes = [ "A" ];'
    country.write_config()
    country.start()
    prison, auditor = country.peer("pi-utrecht").hello(), country.peer("audit-nl").hello()
    open_case(prison, "C-1", "0344")
    open_case(prison, "C-2", "0599")
    prison.publish(need(prison, "C-1"))

    def seen():
        return [auditor.opened(d).subject for d in auditor.ask("replay", purpose="p")[1]]
    assert seen() == ["C-1"]
    assert auditor.ask("replay", purpose="p", type="need.screened")[2].code == "not-allowed"
    for scope in ('types = [ "*" ]; classes = [ "A", "B" ];', 'municipalities = [ "*" ]; classes = [ "A", "B" ];', 'municipalities = [ "*" ]; types = [ "*" ];', None):
        country.scope = scope
        country.write_config()
        country.reload()
        assert seen() == [], scope


def test_a_replay_stops_when_its_credit_is_used_up(broker):
    prison, auditor = broker.peer("pi-utrecht").hello(), broker.peer("audit-nl").hello()
    receipts = prison.publish(*[custody(prison, f"C-{i}") for i in range(1000)])
    assert {r.result for r in receipts} == {ACCEPTED}
    wire_query(auditor, number=9, kind="replay", credit=1, parameters=["purpose=p"])
    got = auditor.receive("answer").items
    assert 0 < len(got) <= 256
    assert auditor.nothing("answer")
    auditor.send(credit=auditor.proto.wire.Credit(number=9, credit=100))
    sequences = [d.sequence for d in got]
    while True:
        answer = auditor.receive("answer")
        sequences.extend(d.sequence for d in answer.items)
        if answer.last:
            break
    assert sequences == [r.sequence for r in receipts]


def test_questions_are_bounded_and_bad_ones_are_named(broker):
    peer = broker.peer("gm0344").hello()
    assert peer.ask("weather")[2].code == "invalid-value"
    assert peer.ask("case")[2].code == "invalid-value"
    assert "case" in peer.ask("case", case="x", colour="red")[2].detail
    wire_query(peer, number=5, kind="directory", parameters=["no sign"])
    assert peer.receive("answer").code == "invalid-value"
    wire_query(peer, number=6, kind="cases", parameters=[f"p{i}=1" for i in range(17)])
    assert peer.receive("answer").code == "invalid-value"
    prison = broker.peer("pi-utrecht").hello()
    prison.publish(*[custody(prison, f"C-{i}") for i in range(300)])
    peer.deliveries(300)
    for number in range(10, 15):  # each stops after one part and waits for credit
        wire_query(peer, number=number, kind="cases", credit=1)
    answers = {a.number: a for a in (peer.receive("answer") for _ in range(5))}
    assert [n for n, a in answers.items() if a.code == "busy"] == [14]
    wire_query(peer, number=10, kind="cases")
    assert peer.receive("answer").code == "invalid-value", "the number is in use"


def test_the_operator_asks_by_the_control_socket(broker):
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    lines, end = broker.control(do="queues")
    assert [(q["agency"], q["queued"], q["connected"]) for q in lines] == [("gm0344", 1, False)]
    lines, end = broker.control(do="timers")
    assert end == {"end": "ok"} and {"screening"} & {t["kind"] for t in lines} or lines
    assert broker.control(do="rebuild") == ([{"equal": True}], {"end": "ok"})
    assert broker.control(do="resend", agency="gm0344") == ([{"agency": "gm0344", "cases": 1}], {"end": "ok"})
    town = broker.peer("gm0344").hello()
    assert [town.opened(d).type for d in town.deliveries(2)] == ["custody.started", "case.snapshot"]
    assert broker.control(do="resend", agency="nobody")[1]["end"] == "refused"
    assert broker.control(do="nothing")[1]["end"] == "refused"
    assert broker.control(do="reload")[1] == {"end": "ok"}
    lines, end = broker.control(do="backup", dir=broker.folder + "/backup")
    assert end == {"end": "ok"}, end
