"""Proves that the order within a case holds over refusals that say "try later": what was sent behind a refused event, unknowing, is not taken before it, nobody stays held, and the real agent gets everything through in its order."""
import errno
import glob
import json
import os
import signal
import time

import pytest

from agency import Agency
from country import wait_for
from test_protocol_conversation import ACCEPTED, DUPLICATE, REFUSED, custody, need, open_case

BUILD = os.environ.get("BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release"))
MAP_FULL = -30792      # MDB_MAP_FULL
WINDOW = 4
OVERHEAD = 35          # bytes that ZMTP and CURVE put around a short frame


class Stopped:
    """While it lasts the broker stands still; at its end it finds everything that was sent meanwhile, waiting in its socket."""

    def __init__(self, country, peer):
        self.country, self.peer, self.n = country, peer, 0

    def offer(self, *contents, by=None):
        tags = (by or self.peer).offer(*contents)
        self.n += sum(map(len, contents)) + OVERHEAD
        return tags

    def stands(self):
        states = []
        for task in glob.glob(f"/proc/{self.country.process.pid}/task/*/stat"):
            with open(task, encoding="ascii") as f:
                states.append(f.read().rsplit(") ", 1)[1][0])
        return set(states) == {"T"}

    def arrived(self):
        port = int(self.country.bound[0].rsplit(":", 1)[1])
        with open("/proc/net/tcp", encoding="ascii") as f:
            rows = [line.split() for line in f][1:]
        return sum(int(r[4].split(":")[1], 16) for r in rows if int(r[1].split(":")[1], 16) == port and r[3] == "01")

    def __enter__(self):
        self.country.process.send_signal(signal.SIGSTOP)
        wait_for(self.stands, "the broker's stop")
        return self

    def __exit__(self, *error):
        try:
            wait_for(lambda: self.arrived() >= self.n, "what was sent to a broker that stands still")
        finally:
            self.country.process.send_signal(signal.SIGCONT)


@pytest.fixture
def narrow(country):
    """A broker with a small window, and a prison that does not answer Pings by itself."""
    country.limits["window"] = WINDOW
    country.write_config()
    country.start()
    prison = country.peer("pi-utrecht").hello()
    prison.answers_pings = False
    open_case(prison, "C-1")
    open_case(prison, "C-2")
    country.prison = prison
    yield country


def busy_then(country):
    """Gets an event of C-1 refused; its content. Until the Ping behind it is answered the broker takes what comes for sent in ignorance."""
    prison = country.prison
    content = need(prison, "C-1", "OPEN")
    for _ in range(50):
        with Stopped(country, prison) as stopped:
            tags = stopped.offer(*[need(prison, "C-2", "OPEN") for _ in range(WINDOW)]) + stopped.offer(content)
        receipts = {r.tag: r for r in prison.receipts(WINDOW + 1)}
        assert [receipts[t].result for t in tags[:WINDOW]] == [ACCEPTED] * WINDOW, "what waited within the window is not held"
        if receipts[tags[-1]].code == "busy":
            return content
        content = need(prison, "C-1", "OPEN")
    raise AssertionError("the window was never too small")


def ping_of(prison):
    ping = prison.receive("ping")
    assert ping.number and not ping.reply
    return ping.number


def answer(prison, number):
    prison.send(ping=prison.proto.wire.Ping(number=number, reply=True))


def test_what_is_in_flight_behind_a_refused_event_waits_for_it(narrow):
    prison = narrow.prison
    refused = busy_then(narrow)
    behind = [need(prison, "C-1", "IN_PROGRESS"), need(prison, "C-1", "OPEN")]
    other = need(prison, "C-2", "OPEN")
    got = prison.publish(behind[0], other, behind[1])
    assert [(r.result, r.code) for r in got] == [(REFUSED, "busy"), (ACCEPTED, ""), (REFUSED, "busy")]
    assert "earlier event of this case" in got[0].detail and not got[0].id
    assert prison.publish(refused)[0].code == "busy", "itself too: it was sent before the answer"
    answer(prison, ping_of(prison))
    got = prison.publish(refused, *behind)
    assert [r.result for r in got] == [ACCEPTED] * 3
    assert sorted(r.sequence for r in got) == [r.sequence for r in got]
    assert prison.publish(refused)[0].result == DUPLICATE


def test_who_never_offers_it_again_goes_on_once_it_knows(narrow):
    prison = narrow.prison
    busy_then(narrow)
    later = need(prison, "C-1", "IN_PROGRESS")
    assert prison.publish(later)[0].code == "busy"
    answer(prison, ping_of(prison))
    assert prison.publish(later)[0].result == ACCEPTED


def test_a_new_session_holds_nothing(narrow):
    busy_then(narrow)
    later = need(narrow.prison, "C-1", "IN_PROGRESS")
    assert narrow.prison.publish(later)[0].code == "busy"
    narrow.prison.hello(session=2)     # on the same connection
    assert narrow.prison.publish(later)[0].result == ACCEPTED
    narrow.prison.pending.clear()
    busy_then(narrow)
    again = narrow.peer("pi-utrecht").hello(session=3)
    assert again.publish(need(again, "C-1", "OPEN"))[0].result == ACCEPTED


def test_an_answer_behind_what_waits_does_not_overtake_it(narrow):
    """The Ping's answer is read at once, frames wait for their turn: what came before the answer is held all the same."""
    prison = narrow.prison
    busy_then(narrow)
    number = ping_of(prison)
    with Stopped(narrow, prison) as stopped:
        stopped.offer(need(prison, "C-1", "IN_PROGRESS"))
        answer(prison, number)
        stopped.offer(need(prison, "C-1", "OPEN"))
    first, second = prison.receipts(2)
    assert (first.code, second.result) == ("busy", ACCEPTED)


def sequences(agency, name):
    """Of each case, what the receipts beside a file of the spool say, line by line."""
    found = {}
    lines = agency.wait_file("done", name).splitlines()
    receipts = agency.wait_file("done", name + ".receipts.jsonl").splitlines()
    assert len(lines) == len(receipts)
    for line, receipt in zip(map(json.loads, lines), map(json.loads, receipts)):
        assert receipt["result"] == "accepted", receipt
        found.setdefault(line["subject"], []).append(int(receipt["sequence"]))
    return found


@pytest.fixture
def prison_of():
    """Makes the prison's real agent; it is stopped at the end, whatever happened."""
    made = []

    def make(country):
        made.append(Agency(country, "pi-utrecht", spool=True))
        return made[0].start()

    yield make
    for agent in made:
        agent.close()


@pytest.mark.parametrize("code, every", [(errno.ENOMEM, 97), (MAP_FULL, 997)], ids=["busy", "storage-full"])
def test_the_real_agent_keeps_its_order_over_a_broker_that_fails_now_and_then(country, prison_of, code, every):
    failing = os.path.join(country.folder, "failing")
    country.environment = {"LD_PRELOAD": os.path.join(BUILD, "test", "shim_put.so"), "PUT_FAILS_WHILE": failing, "PUT_FAILS_EVERY": str(every), "PUT_FAILS_CODE": str(code)}
    country.expected_errors = ["the store is full", "operation failed: ", "a turn failed: "]
    country.start()
    country.endpoints = [country.bound[0]]
    prison = prison_of(country)
    cases = ["C-1", "C-2", "C-3"]
    prison.drop("first.jsonl", [{"type": "custody.started", "subject": case, "data": {"start": "2027-02-01T08:30:00Z", "origin": "0344", "destination": "0344"}} for case in cases])
    prison.wait_file("done", "first.jsonl")
    open(failing, "w", encoding="ascii").close()
    prison.drop("then.jsonl", [{"type": "need.screened", "subject": cases[i * i % 3], "data": {"need": "HOUSING", "status": "OPEN", "note": str(i)}} for i in range(3000)])
    wait_for(lambda: sum(country.count(name) for name in ("busy", "storage_full")) > 0, "refusals")
    refused_at = time.monotonic()
    wait_for(lambda: time.monotonic() - refused_at > 1 or country.count("accepted") == 3003, "some more of them")
    os.remove(failing)
    wait_for(lambda: os.path.exists(os.path.join(prison.spool, "done", "then.jsonl")), "everything", 60)
    found = sequences(prison, "then.jsonl")
    assert sum(map(len, found.values())) == 3000
    for case, numbers in found.items():
        assert numbers == sorted(numbers), f"{case}: {[b for a, b in zip(numbers, numbers[1:]) if b < a][:5]} came too early"
