"""Proves that an operator's order of erasure is executed only when another operator confirms it, that everyone who held the case is told, and that nothing of it is shown afterwards."""
import grp
import json
import os
import subprocess
import sys

import pytest
from country import DEADLINE
from test_protocol_conversation import ACCEPTED, need, open_case

OTHER = 65534   # another operator; given access to the socket, as a group would have
GROUP = grp.getgrgid(OTHER).gr_name

ASK = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect("broker.sock"); s.sendall(sys.argv[3].encode() + b"\\n")
for line in s.makefile("r"):
    print(line, end="", flush=True)
    if '"end"' in line: break
"""


def ask_as(country, uid, share=True, **request):
    run = os.path.join(country.folder, "run")
    os.chmod(run, 0o711)
    if share:
        os.chmod(os.path.join(run, "broker.sock"), 0o666)
    done = subprocess.run([sys.executable, "-c", ASK, run, str(uid), json.dumps(request)], capture_output=True, text=True, timeout=DEADLINE)
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="two operators need root")
def test_two_operators_erase_a_case(broker):
    prison, town = broker.peer("pi-utrecht").hello(), broker.peer("gm0344").hello()
    open_case(prison, "C-1")
    open_case(prison, "C-2")
    assert prison.publish(need(prison, "C-1"))[0].result == ACCEPTED
    town.ack(*[d.sequence for d in town.deliveries(3)])
    assert broker.control(do="erase", case="C-1")[1]["end"] == "refused", "the ground is needed"
    assert broker.control(do="erase", case="C-9", order="art. 17")[1]["end"] == "refused"
    assert broker.control(do="erase", case="C-1", order="art. 17") == ([{"erase": "ordered"}], {"end": "ok"})
    assert broker.control(do="erase", case="C-1", order="art. 17", confirm=True)[1]["end"] == "refused", "not by who ordered it"
    assert prison.ask("case", case="C-1")[2].code == ""
    end, text = ask_as(broker, OTHER, do="erase", case="C-1", order="art. 17, seen", confirm=True)
    assert end == {"end": "ok"}, text
    assert {town.opened(d).type for d in town.deliveries(1)} == {"erasure.due"}
    broker.wait_log("erasures executed n=1")
    for peer in (prison, town):
        assert not any("HOUSING" in text for text in peer.ask("case", case="C-1")[0])
    assert prison.ask("case", case="C-2")[2].code == ""
    assert broker.control(do="rebuild")[0][0]["equal"] is True
    broker.kill()
    broker.start()
    assert broker.control(do="rebuild")[0][0]["equal"] is True


@pytest.mark.skipif(os.geteuid() != 0, reason="two operators need root")
def test_two_people_of_one_group_operate_the_broker(country, programs):
    country.start()
    assert ask_as_refused(country), "nobody but the broker's user, unless a group is named"
    country.stop()
    country.control_group = GROUP
    country.write_config()
    country.start()
    prison = country.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    operate = lambda *words: programs("reentry", "-c", country.config, "admin", "erase", "C-1", *words)
    assert "no erasure of case C-1 is ordered" in operate("--confirm").stderr
    assert operate("--order", "wrong case").returncode == 0
    assert operate("--withdraw", "--order", "it was another").returncode == 0
    assert operate("--order", "art. 17").returncode == 0
    alone = operate("--confirm")
    assert alone.returncode == 1 and "another operator must confirm it" in alone.stderr and alone.stderr.count("\n") == 1
    end, text = ask_as(country, OTHER, share=False, do="erase", case="C-1", confirm=True)
    assert end == {"end": "ok"}, text
    country.wait_log("erasures executed n=1")


def ask_as_refused(country):
    with pytest.raises(IndexError):   # not one line of an answer
        ask_as(country, OTHER, share=False, do="status")
    return True
