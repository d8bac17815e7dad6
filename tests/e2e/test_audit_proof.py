"""Proves with code of its own that the bundle which an auditor is given holds what it says, that `reentry verify` judges it and a stopped broker's store from public keys alone,
and that a byte changed in either is found."""
import base64
import hashlib
import json
import os

import pytest
from country import wait_for
from test_protocol_conversation import ACCEPTED, need, open_case
from test_protocol_witness import Note, node, signing_key


def included(leaf, index, size, path, root):
    """RFC 9162, 2.1.3.2."""
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def judge(country, lines):
    """Every statement of a bundle, checked; the opened events."""
    first, *records, last = lines
    assert list(first) == ["bundle", "reference", "checkpoint", "witnesses"] and first["bundle"] == 1
    assert last == {"end": 1, "records": len(records)}
    note = Note(first["checkpoint"], signing_key(country.keys["log"].pub_path))
    chained, at, opened = 0, 0, []
    for line in records:
        raw, body_hash, proof = (base64.b64decode(line[name], validate=True) for name in ("header", "body_hash", "proof"))
        header = country.proto.record.Header.FromString(raw)
        assert header.position == line["position"] > at
        at = header.position
        leaf = hashlib.sha256(b"\x00" + len(raw).to_bytes(4, "big") + raw + body_hash).digest()
        assert included(leaf, at - 1, note.size, [proof[i:i + 32] for i in range(0, len(proof), 32)], note.root), at
        if header.HasField("previous"):
            assert header.previous == chained
            chained = at
        if "body" in line:
            salt, body = (base64.b64decode(line[name], validate=True) for name in ("salt", "body"))
            assert hashlib.sha256(salt + body).digest() == header.commitment
            if header.kind == country.proto.record.RecordKind.EVENT:
                record = country.proto.record.EventRecord.FromString(body)
                opened.append(country.proto.event.Event.FromString(record.content))
    return opened


def get_bundle(country, auditor, subject):
    """The bundle that covers all that was published by now."""
    assert country.control(do="checkpoint")[1] == {"end": "ok"}
    lines, _, answer = auditor.ask("prove", case=subject, purpose="a test")
    if "not a question" in answer.detail:
        pytest.skip("this broker does not answer the question prove")
    assert answer.code == "", answer
    return lines


def need_command(programs):
    if programs("reentry", "verify", "--help").returncode != 0:
        pytest.skip("this reentry has no verify")


@pytest.fixture
def told(broker):
    """A broker with two cases; the second is not to be seen in a bundle of the first."""
    broker.prison = broker.peer("pi-utrecht").hello()
    open_case(broker.prison, "C-1")
    open_case(broker.prison, "C-2")
    assert broker.prison.publish(need(broker.prison, "C-1"))[0].result == ACCEPTED
    town = broker.peer("gm0344").hello()
    town.ack(*[d.sequence for d in town.deliveries(3)])
    wait_for(lambda: broker.control(do="queues")[0] == [] or all(q["agency"] != "gm0344" for q in broker.control(do="queues")[0]), "the acknowledgement")
    return broker


def test_a_bundle_by_other_means(told):
    lines = [json.loads(line) for line in get_bundle(told, told.peer("audit-nl").hello(), "C-1")]
    assert lines[0]["reference"] == "C-1"
    opened = judge(told, lines)
    assert {event.subject for event in opened} == {"C-1"} and len(opened) >= 2
    assert "C-2" not in json.dumps(lines)


def test_the_command_judges_a_bundle(told, programs, tmp_path):
    need_command(programs)
    lines = get_bundle(told, told.peer("audit-nl").hello(), "C-1")
    bundle = tmp_path / "case.bundle"
    bundle.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    key = told.keys["log"].pub_path
    done = programs("reentry", "verify", str(bundle), "--key", key)
    assert done.returncode == 0 and "holds" in done.stdout, done.stderr
    assert programs("reentry", "verify", str(bundle), "--key", told.keys["broker"].pub_path).returncode == 1
    assert programs("reentry", "verify", str(bundle), "--key", key, "--witness", told.keys["gm0344"].pub_path).returncode == 1
    changed = bytearray(bundle.read_bytes())
    changed[len(changed) // 2] ^= 1
    bundle.write_bytes(changed)
    done = programs("reentry", "verify", str(bundle), "--key", key)
    assert done.returncode == 1 and "does not hold" in done.stderr


def test_the_command_judges_a_store(told, programs):
    need_command(programs)
    assert told.control(do="checkpoint")[1] == {"end": "ok"}
    arguments = ["reentry", "-c", told.config, "verify", "--log"]
    assert programs(*arguments).returncode == 1, "the broker runs"
    told.kill()
    done = programs(*arguments)
    assert done.returncode == 0 and "holds" in done.stdout, done.stderr
    path = os.path.join(told.folder, "store", "data.mdb")
    with open(path, "r+b") as f:
        data = f.read()
        f.seek(0)
        f.write(data.replace(b"C-2", b"C-3"))
    done = programs(*arguments)
    assert done.returncode == 1 and "does not hold" in done.stderr, done.stdout
    with open(path, "r+b") as f:
        f.write(data)
    assert programs(*arguments).returncode == 0
    told.start()


def test_a_bundle_keeps_to_the_scope(told):
    auditor, town = told.peer("audit-nl").hello(), told.peer("gm0599").hello()
    assert town.ask("prove", case="C-1", purpose="curious")[2].code == "not-allowed"
    assert auditor.ask("prove", case="C-1")[2].code == auditor.ask("prove", case="C-1", purpose=" ")[2].code == "invalid-value"

    def opened(scope):
        told.scope = scope
        told.write_config()
        told.reload()
        assert told.control(do="checkpoint")[1] == {"end": "ok"}
        lines, _, answer = auditor.ask("prove", case="C-1", purpose="a test")
        return answer.code or sorted(event.type for event in judge(told, [json.loads(line) for line in lines]))
    whole = 'municipalities = [ "0344" ]; types = [ "*" ]; classes = [ "A", "B" ];'
    assert opened(whole) == ["custody.started", "need.screened"]
    assert opened(whole.replace(', "B"', "")) == ["custody.started"], "bodies only as far as their classes are granted"
    assert opened(whole.replace("0344", "0599")) == "no-such-case" == auditor.ask("prove", case="C-9", purpose="a test")[2].code
    assert opened('types = [ "*" ]; classes = [ "A", "B" ];') == "no-such-case"
    assert opened('municipalities = [ "*" ]; classes = [ "A", "B" ];') == opened('municipalities = [ "*" ]; types = [ "*" ];') == opened(None) == "not-allowed"
