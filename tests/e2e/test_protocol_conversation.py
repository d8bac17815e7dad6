"""Proves that a client in another language can hold the conversation of docs/protocol.md with the real broker: sessions, receipts, deliveries, acknowledgements."""
import json

from country import wait_for
from peer import new_id

ACCEPTED, DUPLICATE, STALE, REFUSED = 1, 2, 3, 4


def custody(peer, subject, destination="0344", start=1_800_000_000_000):
    event = peer.proto.event
    return peer.content("custody.started", subject,
                        event.CustodyStarted(start=event.Moment(ms=start), origin=destination, destination=destination))


def need(peer, subject, status="OPEN", code="HOUSING", **more):
    event = peer.proto.event
    return peer.content("need.screened", subject, event.NeedStatusChanged(need=event.Need.Value.Value(code), status=event.NeedStatus.Value.Value(status)), **more)


def open_case(prison, subject, destination="0344"):
    assert prison.publish(custody(prison, subject, destination))[0].result == ACCEPTED


def test_hello_is_answered_by_welcome(broker):
    peer = broker.peer("gm0344").hello()
    assert peer.welcome.protocol == 1
    assert peer.welcome.broker == "broker-nl"
    assert peer.welcome.oin == "00000099000000000001"
    assert peer.welcome.window == 4096
    assert peer.welcome.frame_max == 4 << 20
    assert peer.welcome.heartbeat_ms > 0
    assert broker.status()["connected"] == 1


def test_an_event_is_published_delivered_and_acknowledged(broker):
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    content = custody(prison, "C-1")
    receipt = prison.publish(content)[0]
    assert receipt.result == ACCEPTED and receipt.sequence > 0 and not receipt.code
    delivery = town.deliveries(1)[0]
    assert delivery.sequence == receipt.sequence
    assert delivery.attempt == 1
    assert delivery.municipality == "0344"
    event = town.opened(delivery)
    assert (event.type, event.subject, event.source) == ("custody.started", "C-1", "pi-utrecht")
    assert delivery.source_oin == "00000099000000002001"
    town.ack(delivery.sequence)
    wait_for(lambda: broker.count("acks") == 1, "the acknowledgement")
    assert broker.control(do="queues")[0] == []


def test_the_same_event_again_is_a_duplicate_with_the_first_sequence(broker):
    prison = broker.peer("pi-utrecht").hello()
    content = custody(prison, "C-1")
    first = prison.publish(content)[0]
    again = prison.publish(content)[0]
    assert (again.result, again.sequence) == (DUPLICATE, first.sequence)
    again = prison.publish(content, time_ms=1_700_000_000_000)[0]  # the logging time does not count
    assert (again.result, again.sequence) == (DUPLICATE, first.sequence)


def test_another_content_under_the_same_id_is_a_conflict(broker):
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    id = new_id()
    assert prison.publish(need(prison, "C-1", id=id))[0].result == ACCEPTED
    conflict = prison.publish(need(prison, "C-1", status="IN_PROGRESS", id=id))[0]
    assert (conflict.result, conflict.code) == (REFUSED, "id-conflict")


def test_receipts_come_in_the_order_of_the_items_with_their_tags(broker):
    prison = broker.peer("pi-utrecht").hello()
    good = [custody(prison, f"C-{i}") for i in range(300)]
    good[7] = good[6]
    good[100] = b"no event at all"
    receipts = prison.publish(*good)
    assert [r.result for r in receipts[:9]] == [ACCEPTED] * 7 + [DUPLICATE, ACCEPTED]
    assert (receipts[100].result, receipts[100].code) == (REFUSED, "malformed")
    sequences = [r.sequence for r in receipts if r.result == ACCEPTED]
    assert sequences == sorted(set(sequences)) and len(sequences) == 298


def test_who_has_no_relation_hears_nothing(broker):
    prison, town, other = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello(), broker.peer("gm0599").hello()
    open_case(prison, "C-1")
    town.deliveries(1)
    assert other.nothing("deliver")
    assert prison.nothing("deliver")
    refused = other.publish(need(other, "C-1"))[0]
    assert (refused.result, refused.code) == (REFUSED, "no-such-case")


def test_another_agencys_source_is_refused(broker):
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    refused = prison.publish(need(prison, "C-1", source="pi-rotterdam"))[0]
    assert refused.result == REFUSED
    assert refused.code in ("not-allowed", "malformed", "invalid-value")


def test_what_is_queued_comes_when_the_agency_connects_in_order(broker):
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    sent = [prison.publish(need(prison, "C-1", code=c))[0].sequence for c in ("HOUSING", "DEBT", "WORK", "INCOME")]
    town = broker.peer("gm0344").hello()
    got = town.deliveries(5)
    assert [d.sequence for d in got][1:] == sent


def test_what_was_not_acknowledged_comes_again_after_a_reconnect(broker):
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    open_case(prison, "C-1")
    prison.publish(need(prison, "C-1"))
    first = town.deliveries(2)
    town.ack(first[0].sequence)
    wait_for(lambda: broker.count("acks") == 1, "the acknowledgement")
    town.close()
    again = broker.peer("gm0344").hello().deliveries(1)
    assert again[0].sequence == first[1].sequence
    assert again[0].content == first[1].content
    assert again[0].attempt == 2


def test_what_was_not_acknowledged_comes_again_after_a_while(country):
    country.limits.update(resend_after="80ms", resend_after_max="200ms")
    country.write_config()
    country.start()
    prison, town = country.peer("pi-utrecht").hello(), country.peer("gm0344").hello()
    open_case(prison, "C-1")
    prison.publish(need(prison, "C-1"))
    first = town.deliveries(2)
    second = town.deliveries(2)
    assert [d.sequence for d in second] == [d.sequence for d in first]
    assert [d.attempt for d in second] == [2, 2]
    town.ack(first[0].sequence)
    while True:  # what was under way may still come
        later = town.receive("deliver").items
        if len(later) == 1:
            break
    assert later[0].sequence == first[1].sequence


def test_deliveries_survive_a_kill_of_the_broker(broker):
    prison = broker.peer("pi-utrecht").hello()
    content = custody(prison, "C-1")
    receipt = prison.publish(content)[0]
    broker.kill()
    broker.start()
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    assert town.deliveries(1)[0].sequence == receipt.sequence
    assert prison.publish(content)[0].result == DUPLICATE


def test_the_window_bounds_what_is_under_way(country):
    country.limits["window"] = 8
    country.write_config()
    country.start()
    prison = country.peer("pi-utrecht").hello()
    for i in range(30):
        open_case(prison, f"C-{i}")
    town = country.peer("gm0344").hello()
    assert town.welcome.window == 8
    first = town.deliveries(8)
    assert town.nothing("deliver")
    town.ack(*[d.sequence for d in first[:5]])
    town.deliveries(5)
    assert town.nothing("deliver")


def test_more_than_the_window_outstanding_is_answered_busy(country):
    country.limits["window"] = 16
    country.write_config()
    country.start()
    prison = country.peer("pi-utrecht").hello()
    contents = [custody(prison, f"C-{i}") for i in range(2000)]
    for i in range(0, 2000, 10):
        prison.offer(*contents[i:i + 10])
    receipts = {r.tag: r for r in prison.receipts(2000)}
    results = {(r.result, r.code) for r in receipts.values()}
    assert results <= {(ACCEPTED, ""), (REFUSED, "busy")}, results
    assert sorted(receipts) == list(range(1, 2001))
    # Nothing of a busy one was kept: offered again within the window, each is new.
    busy = [contents[tag - 1] for tag, r in receipts.items() if r.code == "busy"][:16]
    assert prison.nothing("receipts"), "and the Ping behind the refusals is answered"
    if busy:
        assert {r.result for r in prison.publish(*busy)} == {ACCEPTED}


def test_a_ping_is_answered(broker):
    peer = broker.peer("gm0344").hello()
    peer.send(ping=broker.proto.wire.Ping(number=42))
    answer = peer.receive("ping")
    assert (answer.number, answer.reply) == (42, True)


def test_a_newer_session_of_the_agency_replaces_the_older(broker):
    old = broker.peer("gm0344").hello()
    new = broker.peer("gm0344").hello(session=2)
    assert old.receive("bye").reason == "replaced"
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    new.deliveries(1)
    old.ack(1)
    assert old.receive("bye").reason == "hello-first"


def test_the_broker_says_goodbye_when_it_stops(broker):
    peer = broker.peer("gm0344").hello()
    assert broker.stop() == 0
    assert peer.receive("bye").reason == "shutdown"


def test_the_directory_names_each_contact(broker):
    texts, _, last = broker.peer("gm0344").hello().ask("directory")
    agencies = {a["agency"]: a for a in map(json.loads, texts)}
    assert set(agencies) == set(broker.agencies)
    assert agencies["pi-utrecht"]["contact"] == "telephone of pi-utrecht"
    assert agencies["gm0599"]["codes"] == ["0599"]
    assert agencies["gm0344"]["connected"] and not agencies["gm0599"]["connected"]
    assert not last.code
