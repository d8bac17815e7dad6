"""Proves the way back: a live backup that holds nobody up, a restore that only a stopped broker allows, a log that is held until an operator begins a new epoch, agents that go along with it only on their
administrator's word, and nothing that was ever receipted lost or doubled."""
import json
import os
import shutil
import subprocess

import pytest
from agency import custody
from country import BIN, DEADLINE, wait_for
from test_accept_erase import OTHER, ask_as
from test_protocol_conversation import ACCEPTED, need, open_case
from test_protocol_witness import checkpointed


def admin(country, *words, code=0):
    done = subprocess.run([os.path.join(BIN, "reentry"), "-c", country.config, "--json", "admin", *words], capture_output=True, text=True, timeout=DEADLINE * 3)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return json.loads(done.stdout.splitlines()[-1]) if code == 0 and done.stdout else done.stderr


def backup(country, name="backup"):
    made = admin(country, "backup", os.path.join(country.folder, name))
    assert made["backup"] is True
    return os.path.join(country.folder, name), made["sequence"]


def note(agency, case, text):
    receipt = agency.publish("need.status-changed", case, need="WORK", status="OPEN", note=text)
    assert receipt["result"] == "accepted", receipt
    return receipt


def notes(agency):
    return sorted(l["data"]["note"] for l in agency.inbox("--all") if l["type"].endswith("status-changed"))


def begin_epoch(country, *more):
    path = os.path.join(country.folder, "epoch.txt")
    done = subprocess.run([os.path.join(BIN, "reentry"), "-c", country.config, "admin", "epoch", "--reason", "the disk broke", "--out", path, *more], capture_output=True, text=True, timeout=DEADLINE * 3)
    assert done.returncode == 0, done.stderr
    return path


def log_of(country):
    """Event ids of what is accepted in the log, with their sequences."""
    _, items, answer = country.peer("audit-nl").hello().ask("replay", purpose="a test", credit=4000)
    assert answer.code == "", answer
    peer = country.peers[-1]
    return {peer.opened(i).id: i.sequence for i in items}


def test_the_way_back_loses_nothing_and_doubles_nothing(land):
    country = land.country
    prison, town = land("pi-utrecht").start(), land("gm0344", spool=True).start()
    first = custody(prison, "C-1")
    receipts = [first] + [note(prison, "C-1", f"kept {i}") for i in range(3)]
    town.wait_inbox(1)
    assert country.control(do="checkpoint")[1] == {"end": "ok"}
    folder, covered = backup(country)
    lost = [note(prison, "C-1", f"lost {i}") for i in range(4)]
    custody(prison, "C-2")
    wait_for(lambda: len(notes(town)) == 7, "all deliveries")
    done = next(l for l in town.inbox("--all") if l["data"].get("note") == "lost 1")
    assert town.json("done", done["sequence"])[0]["result"] == "done"
    assert country.control(do="checkpoint")[1] == {"end": "ok"}
    size = country.control(do="checkpoint")[0][0]["size"]
    wait_for(lambda: prison.status()["inbox"] is not None and country.count("cosignatures") >= 4, "the witnesses")
    assert size > covered and town.stop() == 0
    files = set(town.out())
    country.kill()
    prison.wait_link("down")

    assert "the broker" not in admin(country, "restore", folder).get("error", "")
    country.expected_errors = ["^<3>held: restored from a backup"]
    prison.expected_errors = town.expected_errors = ["log=refused"]
    country.start()
    status = wait_for(lambda: (lambda s: s if s.get("alarm") else None)(prison.status()), "the first agent to recognise it")
    assert "restored" in status["why"] and status["link"] == "down"
    assert country.status()["held"].startswith("restored from a backup of")
    assert country.status()["counters"]["deliveries"] == 0
    town.start(up=False)
    waiting = prison.publish("release.date-unknown", "C-1", "--timeout", "0.2")
    assert waiting["result"] == "queued"

    record = begin_epoch(country)
    for one in (prison, town):
        status = wait_for(lambda: (lambda s: s if "new_epoch" in s else None)(one.status()), "the record of the new epoch")
        with open(record, encoding="utf-8") as f:
            assert status["new_epoch"] == f.read() and status["link"] == "down" and status["alarm"]
    assert country.status()["connected"] == 0, "nobody is served before its administrator has said so"

    forged = os.path.join(country.folder, "forged.txt")
    with open(record, encoding="utf-8") as f, open(forged, "w", encoding="utf-8") as g:
        g.write(f.read().replace("the disk broke", "a disk broke"))
    assert prison.cli("accept-epoch", forged, code=1).stderr.startswith("reentry: refused")
    accepted = prison.json("accept-epoch", record)[0]
    assert accepted["offered"] == 6 and accepted["epoch"] > 1, "four notes, a custody, and what was waiting"
    assert town.json("accept-epoch", record)[0]["lost"] > 0
    for one in (prison, town):
        one.wait_link("up")
    wait_for(lambda: prison.status()["outbox"]["waiting"] == 0, "everything to be offered again")

    in_log = log_of(country)
    assert {r["id"] for r in receipts + lost} <= set(in_log)
    wait_for(lambda: "lost" not in town.status() and "nl.reentry.release.date-unknown" in {l["type"] for l in town.inbox("--all")}, "every event again")
    assert notes(town) == sorted([f"kept {i}" for i in range(3)] + [f"lost {i}" for i in range(4)]), "each once"
    for line in town.inbox("--all"):
        if line["type"].endswith("status-changed"):
            assert int(line["sequence"]) == in_log[line["id"]], "under its sequence in the log that goes on"
    marked = [l for l in town.inbox("--all") if l.get("done")]
    assert {l["data"]["note"] for l in marked if "note" in l["data"]} == {"kept 0", "kept 1", "kept 2", "lost 0", "lost 1"}, "what was dealt with, with its older versions, is not to be dealt with again"
    assert len([l for l in town.inbox("--all") if l["type"].endswith("custody.started")]) == 2
    ids = [json.loads(town.wait_file("out", name))["id"] for name in town.out()]
    assert len(ids) == len(set(ids)) and files <= set(town.out()), "the agency's own system is given each once"
    assert country.control(do="rebuild")[0][0]["equal"] is True
    assert prison.stop() == 0 and town.stop() == 0 and country.stop() == 0
    done = subprocess.run([os.path.join(BIN, "reentry"), "-c", country.config, "verify", "--log"], capture_output=True, text=True, timeout=DEADLINE * 3)
    assert done.returncode == 0 or "is no command" in done.stderr, done.stderr
    country.start()
    for one in (prison, town):
        one.start()
        assert "alarm" not in one.status()


def test_who_was_shown_no_more_than_is_left_goes_along(land):
    country = land.country
    prison, town = land("pi-utrecht").start(), land("gm0344").start()
    custody(prison, "C-1")
    town.wait_inbox(1)
    wait_for(lambda: all(q["agency"] != "gm0344" for q in country.control(do="queues")[0]), "the acknowledgement")
    assert town.stop() == 0
    folder, _ = backup(country)
    country.kill()
    admin(country, "restore", folder)
    country.expected_errors = ["^<3>held: restored from a backup"]
    prison.expected_errors = ["log=refused"]
    country.start()
    begin_epoch(country)
    town.start()
    prison.wait_link("up")
    assert town.status()["epoch"] > 1 and "alarm" not in town.status()
    assert note(prison, "C-1", "after")["result"] == "accepted"
    wait_for(lambda: notes(town) == ["after"], "the delivery")


def test_a_restore_needs_a_stopped_broker_and_a_backup_that_holds(broker):
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    folder, covered = backup(broker)
    assert "stop the broker first" in admin(broker, "restore", folder, code=1)
    assert "is there already" in admin(broker, "backup", folder, code=1)
    assert "nothing that is known of" in admin(broker, "epoch", "--reason", "why not", code=1)
    assert broker.stop() == 0
    with open(os.path.join(broker.folder, "store", "data.mdb"), "rb") as f:
        before = f.read()
    damaged = os.path.join(broker.folder, "damaged")
    shutil.copytree(folder, damaged)
    with open(os.path.join(damaged, "data.mdb"), "r+b") as f:
        content = f.read()
        at = content.index(b"pi-utrecht")
        f.seek(at)
        f.write(bytes([content[at] ^ 1]))
    assert "nothing was changed" in admin(broker, "restore", damaged, code=1)
    with open(os.path.join(broker.folder, "store", "data.mdb"), "rb") as f:
        assert f.read() == before
    made = admin(broker, "restore", folder)
    assert made["records"] >= covered
    with open(os.path.join(made["before"], "data.mdb"), "rb") as f:
        assert f.read() == before, "what was in place is kept"
    broker.expected_errors = ["^<3>held:"]
    broker.start()
    peer = broker.peer("pi-utrecht")
    peer.send_hello(protocol=2)
    assert peer.receive("bye").reason == "held"
    assert "reason:" in admin(broker, "epoch", code=1)
    assert "the backup had" in admin(broker, "epoch", "--reason", "x", "--from", str(covered + 50), code=1)
    broker.kill()
    broker.start()
    assert broker.status()["held"], "a restart is no way out"


@pytest.mark.skipif(os.geteuid() != 0, reason="two operators need root")
def test_a_restore_does_not_bring_back_who_was_erased(broker):
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    for case in ("C-1", "C-2"):
        open_case(prison, case)
    assert prison.publish(need(prison, "C-1"))[0].result == ACCEPTED
    town.ack(*[d.sequence for d in town.deliveries(3)])
    folder, _ = backup(broker)
    open_case(prison, "C-3")
    for case in ("C-1", "C-3"):
        assert broker.control(do="erase", case=case, order="art. 17, by the court")[1] == {"end": "ok"}
        assert ask_as(broker, OTHER, do="erase", case=case, order="seen", confirm=True)[0] == {"end": "ok"}
    assert broker.stop() == 0
    admin(broker, "restore", folder)
    broker.expected_errors = ["^<3>held:"]
    broker.start()
    begin_epoch(broker)
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    for case in ("C-1", "C-3"):
        assert prison.ask("case", case=case)[2].code == "no-such-case"
        assert prison.publish(need(prison, case))[0].code == "no-such-case"
    assert prison.ask("case", case="C-2")[2].code == ""
    told = [town.opened(d) for d in town.receive("deliver").items]
    assert ("erasure.due", "C-1") in {(e.type, e.subject) for e in told}, "who held it is told again"
    assert broker.control(do="rebuild")[0][0]["equal"] is True
    _, items, _ = broker.peer("audit-nl").hello().ask("replay", purpose="a test")
    erased = [i for i in items if i.erased]
    assert erased and all(i.order == "art. 17, by the court" and not i.content for i in erased)
    lines, _, _ = broker.peer("audit-nl").hello().ask("replay", purpose="a test", records="true", credit=4000)
    assert [line["epoch"] > 1 for line in map(json.loads, lines) if line.get("record") == "epoch"] == [True], "that the log went on is on record, once"
    broker.kill()
    broker.start()
    assert broker.control(do="rebuild")[0][0]["equal"] is True


def test_version_1_is_served_as_before(broker):
    """An agent of the protocol before knows no horizon and no epoch record: it is sent neither."""
    prison, old, new = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello(), broker.peer("desk-nl").hello(protocol=2)
    open_case(prison, "C-1")
    _, covered = backup(broker)
    checkpointed(broker)
    told = new.receive("checkpoint")
    while told.horizon != covered:      # those that came by themselves before
        told = new.receive("checkpoint")
    while not old.nothing("checkpoint"):
        assert not old.receive("checkpoint").HasField("horizon")
    for field in ("last", "horizon", "new_epoch"):
        assert not old.welcome.HasField(field)
    assert old.welcome.protocol == 1 and new.welcome.protocol == 2 and new.welcome.HasField("last")
    assert [old.opened(d).type for d in old.deliveries(1)] == ["custody.started"]
    future = broker.peer("gm0599")
    future.send_hello(protocol=3)
    bye = future.receive("bye")
    assert (bye.reason, bye.detail) == ("protocol", "this broker speaks protocols 1 and 2")


def test_nobody_waits_for_a_backup(broker):
    """Events are taken in while the copy is being written, and what it covers is whole."""
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    prison.publish(*[need(prison, "C-1") for _ in range(300)])
    path = os.path.join(broker.folder, "big")
    running = subprocess.Popen([os.path.join(BIN, "reentry"), "-c", broker.config, "--json", "admin", "backup", path], stdout=subprocess.PIPE, text=True)
    try:
        while running.poll() is None:
            assert prison.publish(need(prison, "C-1"))[0].result == ACCEPTED
        made = json.loads(running.stdout.read().splitlines()[-1])
    finally:
        running.wait(DEADLINE)
        running.stdout.close()
    assert broker.status()["backup_sequence"] == made["sequence"]
    assert broker.stop() == 0
    assert admin(broker, "restore", path)["records"] >= made["sequence"]
    broker.expected_errors = ["^<3>held:"]
    broker.start()
