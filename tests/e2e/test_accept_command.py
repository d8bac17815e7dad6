"""Proves of the command what its manual says to the people who type it: every request takes effect, a mistake is one line that names what to do, and what is printed is true."""
import json
import os
import re
import subprocess

from agency import custody
from country import BIN, wait_for


def operate(programs, country, *words, code=0):
    done = programs("reentry", "-c", country.config, *words)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done


def test_what_is_due_next(land, programs):
    prison = land("pi-utrecht").start()
    custody(prison, "C-1")
    prison.publish("release.date-set", "C-1", date="2030-02-25", kind="EXPECTED")
    custody(prison, "C-2")
    prison.publish("release.date-set", "C-2", date="2029-02-25", kind="EXPECTED")
    due = [json.loads(line) for line in operate(programs, land.country, "--json", "admin", "timers").stdout.splitlines()]
    assert {d["case"] for d in due} == {"C-1", "C-2"} and [d["due"] for d in due] == sorted(d["due"] for d in due)
    assert [json.loads(line) for line in operate(programs, land.country, "--json", "admin", "timers", "--max", "3").stdout.splitlines()] == due[:3]


def test_an_operator_hears_that_it_is_done(broker, programs):
    assert "nothing waits" in operate(programs, broker, "admin", "queues").stdout
    assert "no deadline" in operate(programs, broker, "admin", "timers").stdout
    assert "taken over" in operate(programs, broker, "admin", "reload").stdout
    assert operate(programs, broker, "--json", "admin", "reload").stdout == ""


def test_a_rehearsal_takes_the_configuration_from_either_place(country, programs, tmp_path):
    scenario = tmp_path / "one.jsonl"
    scenario.write_text('{"at":"2027-02-01T10:00:00+01:00","by":"pi-utrecht","event":{"type":"custody.started","subject":"C-1","data":{"start":"2027-02-01T09:00:00Z","origin":"0344"}}}\n')
    behind = programs("reentry", "rehearse", "-c", country.config, str(scenario))
    before = programs("reentry", "-c", country.config, "rehearse", str(scenario))
    assert behind.returncode == 0 and "accepted" in behind.stdout
    assert (before.returncode, before.stdout, before.stderr) == (0, behind.stdout, "")
    assert programs("reentry", "--json", "rehearse", "-c", country.config, str(scenario)).stdout == behind.stdout
    wrong = programs("reentry", "rehearse", "-c", country.config, "--bogus")
    assert wrong.returncode == 2 and "--bogus" in wrong.stderr


def test_a_refusal_names_what_would_be_right(land):
    prison, town = land("pi-utrecht").start(), land("gm0344").start()
    custody(prison, "C-1")
    town.wait_inbox(1)
    wrong = prison.publish("need.screened", "C-1", need="DEBT", status="WRONG", code=1)
    assert wrong["detail"] == "status: not one of UNKNOWN, NONE, OPEN, IN_PROGRESS, ARRANGED, DECLINED_BY_PERSON, NOT_POSSIBLE"
    assert "not one of NEW, SUPERSEDE, CANCEL, RETRACT" in prison.cli("publish", "need.screened", "--case", "C-1", "--op", "UNDO", code=1).stderr
    sequence = town.inbox()[0]["sequence"]
    again = town.cli("retry", sequence, code=1).stderr
    assert "was not given up" in again and again.count("\n") == 1
    bad = prison.cli("publish", "--file", "-", code=1, input="{}\nnot json\n").stdout
    assert re.search(r"line 2: refused: malformed: column 3: not JSON", bad), bad
    lines = prison.json("publish", "--file", "-", code=1, input='\n{}\nnot json\n' + "x" * 2000000 + "\n")
    assert [(l["line"], l["code"]) for l in lines] == [(2, "malformed"), (3, "malformed"), (4, "too-large")]
    assert "geweigerd" in prison.cli("--lang", "nl", "receipts").stdout and "aangenomen #" in prison.cli("--lang", "nl", "receipts").stdout


def test_a_day_is_the_moment_at_which_it_begins(land):
    prison, town = land("pi-utrecht").start(), land("gm0344").start()
    custody(prison, "C-1")
    town.wait_inbox(1)
    day = town.inbox()[0]["recordedtime"][:10]
    assert len(town.inbox("--since", "2020-01-01")) == 1 and len(town.inbox("--since", day[:4] + "-01-01")) == 1
    assert town.inbox("--since", "2099-01-01") == []
    assert "a day" in town.cli("inbox", "--since", "yesterday", code=2).stderr
    auditor = land("audit-nl").start()
    assert len(auditor.json("replay", "--purpose", "a test", "--from", "2020-01-01")) == 1
    assert auditor.json("replay", "--purpose", "a test", "--to", "2020-01-01") == []
    assert "a number" in auditor.cli("replay", "--purpose", "a test", "--after", "x", code=2).stderr


def test_what_is_no_event_says_what_it_is(land):
    prison, town, auditor = land("pi-utrecht").start(), land("gm0344").start(), land("audit-nl").start()
    custody(prison, "C-1")
    town.wait_inbox(1)
    town.cli("case", "C-1")
    page = wait_for(lambda: (lambda text: text if "acked" in text else None)(auditor.cli("replay", "--purpose", "why not", "--records").stdout), "an acknowledgement on record")
    assert re.search(r"routed +→ gm0344\n", page) and re.search(r"delivered +#\d+\n", page), page
    assert re.search(r"replay +case · case=C-1 · shown\n", page), page
    assert "why not · started" in auditor.cli("replay", "--purpose", "again", "--records").stdout
    state = auditor.cli("replay", "--purpose", "why", "--case", "C-1", "--as-of", page_moment(auditor)).stdout
    assert re.search(r"\n\n  as on record on \w{3} \d+ \w+ \d{4} \d\d:\d\d, up to #\d+\n", state), state


def page_moment(auditor):
    return auditor.json("replay", "--purpose", "a test", "--limit", "1")[0]["recordedtime"]


def test_begun_before_the_day_that_was_agreed(land):
    prison, town, care = land("pi-utrecht").start(), land("gm0344").start(), land("care-a").start()
    custody(prison, "C-1")
    town.publish("handover.offered", "C-1", handover="H-1", to="care-a", need="CARE")
    care.wait_inbox(1)
    care.cli("accept", "H-1", "2100-01-04")
    care.cli("start", "H-1")
    page = town.cli("case", "C-1").stdout
    assert "agreed for Monday 4 January 2100" in page and "since" not in page, page


def test_why_the_link_broke_stays_to_be_read(land):
    town = land("gm0344").start()
    land.country.stop()
    wait_for(lambda: "link=down" in town.log(), "the broken link")
    town.wait_link("down")
    assert re.findall(r'link=down .*why="([^"]*)"', town.log())[0] == "the broker is stopping"
    assert "by this side" not in town.log()


def test_a_bundle_that_is_none(country, programs):
    done = programs("reentry", "verify", country.config, "--key", os.path.join(country.keys_folder, "log.pub"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1) and "is no bundle" in done.stderr
    several = os.path.join(country.folder, "several")
    with open(several, "w", encoding="utf-8") as f:
        f.write("{}\n" * 100)
    done = programs("reentry", "verify", several, "--key", os.path.join(country.keys_folder, "log.pub"))
    assert done.returncode == 1 and done.stderr.count("\n") == 21 and re.search(r"does not hold: \d+ faults, of which 20 are told", done.stderr)


def test_a_configuration_is_checked_for_what_a_start_needs(country, programs):
    def check(program, change, text):
        with open(country.config, encoding="utf-8") as f:
            was = f.read()
        assert change[0] in was
        path = os.path.join(country.folder, "other.cfg")
        with open(path, "w", encoding="utf-8") as f:
            f.write(was.replace(*change, 1))
        done = programs(program, "-n", "-c", path)
        assert done.returncode == 1 and text in done.stderr and done.stderr.count("\n") == 1, done.stderr

    check("reentry-broker", ('role = "court"', 'role = "judge"'), "write one of court, prison, probation, municipality, care, housing, education, employer, volunteer, auditor, desk")
    check("reentry-broker", ('role = "court"', 'role = "broker"'), 'role "broker" is unknown')
    check("reentry-broker", ("/om-utrecht.pub", "/om-utrecht.key"), "name its .pub")


def test_an_agent_without_its_key_is_told_what_to_do(land, programs):
    town = land("gm0344", key="not-made")
    done = programs("reentry-agent", "-n", "-c", town.config)
    assert done.returncode == 0 and "the configuration is good" in done.stderr and "reentry keygen" in done.stderr and done.stderr.count("\n") == 1
    done = programs("reentry-agent", "-c", town.config)
    assert done.returncode == 1 and "reentry keygen" in done.stderr


def test_the_other_configuration_is_named(land, programs):
    town = land("gm0344").start()
    done = programs("reentry", "-c", land.country.config, "inbox")
    assert done.returncode == 1 and "name the agent's" in done.stderr and done.stderr.count("\n") == 1
    done = programs("reentry", "-c", town.config, "admin", "status")
    assert done.returncode == 1 and "name the broker's" in done.stderr and done.stderr.count("\n") == 1
    long = os.path.join(land.country.folder, "long")
    with open(long, "w", encoding="utf-8") as f:
        f.write("x" * 9000)
    done = town.cli("accept-epoch", long, code=1)
    assert "is no record of a new epoch" in done.stderr and done.stderr.count("\n") == 1


def folder_of(pid):
    """The folder of a rehearsal's own store: it holds it open."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except FileNotFoundError:
        return None      # one was closed meanwhile
    return next((link for link in links if re.search(r"/reentry-rehearse-\w{6}$", link)), None)


def test_what_a_killed_rehearsal_leaves_goes_with_the_next(country, programs, tmp_path):
    line = '{"at":"2027-02-01T10:00:00+01:00","by":"pi-utrecht","event":{"type":"custody.started","subject":"C-%d","data":{"start":"2027-02-01T09:00:00Z","origin":"0344"}}}\n'
    short, long = tmp_path / "short.jsonl", tmp_path / "long.jsonl"
    short.write_text(line % 1)
    long.write_text("".join(line.replace("10:00:00", f"10:{n // 60:02d}:{n % 60:02d}") % n for n in range(1500)))     # more than a pipe takes: it is at work until somebody reads
    command = [os.path.join(BIN, "reentry"), "rehearse", "-c", country.config, str(long)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as killed, subprocess.Popen(command, stdout=subprocess.PIPE) as living:
        left, used = [wait_for(lambda p=process: folder_of(p.pid), "a rehearsal's folder") for process in (killed, living)]
        killed.kill()
        killed.wait()
        assert os.path.isdir(left)
        assert programs("reentry", "rehearse", "-c", country.config, str(short)).returncode == 0
        assert not os.path.exists(left) and os.path.isdir(used)
        assert living.stdout.read().count(b'"receipt"') == 1500
    assert not os.path.exists(used)
