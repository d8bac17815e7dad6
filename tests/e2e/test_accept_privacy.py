"""Proves that what people write about a person stands where it belongs and nowhere else: not in logs, status, counters, names of files, lists of processes, core dumps, or in clear in any store."""
import json
import os
import signal
import subprocess

from agency import custody
from country import BIN, DEADLINE, wait_for

NAME, FILE_NUMBER, GROUND = "Johannes-de-Vries", "DOSSIER-77-4411", "brief-van-Johannes"
PLANTED = [NAME, FILE_NUMBER, GROUND, "Keizersgracht-7"]


def found_in(content, where):
    """Which of the planted texts stand in it, in any letters."""
    low = content.lower()
    return [(where, p) for p in PLANTED if p.lower().encode() in low or p.lower().encode("utf-16-le") in low]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def process_of(pid):
    return b"\0".join(read(f"/proc/{pid}/{name}") for name in ("cmdline", "comm", "environ") if os.access(f"/proc/{pid}/{name}", os.R_OK))


def live(land):
    """A case with personal data in every place where people can write freely; refused and malformed ones too."""
    prison, town = land("pi-utrecht").start(), land("gm0344", spool=True).start()
    custody(prison, "C-1")
    for text in (f"{NAME} wil werken", "Keizersgracht-7 bis"):
        assert prison.publish("need.status-changed", "C-1", need="WORK", status="OPEN", note=text)["result"] == "accepted"
    assert prison.publish("need.status-changed", "C-none", need="WORK", status="OPEN", note=NAME, code=1)["result"] == "refused"
    assert prison.publish("need.status-changed", "C-1", need=NAME, status="OPEN", code=1)["result"] == "refused"
    assert town.cli("link", "C-1", "-", input=FILE_NUMBER + "\n").returncode == 0
    town.wait_inbox(1)
    wait_for(lambda: len(town.out()) >= 3, "the copies in out/")
    auditor = land("audit-nl").start()
    assert auditor.cli("replay", "--purpose", f"klacht van {NAME}").returncode == 0
    assert land.country.control(do="erase", case="C-1", order=GROUND)[1] == {"end": "ok"}
    assert land.country.control(do="erase", case="C-1", order=f"toch niet, {NAME}", withdraw=True)[1] == {"end": "ok"}
    return prison, town, auditor


def test_nothing_of_a_person_where_it_does_not_belong(land):
    country = land.country
    prison, town, auditor = live(land)
    stray = []
    for one in (country, prison, town, auditor):
        stray += found_in(read(one.log_path), "the log " + one.log_path)
        stray += found_in(process_of(one.process.pid), f"process {one.process.pid}")
        limits = read(f"/proc/{one.process.pid}/limits").decode()
        core = next(line.split() for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core[4:6] == ["0", "0"], "no core dump, and no way back to one"
    for answer in (country.control(do="status"), country.control(do="queues"), country.control(do="timers"), prison.json("status"), town.json("status")):
        stray += found_in(json.dumps(answer).encode(), "a status")
    texts = {os.path.join(town.spool, "out", name) for name in town.out()}       # the agency's own system reads them there
    for folder, folders, files in os.walk(country.folder):
        stray += found_in("\n".join(folders + files).encode(), "names in " + folder)
        for name in files:
            path = os.path.join(folder, name)
            if path not in texts and os.path.isfile(path):
                stray += found_in(read(path), path)
    assert not stray
    assert any(found_in(read(path), path) for path in texts), "what is looked for can be found"


def test_a_process_that_is_killed_leaves_no_core(land):
    country = land.country
    prison, town, _ = live(land)
    for one in (country, prison, town):
        assert one.stop(signal.SIGABRT) == -signal.SIGABRT
    names = [name for _, _, files in os.walk(country.folder) for name in files]
    assert not [n for n in names if n.startswith("core") or ".core" in n]
    for one in (country, prison, town):
        one.start()
    wait_for(lambda: town.status()["link"] == "up", "the link")


def test_the_command_puts_no_secret_into_the_list_of_processes(land):
    """A file number is read from stdin when the administrator asks for that."""
    prison = land("pi-utrecht").start()
    custody(prison, "C-1")
    running = subprocess.Popen([os.path.join(BIN, "reentry"), "-c", prison.config, "link", "C-1", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert not found_in(process_of(running.pid), "the command")
        out, err = running.communicate((FILE_NUMBER + "\n").encode(), DEADLINE)
        assert running.returncode == 0, err
        assert FILE_NUMBER.encode() in out
    finally:
        running.kill()
        running.wait()
