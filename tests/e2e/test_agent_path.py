"""Proves the path of one event through real agents: handed in once, delivered once, kept over kills of either side, shown, done, and purged."""
import json
import os
import re
import subprocess


from agency import custody
from country import BIN, wait_for


def test_from_prison_to_municipality(land):
    prison, town = land("pi-utrecht").start(), land("gm0344").start()
    receipt = custody(prison, "C-1")
    assert receipt["result"] == "accepted" and len(receipt["sequence"]) == 20
    line = town.wait_inbox(1)[0]
    assert (line["type"], line["subject"], line["sequence"]) == ("nl.reentry.custody.started", "C-1", receipt["sequence"])
    assert line["id"] == receipt["id"] and line["data"]["origin"] == "0344"
    assert line["source"] == "urn:nld:oin:00000099000000002001:systeem:pi-utrecht"
    assert prison.inbox() == []
    assert town.json("done", receipt["sequence"]) == [{"sequence": receipt["sequence"], "result": "done"}]
    assert town.inbox() == [] and [l["done"] for l in town.inbox("--all")] == [True]
    assert town.json("done", receipt["sequence"])[0]["result"] == "done", "done twice is done"
    refused = town.cli("done", "99", code=1)
    assert refused.stderr.startswith("reentry: #99: there is no such event")


def test_a_refusal_has_its_code_and_exit_status(land):
    prison = land("pi-utrecht").start()
    receipt = prison.publish("release.date-set", "C-none", date="2027-02-25", kind="EXPECTED", code=1)
    assert (receipt["result"], receipt["code"]) == ("refused", "no-such-case")
    receipt = prison.publish("release.date-set", "C-none", dat="2027-02-25", code=1)
    assert (receipt["result"], receipt["code"]) == ("refused", "malformed") and "dat" in receipt["detail"]
    assert prison.status()["outbox"]["refused"] == 1
    listed = prison.json("receipts", "--refused")
    assert [(l["code"], l["case"], l["type"]) for l in listed] == [("no-such-case", "C-none", "release.date-set")]
    assert prison.cli("publish", "release.date-set", code=2).stdout == ""


def test_the_same_id_again_is_a_duplicate(land):
    prison = land("pi-utrecht").start()
    one = "01890000-0000-7000-8000-000000000001"
    first = custody(prison, "C-1")
    again = prison.publish("custody.started", "C-1", "--id", first["id"], start="2027-02-01T08:30:00Z", origin="0344", destination="0344")
    assert (again["result"], again["sequence"], again["id"]) == ("duplicate", first["sequence"], first["id"])
    other = prison.publish("custody.started", "C-1", "--id", first["id"], start="2027-02-01T08:31:00Z", origin="0344", destination="0344", code=1)
    assert other["code"] == "id-conflict"
    assert prison.publish("custody.started", "C-2", "--id", one, start="2027-02-01T08:30:00Z", origin="0344")["id"] == one


def test_queued_while_the_broker_is_down(land):
    prison, town = land("pi-utrecht").start(), land("gm0344").start()
    custody(prison, "C-1")
    town.wait_inbox(1)
    land.country.kill()
    prison.wait_link("down")
    receipt = prison.publish("release.date-set", "C-1", "--timeout", "0.2", date="2027-12-24", kind="EXPECTED")
    assert receipt["result"] == "queued"
    assert "not yet confirmed" in prison.cli("publish", "release.date-unknown", "--case", "C-1", "--timeout", "0").stdout
    assert prison.status()["outbox"]["waiting"] == 2
    prison.kill()
    prison.start(up=False)
    assert prison.status()["outbox"]["waiting"] == 2
    land.country.start()
    wait_for(lambda: prison.status()["outbox"]["waiting"] == 0, "the outbox to empty")
    lines = wait_for(lambda: (lambda l: l if "nl.reentry.release.date-unknown" in [x["type"] for x in l] else None)(town.inbox("--all")), "what was queued")
    types = [l["type"].removeprefix("nl.reentry.") for l in sorted(lines, key=lambda l: l["sequence"])]
    assert types[0] == "custody.started" and [t for t in types if t.startswith("release.date")] == ["release.date-set", "release.date-unknown"]


def test_nothing_twice_and_nothing_lost_over_kills(land):
    prison, town = land("pi-utrecht").start(), land("gm0344").start()
    custody(prison, "C-1")
    asked = 60
    lines = [{"type": "need.status-changed", "subject": "C-1", "id": f"01890000-0000-7000-8000-{i:012}", "data": {"need": "WORK", "status": "OPEN", "note": f"n{i}"}} for i in range(asked)]
    path = os.path.join(prison.folder, "events.jsonl")
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(l) + "\n" for l in lines)
    for round_number in range(3):
        runner = subprocess.Popen([os.path.join(BIN, "reentry"), "-c", prison.config, "--json", "publish", "--file", path, "--timeout", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        victim = (prison, town, land.country)[round_number]
        wait_for(lambda: prison.status()["inbox"] is not None, "the agent to answer")
        victim.kill()
        victim.start()
        runner.wait(60)
    receipts = prison.json("publish", "--file", path, "--timeout", "30")
    assert {r["result"] for r in receipts} <= {"accepted", "duplicate"} and len(receipts) == asked
    got = wait_for(lambda: (lambda l: l if len(l) >= asked else None)([x for x in town.inbox("--all") if x["type"].endswith("status-changed")]), "all deliveries")
    notes = [l["data"]["note"] for l in sorted(got, key=lambda l: l["sequence"])]
    assert notes == [f"n{i}" for i in range(asked)], "each once, in order"


def test_follow_shows_what_arrives(land):
    prison, town = land("pi-utrecht").start(), land("gm0344").start()
    follower = subprocess.Popen([os.path.join(BIN, "reentry"), "-c", town.config, "--json", "inbox", "--follow"], stdout=subprocess.PIPE, text=True)
    try:
        receipt = custody(prison, "C-1")
        assert json.loads(follower.stdout.readline())["sequence"] == receipt["sequence"]
    finally:
        follower.kill()
        follower.wait()
        follower.stdout.close()
    assert town.status()["link"] == "up"


def test_case_queries_and_file_numbers(land):
    prison, town, stranger = land("pi-utrecht").start(), land("gm0344").start(), land("gm0599").start()
    custody(prison, "C-1")
    town.wait_inbox(1)
    assert town.json("link", "C-1", "2027/14") == [{"case": "C-1", "filenumber": "2027/14"}]
    assert town.inbox()[0]["filenumber"] == "2027/14"
    page, *timeline = town.json("case", "2027/14")
    assert (page["case"], page["filenumber"], page["custodian"]) == ("C-1", "2027/14", "pi-utrecht")
    assert [l["type"] for l in timeline] == ["nl.reentry.custody.started"]
    assert [l["filenumber"] for l in town.json("cases")] == ["2027/14"]
    assert town.publish("need.screened", "2027/14", need="WORK", status="OPEN")["result"] == "accepted"
    assert "2027/14" in town.cli("case", "C-1").stdout
    failed = stranger.cli("case", "C-1", code=1)
    assert "no-such-case" in failed.stderr and failed.stdout == ""
    assert {l["agency"] for l in town.json("directory")} >= {"pi-utrecht", "care-a"}
    assert "telephone of care-a" in town.cli("directory", "care-a").stdout
    assert "2027/14" not in land.country.log()


def test_handover_steps_are_one_command_each(land):
    prison, town, care = land("pi-utrecht").start(), land("gm0344").start(), land("care-a").start()
    custody(prison, "C-1")
    assert town.publish("handover.offered", "C-1", handover="H-1", to="care-a", need="HOUSING", region="Utrecht")["result"] == "accepted"
    offered = care.wait_inbox(1)[0]
    assert offered["data"]["offer"] == 1 and "decide_by" in offered["data"]
    assert [(l["handover"], l["case"]) for l in care.json("offers")] == [("H-1", "C-1")]
    assert care.json("receive", "H-1")[0]["result"] == "accepted"
    assert care.json("ask", "H-1", "since when?")[0]["result"] == "accepted"
    wait_for(lambda: any(l["type"].endswith("info-requested") and l["data"]["note"] == "since when?" for l in town.inbox()), "the question")
    assert town.json("answer", "H-1", "since March")[0]["result"] == "accepted"
    assert care.json("accept", "H-1", "2027-12-20")[0]["result"] == "accepted"
    assert care.json("offers") == []
    wait_for(lambda: any(l["type"].endswith("handover.accepted") and l["data"]["offer"] == 1 for l in town.inbox()), "the acceptance")
    assert care.json("accept", "H-2", code=1) == []
    assert care.cli("accept", "H-2", code=1).stderr.startswith("reentry: unknown: ")


def test_people_read_their_language_and_programs_json(land):
    prison, town = land("pi-utrecht").start(), land("gm0344").start()
    said = prison.cli("publish", "custody.started", "--case", "C-1", "--set", "start=2027-02-01T08:30:00Z", "--set", "origin=0344").stdout
    assert re.fullmatch(r"accepted #[0-9]+\n", said)
    assert prison.publish("release.date-set", "C-1", date="2027-12-24", kind="EXPECTED")["result"] == "accepted"
    town.wait_inbox(1, "--type", "release.date-set")
    dutch, english = town.cli("--lang", "nl", "inbox").stdout, town.cli("inbox", "--lang", "en").stdout
    assert "datum van vrijlating" in dutch and "vrijdag 24 december 2027" in dutch and "verwacht" in dutch
    assert "release date" in english and "Friday 24 December 2027" in english and "expected" in english
    assert "\033" not in dutch + english, "colour only on a terminal"
    page = town.cli("--lang", "nl", "case", "C-1").stdout
    assert "vrijdag 24 december 2027" in page and "u bent" in page and "Verloop" in page
    assert "postvak uit" in town.cli("--lang", "nl", "status").stdout
    assert town.cli("inbox", "--case", "C-none").stdout == "Nothing is waiting for you.\n" and town.json("inbox", "--case", "C-none") == []
    for wrong in (["inbox", "extra"], ["done"], ["done", "x"], ["nothing"], ["inbox", "--colour"], ["publish", "a.b"], ["replay"], ["case"], ["--lang", "fr", "inbox"], ["publish", "a.b", "--case"]):
        failed = town.cli(*wrong, code=2)
        assert failed.stdout == "" and failed.stderr.startswith("reentry: ") and len(failed.stderr.splitlines()) == 1, wrong
    for command in ("inbox", "publish", "accept", "admin", "replay"):
        assert town.cli(command, "--help").stdout.startswith("Usage: reentry ")
    assert town.json("link", "C-1", "-", input="dossier 5\n") == [{"case": "C-1", "filenumber": "dossier 5"}]


def test_who_loses_the_case_keeps_nothing(land):
    prison, town = land("pi-utrecht").start(), land("gm0344", spool=True).start()
    custody(prison, "C-1", origin="0599")
    town.wait_inbox(1)
    town.json("link", "C-1", "dossier-of-mr-x")
    wait_for(lambda: town.out(), "a copy")
    assert prison.publish("destination.changed", "C-1", destination="0599")["result"] == "accepted"
    lines = wait_for(lambda: (lambda l: l if [x["type"] for x in l] == ["nl.reentry.case.withdrawn"] else None)(town.inbox("--all")), "the withdrawal alone")
    assert lines[0]["data"] == {} and "filenumber" not in lines[0]
    wait_for(lambda: [re.sub("^[0-9]*-", "", n) for n in town.out()] == ["case.withdrawn.json"], "the copies to go")
    town.json("done", lines[0]["sequence"])
    assert town.inbox("--all") == []
    assert town.json("link", "C-1") == [{"case": "C-1"}]


def test_an_unknown_key_is_told_plainly(land, broker):
    from country import Key
    Key(broker.keys_folder, "stranger")
    broker.expected_errors.append("unknown|denied|refused")
    agent = land("gm0344", key="stranger")
    agent.start(up=False)
    wait_for(lambda: "add our public key" in agent.status().get("why", ""), "the reason")
    assert agent.status()["link"] == "down"
    assert "add our public key" in agent.cli("status").stdout


def test_two_agents_of_one_store_or_socket(land, programs):
    agent = land("gm0344").start()
    second = programs("reentry-agent", "-c", agent.config)
    assert second.returncode == 1 and "gm0344" in second.stderr and len(second.stderr.splitlines()) == 1
    agent.stop()
    nobody = agent.cli("status", code=1)
    assert "start the agent first" in nobody.stderr and nobody.stdout == ""


def test_reload_keeps_the_session_of_a_bad_file(land):
    agent = land("gm0344").start()
    agent.expected_errors.append("reload=refused")
    since = agent.status()["since"]
    with open(agent.config, "a", encoding="utf-8") as f:
        f.write("colour = 1;\n")
    agent.process.send_signal(1)
    wait_for(lambda: "reload=refused" in agent.log(), "the refusal")
    assert "colour" in agent.log()
    agent.write_config()
    assert (agent.status()["link"], agent.status()["since"]) == ("up", since)
    agent.process.send_signal(1)
    wait_for(lambda: "reload=done" in agent.log(), "the reload")
    agent.wait_link("up")


def test_check_and_print(land, programs):
    agent = land("gm0344", spool=True)
    assert programs("reentry-agent", "-n", "-c", agent.config).returncode == 0
    printed = programs("reentry-agent", "-nv", "-c", agent.config)
    assert printed.returncode == 0 and 'id = "gm0344";' in printed.stdout
    again = os.path.join(agent.folder, "again.cfg")
    with open(again, "w", encoding="utf-8") as f:
        f.write(printed.stdout)
    assert programs("reentry-agent", "-nv", "-c", again).stdout == printed.stdout
    with open(again, "a", encoding="utf-8") as f:
        f.write("agnt = 1;\n")
    wrong = programs("reentry-agent", "-n", "-c", again)
    assert wrong.returncode == 1 and "again.cfg:" in wrong.stderr and "agnt" in wrong.stderr
    assert programs("reentry-agent").returncode == 2
