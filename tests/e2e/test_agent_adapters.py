"""Proves the adapters with real daemons: a spool that settles every file, and a command per event that is retried, ordered, timed out and given up visibly."""
import json
import os
import stat


from agency import custody
from country import wait_for


def script(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path


def read(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


def started(case):
    return {"type": "custody.started", "subject": case, "data": {"start": "2027-02-01T08:30:00Z", "origin": "0344", "destination": "0344"}}


def need(case, note):
    return {"type": "need.status-changed", "subject": case, "data": {"need": "WORK", "status": "OPEN", "note": note}}


def test_spool_in_and_out(land):
    prison, town = land("pi-utrecht", spool=True).start(), land("gm0344", spool=True).start()
    prison.drop("night.jsonl", [started("C-1"), *[need("C-1", f"n{i}") for i in range(50)]])
    receipts = [json.loads(l) for l in prison.wait_file("done", "night.jsonl.receipts.jsonl").splitlines()]
    assert [r["line"] for r in receipts] == list(range(1, 52)) and {r["result"] for r in receipts} == {"accepted"}
    wait_for(lambda: os.path.exists(os.path.join(prison.spool, "done", "night.jsonl")), "the file to move")
    assert os.listdir(os.path.join(prison.spool, "in")) == []
    wait_for(lambda: len(town.out()) == 51, "51 files")
    sequences = [int(name.split("-")[0]) for name in town.out()]
    assert sequences == [int(r["sequence"]) for r in receipts]
    with open(os.path.join(town.spool, "out", town.out()[1]), encoding="utf-8") as f:
        assert json.load(f)["data"]["note"] == "n0"


def test_spool_names_the_bad_line(land):
    prison = land("pi-utrecht", spool=True).start()
    prison.drop("bad.jsonl", [started("C-1"), '{"type":"need.screened","subject":"C-1","data":{"ned":"WORK"}}', need("C-none", "x"), need("C-1", "y")])
    errors = prison.wait_file("failed", "bad.jsonl.errors").splitlines()
    assert len(errors) == 2 and errors[0].startswith("line 2: malformed: data.ned") and errors[1].startswith("line 3: no-such-case")
    receipts = [json.loads(l) for l in prison.wait_file("failed", "bad.jsonl.receipts.jsonl").splitlines()]
    assert [(r["line"], r["result"]) for r in receipts] == [(1, "accepted"), (2, "refused"), (3, "refused"), (4, "accepted")]
    wait_for(lambda: prison.status()["spool"]["failed"] == 1, "the status")


def test_spool_over_kills(land):
    prison = land("pi-utrecht", spool=True).start()
    prison.drop("open.jsonl", [started("C-1")])
    prison.wait_file("done", "open.jsonl.receipts.jsonl")
    land.country.kill()
    prison.drop("kept.jsonl", [need("C-1", f"k{i}") for i in range(20)])
    wait_for(lambda: prison.status()["outbox"]["waiting"] == 20, "the outbox to fill")
    prison.kill()
    land.country.start()
    prison.start()
    receipts = [json.loads(l) for l in prison.wait_file("done", "kept.jsonl.receipts.jsonl").splitlines()]
    assert len(receipts) == 20 and {r["result"] for r in receipts} <= {"accepted", "duplicate"}
    events = prison.json("case", "C-1")[1:]
    assert sorted(e["data"]["note"] for e in events if e["type"].endswith("status-changed")) == sorted(f"k{i}" for i in range(20))


def test_exec_gets_each_event_once_in_order(land):
    folder = land.country.folder
    seen = os.path.join(folder, "seen")
    command = script(folder, "take", f'cat >>"{seen}"\n')
    prison, town = land("pi-utrecht").start(), land("gm0344", exec_command=[command], exec_options="parallel = 3;").start()
    custody(prison, "C-1")
    for i in range(8):
        prison.publish("need.status-changed", "C-1", need="WORK", status="OPEN", note=f"n{i}")
    wait_for(lambda: len(read(seen)) == 9, "nine runs")
    events = [json.loads(l) for l in read(seen)]
    assert [e["data"].get("note") for e in events] == [None, *[f"n{i}" for i in range(8)]]
    wait_for(lambda: town.status()["exec"] == {"waiting": 0, "running": 0, "given_up": 0}, "the queue to empty")
    assert len(town.inbox("--all")) == 9, "what the command took is still the agency's to deal with"


def test_exec_is_retried_and_given_up_visibly(land):
    folder = land.country.folder
    tries = os.path.join(folder, "tries")
    open_door = os.path.join(folder, "open")
    command = script(folder, "fail", f'echo "$REENTRY_SEQUENCE" >>"{tries}"; cat >/dev/null; test -e "{open_door}"\n')
    town = land("gm0344", exec_command=[command], exec_options='attempts = 3; backoff = "20ms";')
    town.expected_errors.append("exec=given-up")
    prison = land("pi-utrecht").start()
    town.start()
    first, second = custody(prison, "C-1"), custody(prison, "C-2")
    wait_for(lambda: town.status()["exec"]["given_up"] == 2, "two given up")
    assert sorted(read(tries)) == sorted([first["sequence"]] * 3 + [second["sequence"]] * 3)
    town.kill()
    town.start()
    assert town.status()["exec"]["given_up"] == 2, "not forgotten by a restart"
    assert "2 given up" in town.cli("status").stdout
    with open(open_door, "w", encoding="utf-8"):
        pass
    assert town.json("retry", first["sequence"])[0]["result"] == "queued"
    wait_for(lambda: town.status()["exec"] == {"waiting": 0, "running": 0, "given_up": 1}, "the retried one to pass")
    assert town.json("done", second["sequence"])[0]["result"] == "done"
    assert town.status()["exec"]["given_up"] == 0


def test_exec_that_hangs_is_stopped_and_blocks_no_other_case(land):
    folder = land.country.folder
    seen = os.path.join(folder, "seen")
    command = script(folder, "hang", f'event=$(cat)\ncase "$event" in *C-hang*) exec tail -f /dev/null;; esac\necho "$event" >>"{seen}"\n')
    town = land("gm0344", exec_command=[command], exec_options='attempts = 1; timeout = "300ms"; parallel = 2;')
    town.expected_errors.append("exec=given-up")
    prison = land("pi-utrecht").start()
    town.start()
    custody(prison, "C-hang")
    custody(prison, "C-2")
    wait_for(lambda: len(read(seen)) == 1 and town.status()["exec"] == {"waiting": 0, "running": 0, "given_up": 1}, "one passed, one given up")
    assert town.status()["link"] == "up"
