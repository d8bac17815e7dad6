"""Proves that the key decides who somebody is, that an unknown key stays outside, and that agencies' keys, the server's key and endpoints change by SIGHUP without a restart."""
import re

import zmq

from country import Key, wait_for
from peer import Peer
from test_protocol_conversation import ACCEPTED, custody, open_case


def events_until_closed(peer):
    """Names of the connection's events up to its end."""
    seen = []
    while True:
        event, value = peer.event()
        seen.append((event, value))
        if event in (zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
                     zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_DISCONNECTED):
            return seen


def connected(peer):
    return any(event == zmq.EVENT_HANDSHAKE_SUCCEEDED for event, _ in events_until_closed(peer))


def test_an_unknown_key_does_not_get_in_and_is_counted(country, tmp_path):
    country.start()
    stranger = Key(str(tmp_path), "stranger")
    peer = country.peer("gm0344", key=stranger)
    assert (zmq.EVENT_HANDSHAKE_FAILED_AUTH, 400) in events_until_closed(peer)
    for _ in range(20):
        again = Peer(country, "gm0344", key=stranger)
        assert not connected(again)
        again.close()
    assert country.count("unknown_keys") >= 21
    country.wait_log("no agency of the configuration has this key")
    assert len(re.findall("has this key", country.log())) == 1, "one line for all attempts of a period"
    assert stranger.public.decode() not in country.log()


def test_a_client_that_expects_another_server_key_does_not_talk(country, tmp_path):
    country.start()
    peer = country.peer("gm0344", server_key=Key(str(tmp_path), "other"))
    assert not connected(peer)


def test_an_agencys_key_is_added_used_and_withdrawn_by_reload(broker, tmp_path):
    new = Key(broker.keys_folder, "gm0344-new")
    assert not connected(broker.peer("gm0344", key=new))
    old_peer = broker.peer("gm0344").hello()
    broker.key_files["gm0344"].append(new.pub_path)
    broker.write_config()
    broker.reload()
    assert old_peer.nothing("bye"), "the session of the old key goes on"
    new_peer = broker.peer("gm0344", key=new).hello(session=2)
    assert old_peer.receive("bye").reason == "replaced"
    broker.key_files["gm0344"] = [new.pub_path]
    broker.write_config()
    broker.reload()
    assert new_peer.nothing("bye")
    assert not connected(broker.peer("gm0344"))
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    new_peer.deliveries(1)


def test_the_session_of_a_withdrawn_key_ends_at_once(broker):
    new = Key(broker.keys_folder, "gm0344-new")
    peer = broker.peer("gm0344").hello()
    broker.key_files["gm0344"] = [new.pub_path]
    broker.write_config()
    broker.reload()
    assert peer.receive("bye").reason == "unknown-agency"
    peer.send(hello=peer.proto.wire.Hello(protocol=1, agency="gm0344"))
    assert peer.receive("bye").reason == "unknown-agency", "the connection still stands, its key no longer counts"


def test_an_agency_comes_and_goes_by_reload(broker):
    gone = broker.agencies.pop("gm0599")
    gone_peer, stays = broker.peer("gm0599").hello(), broker.peer("gm0344").hello()
    prison = broker.peer("pi-utrecht").hello()
    broker.write_config()
    broker.reload()
    assert gone_peer.receive("bye").reason == "unknown-agency"
    gone_peer.send(ping=gone_peer.proto.wire.Ping(number=1))
    assert gone_peer.receive("bye").reason == "unknown-agency"
    open_case(prison, "C-1")
    stays.deliveries(1)
    broker.agencies["gm0599"] = gone
    broker.write_config()
    broker.reload()
    back = broker.peer("gm0599").hello()
    assert prison.publish(custody(prison, "C-2", "0599"))[0].result == ACCEPTED
    back.deliveries(1)


def test_a_new_server_key_comes_with_a_second_endpoint(broker):
    old = broker.peer("gm0344").hello()
    first = broker.bound[0]
    new_key = Key(broker.keys_folder, "broker-new")
    broker.keys["broker-new"] = new_key
    broker.broker_key = "broker-new"
    broker.endpoints = ["tcp://127.0.0.1:*", "tcp://127.0.0.2:*"]
    broker.write_config()
    broker.reload()
    assert broker.bound[0] == first and len(broker.bound) == 2
    assert old.nothing("bye")
    broker.peer("gm0599", server_key=broker.keys["broker"], endpoint=first).hello()      # the old endpoint keeps the old key
    broker.peer("pi-utrecht", server_key=new_key, endpoint=broker.bound[1]).hello()      # the new one has the new key
    assert not connected(broker.peer("care-a", server_key=new_key, endpoint=first))
    broker.endpoints = ["tcp://127.0.0.2:*"]
    broker.write_config()
    broker.reload()
    assert len(broker.bound) == 1 and broker.bound[0] != first
    broker.peer("probation-nl", endpoint=broker.bound[0]).hello()
    refused = Peer(broker, "care-a", server_key=broker.keys["broker"], endpoint=first)
    broker.peers.append(refused)
    assert refused.event()[0] in (zmq.EVENT_CLOSED, zmq.EVENT_DISCONNECTED), "nobody listens there any more"


def test_a_bad_configuration_changes_nothing(broker):
    broker.expected_errors = ["not taken over"]
    peer = broker.peer("gm0344").hello()
    with open(broker.config, encoding="utf-8") as f:
        good = f.read()
    for bad, reason in ((good.replace("limits = {", "limits = { burts = 5;"), "burts"),
                        (good.replace("gm0344.pub", "no-such.pub"), "no-such.pub"),
                        (good.replace("gm0344.pub", "gm0599.pub"), "same key"),
                        (good.replace('"0599"', '"0344"'), "0344"),
                        (good.replace('id = "broker-nl"', 'id = "broker-be"'), "cannot change"),
                        (good[:len(good) // 2], "broker.cfg")):
        assert bad != good, reason
        with open(broker.config, "w", encoding="utf-8") as f:
            f.write(bad)
        broker.reload()
        assert reason in [l for l in broker.log().splitlines() if "not taken over" in l][-1]
    assert broker.count("reloads_failed") == 6 and broker.count("reloads") == 0
    assert peer.nothing("bye")
    with open(broker.config, "w", encoding="utf-8") as f:
        f.write(good)
    broker.reload()
    assert broker.count("reloads") == 1


def test_a_bad_start_is_refused_in_one_line(country):
    with open(country.config, encoding="utf-8") as f:
        good = f.read()
    import subprocess
    from country import BIN
    for bad, reason in ((good.replace("gm0344.pub", "no-such.pub"), "agency gm0344"), (good.replace("gm0344.pub", "gm0599.pub"), "same key"),
                        (good.replace("keys/broker.key", "keys/none.key"), "none.key"), (good.replace("tcp://127.0.0.1:*", "tcp://256.1.1.1:*"), "256.1.1.1")):
        assert bad != good, reason
        with open(country.config, "w", encoding="utf-8") as f:
            f.write(bad)
        done = subprocess.run([f"{BIN}/reentry-broker", "-c", country.config], capture_output=True, text=True, timeout=20)
        lines = [l for l in done.stderr.splitlines() if l.startswith("<3>")]
        assert done.returncode == 1 and len(lines) == 1 and reason in lines[0], done.stderr


def test_a_second_broker_on_the_same_store_is_refused(broker):
    import subprocess
    from country import BIN
    done = subprocess.run([f"{BIN}/reentry-broker", "-c", broker.config], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"process {broker.process.pid} is running already" in done.stderr
    assert broker.status()["pid"] == broker.process.pid
    wait_for(lambda: broker.process.poll() is None, "the first goes on")
