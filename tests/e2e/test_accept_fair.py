"""Proves that who has much to offer keeps nobody with little waiting: one share each, and then the receipts. Counted in events and receipts, not in time."""
import pytest

from country import wait_for
from test_accept_order import Stopped
from test_protocol_conversation import ACCEPTED, need, open_case

SHARE = 128            # items that one session gets in a round (broker/turn.c)
MUCH = 480             # as much as waits in a socket whose reader stands still


@pytest.fixture
def patient(country):
    """A broker whose turns end for any reason but time."""
    country.limits["turn"] = "1s"
    country.write_config()
    country.start()
    return country


def test_one_event_waits_for_one_share_of_a_flood(patient):
    loud, quiet = patient.peer("pi-rotterdam").hello(), patient.peer("pi-utrecht").hello()
    open_case(loud, "C-1")
    open_case(quiet, "C-2")
    for _ in range(50):     # until the broker finds both waiting when it goes on
        with Stopped(patient, loud) as stopped:
            stopped.offer(*[need(loud, "C-1", ("OPEN", "IN_PROGRESS")[i % 2]) for i in range(MUCH)])
            stopped.offer(need(quiet, "C-2", "OPEN"), by=quiet)
        frames = [loud.receive("receipts").items]
        mine = quiet.receipts(1)[0]
        while sum(map(len, frames)) < MUCH:
            frames.append(loud.receive("receipts").items)
        assert mine.result == ACCEPTED and {r.result for items in frames for r in items} == {ACCEPTED}
        before = sum(r.sequence < mine.sequence for items in frames for r in items)
        assert before == MUCH or before % SHARE == 0, "shares are whole"
        if before <= SHARE and len(frames[0]) == SHARE:
            return          # they shared a turn, and it ended when each had had a share: alone the loud one gets all of it, as below
    raise AssertionError("no turn ended for it")


def test_who_offers_much_alone_is_not_held_up(patient):
    """A turn without anybody who waits goes on."""
    loud = patient.peer("pi-rotterdam").hello()
    open_case(loud, "C-1")
    turns = patient.count("turns")
    with Stopped(patient, loud) as stopped:
        stopped.offer(*[need(loud, "C-1", ("OPEN", "IN_PROGRESS")[i % 2]) for i in range(MUCH)])
    assert {r.result for r in loud.receipts(MUCH)} == {ACCEPTED}
    wait_for(lambda: patient.count("items") == MUCH + 1, "the counters")
    assert patient.count("turns") - turns <= 2
