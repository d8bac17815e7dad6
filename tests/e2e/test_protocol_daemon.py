"""Proves the broker's duties as a daemon: command line, systemd's datagrams, a clean stop, a silent log, bounded memory for idle agents, and deadlines that fire by the clock."""
import os
import socket
import time

from country import wait_for
from test_protocol_conversation import ACCEPTED, custody, need, open_case

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "config", "example", "broker.cfg")


def test_the_command_line(programs, country):
    for arguments, code in ((["--help"], 0), (["--version"], 0), (["-n", "-c", country.config], 0), (["-nv", "-c", country.config], 0), ([], 2), (["-n"], 2),
                            (["--nonsense"], 2), (["-n", "-c", country.folder + "/none.cfg"], 1)):
        done = programs("reentry-broker", *arguments)
        assert done.returncode == code, (arguments, done)
        assert bool(done.stdout) == (code == 0 and arguments != ["-n", "-c", country.config]), arguments
        assert bool(done.stderr) == (code != 0)


def test_the_example_is_understood_without_its_keys(programs):
    done = programs("reentry-broker", "-nv", "-c", EXAMPLE)
    assert done.returncode == 0, done.stderr
    for id in ("gm0344", "audit-nl", "volunteers-nl"):
        assert f'"{id}"' in done.stdout


def test_systemd_is_told(country):
    path = country.folder + "/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(20)
        country.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}
        country.start()
        seen = [notify.recv(100).decode()]
        assert seen[0] == "READY=1"
        assert notify.recv(100).decode() == "WATCHDOG=1"
        country.reload()
        assert country.stop() == 0
        notify.setblocking(False)
        while True:
            try:
                seen.append(notify.recv(100).decode())
            except BlockingIOError:
                break
        seen = [s for s in seen if s != "WATCHDOG=1"]
        assert seen == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def test_a_stop_leaves_nothing_behind(broker):
    broker.peer("gm0344").hello()
    assert broker.stop() == 0
    assert os.listdir(broker.folder + "/run") == ["broker.sock.pid"]


def test_nothing_of_a_case_is_logged(broker):
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    event = broker.proto.event
    open_case(prison, "C-secret-7")
    secret = event.NeedStatusChanged(need=2, status=3, note="sentinel-of-a-note")
    assert prison.publish(prison.content("need.screened", "C-secret-7", secret))[0].result == ACCEPTED
    assert prison.publish(prison.content("need.screened", "C-secret-7", secret) + b"\x0a\x01x")[0].code == "malformed"
    town.ask("case", case="C-secret-7")
    town.send_bytes(b"sentinel-of-a-note")
    assert town.receive("bye").reason == "malformed"
    for word in ("C-secret-7", "sentinel"):
        assert word not in broker.log()
        assert word not in str(broker.status())


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))


def test_an_idle_agent_costs_little_memory(country):
    from country import Country, Key
    many = {f"idle{i:03}": ("care", f"000000990001{i:08}", []) for i in range(200)}
    for name in many:
        country.keys[name] = Key(country.keys_folder, name)
        country.key_files[name] = [country.keys[name].pub_path]
    country.agencies.update(many)
    country.write_config()
    country.start()
    country.peer("gm0344").hello()
    before = resident_kib(country.process.pid)
    for name in many:
        country.peer(name).hello()
    assert country.status()["connected"] == 201
    if "asan" not in os.environ.get("BUILD", ""):
        assert before < 10 * 1024
        assert (resident_kib(country.process.pid) - before) / 200 < 64


def test_deadlines_fire_by_the_clock(country):
    """A release date tomorrow, on a clock that runs a day in some seconds: the milestones of the last day arrive by themselves."""
    started = int(time.time() * 1000)
    country.environment = {"REENTRY_CLOCK": f"2027-02-22T12:00:00+01:00@120000#{started}"}
    country.start()
    prison, town = country.peer("pi-utrecht").hello(), country.peer("gm0344").hello()
    event = country.proto.event
    assert prison.publish(custody(prison, "C-1", start=1_803_200_000_000))[0].result == ACCEPTED
    date = (1_803_200_000_000 // 86_400_000) + 6
    assert prison.publish(prison.content("release.date-set", "C-1", event.ReleaseDateSet(date=event.Date(days=date), kind=1)))[0].result == ACCEPTED
    milestones = []

    def last_day():
        for delivery in town.receive("deliver").items:
            opened = town.opened(delivery)
            town.ack(delivery.sequence)
            if opened.type == "release.approaching":
                notice = event.ReleaseApproaching()
                notice.ParseFromString(opened.data)
                milestones.append(notice.milestone)
        return milestones and milestones[-1] == 0
    wait_for(last_day, "milestone 0")
    assert milestones[-3:] == [2, 1, 0]


def test_a_need_that_is_told_in_a_burst_keeps_its_order(broker):
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    for i in range(40):
        open_case(prison, f"C-{i}")
    receipts = prison.publish(*[need(prison, f"C-{i % 40}", code=("HOUSING", "DEBT", "WORK")[i // 40 % 3]) for i in range(600)])
    assert {r.result for r in receipts} == {ACCEPTED}
    got = []
    while len(got) < 640:
        items = town.receive("deliver").items
        town.ack(*[d.sequence for d in items])
        got += [d.sequence for d in items]
    assert got == sorted(set(got))
