"""Proves that publishers who send as much and as large as they can, and read no answer, cost bounded memory and keep nobody else from publishing, receiving and asking."""
import threading

import zmq

from country import wait_for
from test_protocol_conversation import ACCEPTED, need, open_case
from test_protocol_daemon import resident_kib

FLOODERS = ("om-utrecht", "pi-rotterdam", "care-a")
MEMORY_MAX_KIB = 512 << 10


def test_large_floods_cost_bounded_memory_and_others_are_served(broker):
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    open_case(prison, "C-1")
    floods = [broker.peer(name).hello() for name in FLOODERS]
    wire = broker.proto.wire
    message = wire.Frame(publish=wire.Publish(items=[wire.Publish.Item(content=bytes(2_000_000), tag=i) for i in range(2)])).SerializeToString()
    over, peak = threading.Event(), [0]

    def flood(peer):
        while not over.is_set():
            if peer.socket.poll(50, zmq.POLLOUT):
                peer.socket.send(message, zmq.NOBLOCK, copy=False)

    for peer in floods:
        peer.socket.sndhwm = 4
    threads = [threading.Thread(target=flood, args=(peer,)) for peer in floods]
    for thread in threads:
        thread.start()
    try:
        first = prison.publish(need(prison, "C-1"))[0].sequence
        for i in range(8):   # each within the deadline of its receive
            receipt = prison.publish(need(prison, "C-1", status=("IN_PROGRESS", "OPEN")[i % 2]))[0]
            assert receipt.result == ACCEPTED
            peak[0] = max(peak[0], resident_kib(broker.process.pid))
        assert prison.ask("case", case="C-1")[2].last
        got = set()
        while receipt.sequence not in got:
            got |= {item.sequence for item in town.receive("deliver").items}
        assert first in got
        wait_for(lambda: broker.count("messages") > 40, "the flood itself")
        peak[0] = max(peak[0], resident_kib(broker.process.pid))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert peak[0] < MEMORY_MAX_KIB, peak
