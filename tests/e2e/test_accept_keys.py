"""Proves what an operator is told about key files before and at a start, and that a change of the broker's own key outlives a kill -9 in the middle of it."""
import os
import subprocess
import sys

import pytest
from agency import Agency
from country import BIN, DEADLINE, Key

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "config", "example", "broker.cfg")


def change(country, old, new):
    """Writes the configuration with one text replaced."""
    country.write_config()
    with open(country.config, encoding="utf-8") as f:
        good = f.read()
    assert old in good
    with open(country.config, "w", encoding="utf-8") as f:
        f.write(good.replace(old, new))


def test_a_check_says_which_keys_are_missing_and_is_content(programs, country):
    done = programs("reentry-broker", "-n", "-c", country.config)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    change(country, "keys/gm0344.pub", "keys/none.pub")
    done = programs("reentry-broker", "-n", "-c", country.config)
    assert done.returncode == 0 and done.stderr.count("\n") == 1
    assert "1 key file is still missing" in done.stderr and "keys/none.pub" in done.stderr and "reentry keygen" in done.stderr
    done = programs("reentry-broker", "-n", "-c", EXAMPLE)
    assert done.returncode == 0 and done.stderr.count("\n") <= 1, "the example has no keys: they are made at the first start of the demo"


@pytest.mark.parametrize("old, new, said", [
    ("keys/gm0344.pub", "keys/gm0599.pub", ["gm0344", "gm0599", "same key"]),
    ("keys/gm0344.pub", "broker.cfg", ["gm0344", "not a key file"]),
    ("keys/broker.key", "open.key", ["open.key", "chmod 600"]),
    ("keys/broker.key", "keys/broker.key\"; old_key = \"keys/log.key", ["old_endpoints", "both or neither"]),
    ("keys/broker.key", "keys/broker.key\"; old_key = \"keys/log.key\"; old_endpoints = [ \"tcp://127.0.0.1:*\" ]; #", ["old_endpoints", "one key"]),
])
def test_a_check_finds_bad_keys_as_a_start_does(programs, country, old, new, said):
    Key.write(os.path.join(country.folder, "open.key"), 0o644, country.keys["broker"].secret, bytes(32))
    change(country, old, new if "#" not in new else new.replace("#", 'store = "store"; control = "run/broker.sock"; #'))
    for arguments in (["-n"], []):
        done = programs("reentry-broker", *arguments, "-c", country.config)
        assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
        assert all(word in done.stderr for word in said), done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="to be somebody else needs root")
def test_an_unreadable_key_is_not_taken_for_a_missing_one(country):
    for folder in (country.folder, os.path.dirname(country.folder), os.path.dirname(os.path.dirname(country.folder))):
        os.chmod(folder, 0o711)
    os.chmod(country.config, 0o644)
    code = "import os, sys; os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, os.path.join(BIN, "reentry-broker"), "-n", "-c", country.config], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "Permission denied" in done.stderr and "chown" in done.stderr


@pytest.mark.parametrize("old, todo", [("keys/broker.key", "reentry keygen"), ("keys/gm0344.pub", "at the agency")])
def test_a_start_without_a_key_says_how_it_is_made(programs, country, old, todo):
    new = "keys/none" + old[-len(".key"):]
    change(country, old, new)
    done = programs("reentry-broker", "-c", country.config)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert new in done.stderr and todo in done.stderr


def test_a_change_of_the_brokers_key_outlives_a_kill(broker):
    """Half of the agencies have moved to the new key and endpoint when the broker dies: after the restart both halves come back by themselves."""
    first = broker.bound[0]
    prison = Agency(broker, "pi-utrecht")
    broker.peers.append(prison)   # closed with the peers, whatever happens
    prison.start()
    new_key = broker.keys["broker-new"] = Key(broker.keys_folder, "broker-new")
    broker.broker_key, broker.old_key = "broker-new", "broker"
    broker.endpoints, broker.old_endpoints = ["tcp://127.0.0.2:*"], [first]
    broker.write_config()
    # the endpoint of the start was configured as port "*": naming it by its port is another endpoint, so it is bound in a start of its own
    assert broker.stop() == 0
    broker.start()
    prison.wait_link("up")
    assert len(broker.bound) == 2 and first in broker.bound
    moved = next(e for e in broker.bound if e != first)
    town = broker.peer("gm0344", server_key=new_key, endpoint=moved).hello()
    prison.publish("custody.started", "C-1", start="2026-11-01T08:30:00Z", origin="0344", destination="0344")
    assert town.deliveries(1)
    broker.kill()
    assert prison.publish("custody.leave-started", "C-1", "--timeout", "0", at="2026-11-02T08:30:00Z")["result"] == "queued"
    broker.endpoints = [moved]
    broker.write_config()
    broker.start()
    prison.wait_link("up")
    again = broker.peer("gm0344", server_key=new_key, endpoint=moved).hello()
    seen = []
    while "custody.leave-started" not in seen:   # each wait within has its deadline
        seen += [again.opened(item).type for item in again.receive("deliver").items]
    assert seen[0] == "custody.started", "what was not acknowledged before the kill comes again, and first"


def test_a_changed_key_without_old_endpoints_is_warned_of(broker):
    Key(broker.keys_folder, "broker-new")
    broker.broker_key = "broker-new"
    broker.write_config()
    broker.reload()
    broker.wait_log("name it in old_endpoints with its old_key")
    broker.peer("gm0344", server_key=broker.keys["broker"]).hello()
