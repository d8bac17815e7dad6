"""Proves that malformed, oversized, deeply nested and ill-placed input is answered or cut off, named where that helps, and harms nobody else."""
import os
import socket
import struct

import zmq

from country import wait_for
from peer import Peer, new_id
from test_protocol_conversation import ACCEPTED, REFUSED, custody, need, open_case

EVENT_MAX = 64 << 10


def field(number, content):
    """A length-delimited field of the wire format."""
    def varint(n):
        out = b""
        while n > 0x7F:
            out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
        return out + bytes([n])
    return varint(number << 3 | 2) + varint(len(content)) + content


def others_go_on(broker, subject="C-alive"):
    """A publisher and a receiver that have nothing to do with it are served."""
    prison, town = broker.peer("pi-rotterdam").hello(), broker.peer("gm0599").hello()
    receipt = prison.publish(custody(prison, subject, "0599"))[0]
    assert receipt.result == ACCEPTED
    assert town.deliveries(1)[0].sequence == receipt.sequence
    prison.close()
    town.close()


def test_bytes_that_are_no_frame_end_the_session(broker):
    for i, junk in enumerate([b"", b"\x00", b"\xff" * 100, b"garbage", field(99, b"x"), field(2, b"\x0a\xff"), b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", os.urandom(500)]):
        peer = broker.peer("gm0344").hello(session=i + 1)
        peer.send_bytes(junk)
        bye = peer.receive("bye")
        assert bye.reason == "malformed", junk
        assert bye.detail
        peer.close()
    others_go_on(broker)


def test_a_frame_holds_exactly_one_thing(broker):
    peer = broker.peer("gm0344").hello()
    wire = broker.proto.wire
    peer.send(ping=wire.Ping(number=1), ack=wire.Ack(sequences=[1]))
    assert peer.receive("bye").reason == "malformed"
    peer = broker.peer("gm0344").hello(session=2)
    peer.send(welcome=wire.Welcome(protocol=1))
    assert peer.receive("bye").reason == "malformed"


def test_a_message_of_more_parts_is_malformed(broker):
    peer = broker.peer("gm0344").hello()
    peer.send_bytes(b"", peer.proto.wire.Frame(ping=peer.proto.wire.Ping(number=1)).SerializeToString())
    assert peer.receive("bye").reason == "malformed"
    others_go_on(broker)


def test_deep_nesting_is_refused(broker):
    deep = b""
    for _ in range(5000):
        deep = field(1, deep)
    peer = broker.peer("gm0344").hello()
    peer.send_bytes(field(1, deep))
    assert peer.receive("bye").reason == "malformed"
    prison = broker.peer("pi-utrecht").hello()
    for content in (deep, field(1, new_id().encode()) + field(2, b"custody.started") + field(4, b"C-1") + field(11, deep)):
        refused = prison.publish(content)[0]
        assert (refused.result, refused.code) == (REFUSED, "malformed")
    others_go_on(broker)


def test_a_frame_of_countless_fields_is_refused(broker):
    peer = broker.peer("gm0344").hello()
    peer.send_bytes(field(2, field(1, b"") * 1_000_000))
    assert peer.receive("bye").reason == "malformed"
    others_go_on(broker)


def test_an_oversized_event_is_too_large(broker):
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    refused = prison.publish(b"x" * (EVENT_MAX + 1), need(prison, "C-1"))
    assert (refused[0].result, refused[0].code) == (REFUSED, "too-large")
    assert refused[1].result == ACCEPTED


def test_an_oversized_message_costs_the_connection_only(broker):
    peer = broker.peer("gm0344").hello()
    while peer.event()[0] != zmq.EVENT_HANDSHAKE_SUCCEEDED:
        pass
    peer.send_bytes(b"x" * ((4 << 20) + 1))
    assert peer.event()[0] == zmq.EVENT_DISCONNECTED
    others_go_on(broker)


def test_events_with_one_fault_each_are_refused_and_the_good_ones_beside_them_go_through(broker):
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    event = prison.proto.event
    good = need(prison, "C-1")
    faults = [
        b"", b"\x0a", good[:-1], good + b"\x0a\x01x", good + field(77, b"unknown field"),
        field(1, b"\xff\xfe") + field(2, b"need.screened") + field(4, b"C-1"),                # not UTF-8
        field(1, b"a\x00b") + field(2, b"need.screened") + field(4, b"C-1"),                  # an embedded NUL
        prison.content("no.such-type", "C-1"),
        prison.content("need.screened", "C/1", event.NeedStatusChanged(need=1, status=3)),
        need(prison, "C-1", id="not an id"),
        prison.content("need.screened", "C-1") + field(11, b"\x08\x63\x10\x03"),              # need 99; and data twice
        prison.content("need.screened", "C-1", event.ReleaseDateSet(date=event.Date(days=1 << 30))),
        prison.content("release.date-set", "C-1", event.ReleaseDateSet(date=event.Date(days=-(1 << 31)), kind=1)),
        prison.content("release.confirmed", "C-1", event.Released(released_at=event.Moment(ms=1))),  # the broker's own
    ]
    receipts = prison.publish(*faults, good)
    for fault, receipt in zip(faults, receipts):
        assert receipt.result == REFUSED and receipt.code, fault
        assert receipt.code in ("malformed", "unknown-type", "invalid-value", "not-allowed"), receipt
    assert receipts[-1].result == ACCEPTED


def test_hello_comes_first(broker):
    peer = broker.peer("gm0344")
    peer.offer(custody(peer, "C-1"))
    assert peer.receive("bye").reason == "hello-first"
    peer.hello()


def test_a_protocol_that_the_broker_does_not_speak_is_named(broker):
    peer = broker.peer("gm0344")
    for version in (0, 3, 4_000_000_000):
        peer.send(hello=peer.proto.wire.Hello(protocol=version, agency="gm0344"))
        bye = peer.receive("bye")
        assert bye.reason == "protocol" and "1" in bye.detail and "2" in bye.detail
    peer.send(hello=peer.proto.wire.Hello(agency="gm0344"))
    assert peer.receive("bye").reason == "protocol"


def test_an_agency_may_not_call_itself_another(broker):
    peer = broker.peer("gm0344")
    peer.send(hello=peer.proto.wire.Hello(protocol=1, agency="gm0599"))
    assert peer.receive("bye").reason == "wrong-agency"
    peer.hello()


def test_a_routing_id_is_nobodys_name(broker):
    """Two agencies that ask for the same routing id are still told apart by their keys."""
    town = broker.peer("gm0344", routing_id=b"gm0344").hello()
    thief = Peer(broker, "gm0599", routing_id=b"gm0344")
    broker.peers.append(thief)
    prison = broker.peer("pi-utrecht").hello()
    thief.send(hello=thief.proto.wire.Hello(protocol=1, agency="gm0599"))
    open_case(prison, "C-1")
    assert town.deliveries(1)
    assert thief.receive_any(0.2) is None


def test_acknowledgements_of_anything_else_change_nothing(broker):
    prison, town, other = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello(), broker.peer("gm0599").hello()
    open_case(prison, "C-1")
    sequence = town.deliveries(1)[0].sequence
    other.ack(sequence, sequence, 0, 1 << 63, (1 << 64) - 1)
    town.ack(0, sequence + 1, 1 << 62)
    assert town.nothing("deliver") and other.nothing("deliver")
    assert [q["agency"] for q in broker.control(do="queues")[0]] == ["gm0344"]
    town.ack(sequence, sequence)
    wait_for(lambda: broker.control(do="queues")[0] == [], "the acknowledgement")


def test_an_acknowledgement_of_countless_sequences_is_malformed(broker):
    town = broker.peer("gm0344").hello()
    town.ack(*range(1, 100_000))
    assert town.receive("bye").reason == "malformed"


def test_raw_bytes_on_the_port_harm_nobody(broker):
    host, port = broker.bound[0].removeprefix("tcp://").rsplit(":", 1)
    greeting = b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00NULL" + b"\x00" * 48
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, greeting, greeting + b"\x04" + struct.pack(">B", 200) + b"x" * 200, os.urandom(1000)):
        with socket.create_connection((host, int(port))) as s:
            s.sendall(junk)
    others_go_on(broker)


def test_a_publisher_that_floods_slows_nobody_down_for_long(broker):
    flood = broker.peer("pi-utrecht").hello()
    open_case(flood, "C-flood")
    contents = [need(flood, "C-flood") for _ in range(1000)]
    for _ in range(20):
        flood.offer(*contents)
    others_go_on(broker)
    assert len(flood.receipts(20_000)) == 20_000


def test_a_receiver_that_reads_nothing_costs_its_window_and_blocks_nobody(country):
    country.limits["window"] = 64
    country.write_config()
    country.start()
    prison = country.peer("pi-utrecht").hello()
    deaf = country.peer("gm0344", receive_buffer=4096).hello()
    note = "x" * 1900
    event = prison.proto.event
    open_case(prison, "C-1")
    for _ in range(20):
        receipts = prison.publish(*[prison.content("need.screened", "C-1", event.NeedStatusChanged(need=2, status=3, note=note)) for _ in range(60)])
        assert {r.result for r in receipts} == {ACCEPTED}
    others_go_on(country)
    queue = next(q for q in country.control(do="queues")[0] if q["agency"] == "gm0344")
    assert queue["queued"] == 1201 and queue["unacknowledged"] <= 64
    deaf.close()


def test_an_id_may_be_used_by_two_publishers(broker):
    """De-duplication is on publisher and id together."""
    first, second = broker.peer("pi-utrecht").hello(), broker.peer("pi-rotterdam").hello()
    id, event = new_id(), first.proto.event
    for peer, subject in ((first, "C-1"), (second, "C-2")):
        data = event.CustodyStarted(start=event.Moment(ms=1_800_000_000_000), destination="0344")
        assert peer.publish(peer.content("custody.started", subject, data, id=id))[0].result == ACCEPTED
