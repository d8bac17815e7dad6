"""Proves with code of its own that checkpoints are signed by the log's key, that each follows from the one told before, that agents can cosign them, and that a store
which was rolled back is recognised by the first agent that holds a later checkpoint."""
import base64
import hashlib
import shutil
import struct

import nacl.signing

from country import wait_for
from test_protocol_conversation import need, open_case

ORIGIN = "urn:nld:oin:00000099000000000001:systeem:broker-nl"


def signing_key(path):
    with open(path, encoding="ascii") as f:
        return base64.b64decode(next(line for line in f if line.startswith("sign")).split("=", 1)[1])


def key_id(name, kind, public):
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


class Note:
    """A signed note with a checkpoint in it; verified on reading."""

    def __init__(self, text, public):
        head, _, tail = text.partition("\n\n")
        self.text = head + "\n"
        self.lines = [line.removeprefix("\u2014 ").rsplit(" ", 1) for line in tail.splitlines()]
        origin, size, root = self.text.splitlines()[:3]
        assert origin == ORIGIN
        self.size, self.root = int(size), base64.b64decode(root)
        name, blob = self.lines[0]
        blob = base64.b64decode(blob)
        assert name == ORIGIN and blob[:4] == key_id(ORIGIN, 1, public)
        nacl.signing.VerifyKey(public).verify(self.text.encode(), blob[4:])


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def consistent(old, new, proof):
    """RFC 9162, 2.1.4.2."""
    path = [proof[i:i + 32] for i in range(0, len(proof), 32)]
    if old.size == new.size:
        return not path and old.root == new.root
    if old.size & (old.size - 1) == 0:
        path.insert(0, old.root)
    fn, sn = old.size - 1, new.size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return (fr, sr, sn) == (old.root, new.root, 0)


def checkpointed(country):
    lines, end = country.control(do="checkpoint")
    assert end == {"end": "ok"}
    return lines[0]["size"]


def test_each_checkpoint_follows_from_the_one_before(broker):
    public = signing_key(broker.keys["log"].pub_path)
    prison, witness = broker.peer("pi-utrecht").hello(), broker.peer("desk-nl").hello()
    open_case(prison, "C-1")
    checkpointed(broker)
    last = Note(witness.receive("checkpoint").note, public)
    for i in range(12):
        prison.publish(*[need(prison, "C-1") for _ in range(i + 1)])
        checkpointed(broker)
        told = witness.receive("checkpoint")
        now = Note(told.note, public)
        assert now.size > last.size
        assert consistent(last, now, told.consistency)
        assert not consistent(last, now, told.consistency[:-1] + bytes([told.consistency[-1] ^ 1]))
        last = now


def test_welcome_goes_on_from_the_checkpoint_that_hello_names(broker):
    public = signing_key(broker.keys["log"].pub_path)
    prison, witness = broker.peer("pi-utrecht").hello(), broker.peer("desk-nl").hello()
    open_case(prison, "C-1")
    checkpointed(broker)
    first = witness.receive("checkpoint")
    prison.publish(*[need(prison, "C-1") for _ in range(20)])
    checkpointed(broker)
    witness.hello(checkpoint=broker.proto.wire.Checkpoint(note=first.note))
    told = witness.welcome.checkpoint
    assert consistent(Note(first.note, public), Note(told.note, public), told.consistency)
    witness.hello(checkpoint=broker.proto.wire.Checkpoint(note="no note at all"))
    assert witness.welcome.checkpoint.note == told.note and not witness.welcome.checkpoint.consistency


def test_a_checkpoint_comes_by_itself_and_an_idle_log_is_not_signed_again(country):
    country.limits["checkpoint_interval"] = "100ms"
    country.write_config()
    country.start()
    prison, witness = country.peer("pi-utrecht").hello(), country.peer("desk-nl").hello()
    open_case(prison, "C-1")
    public = signing_key(country.keys["log"].pub_path)
    note = witness.receive("checkpoint")
    while Note(note.note, public).size < country.status()["last_sequence"] - 1:
        note = witness.receive("checkpoint")
    size = country.status()["last_sequence"]
    assert witness.nothing("checkpoint")
    assert country.status()["last_sequence"] == size


def cosigned(note, name, sign, time=1_800_000_000):
    signature = sign.sign(f"cosignature/v1\ntime {time}\n{note.text}".encode()).signature
    blob = key_id(name, 4, bytes(sign.verify_key)) + struct.pack(">Q", time) + signature
    return note.text + f"\n\u2014 {name} {base64.b64encode(blob).decode()}\n"


def test_an_agent_cosigns_and_nobody_cosigns_for_another(broker):
    public = signing_key(broker.keys["log"].pub_path)
    prison, witness = broker.peer("pi-utrecht").hello(), broker.peer("desk-nl").hello()
    open_case(prison, "C-1")
    checkpointed(broker)
    note = Note(witness.receive("checkpoint").note, public)
    sign = nacl.signing.SigningKey(signing_key(broker.keys["desk-nl"].key_path))
    for wrong in (cosigned(note, "gm0344", sign), cosigned(note, "desk-nl", nacl.signing.SigningKey.generate()), "nonsense", note.text + "\n"):
        witness.send(cosign=broker.proto.wire.Cosign(note=wrong))
    assert witness.nothing("bye")
    assert broker.count("cosignatures") == 0
    witness.send(cosign=broker.proto.wire.Cosign(note=cosigned(note, "desk-nl", sign)))
    wait_for(lambda: broker.count("cosignatures") == 1, "the cosignature")
    later = Note(broker.peer("gm0599").hello().welcome.checkpoint.note, public)
    assert [name for name, _ in later.lines] == [ORIGIN, "desk-nl"]


def test_a_store_that_was_rolled_back_is_recognised(country):
    country.expected_errors = ["rolled back or replaced", "held: desk-nl holds"]
    country.start()
    prison = country.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    assert country.stop() == 0
    for folder in ("store", "store-keys"):
        shutil.copytree(f"{country.folder}/{folder}", f"{country.folder}/{folder}.old")
    country.start()
    prison, witness = country.peer("pi-utrecht").hello(), country.peer("desk-nl").hello()
    prison.publish(*[need(prison, "C-1") for _ in range(20)])
    checkpointed(country)
    kept = witness.receive("checkpoint").note
    assert country.stop() == 0
    for folder in ("store", "store-keys"):
        shutil.rmtree(f"{country.folder}/{folder}")
        shutil.move(f"{country.folder}/{folder}.old", f"{country.folder}/{folder}")
    country.start()
    town = country.peer("gm0344").hello()
    knows = country.peer("desk-nl")
    knows.send_hello(checkpoint=country.proto.wire.Checkpoint(note=kept))
    assert knows.receive("bye").reason == "held"
    assert country.count("contradictions") == 1
    assert "agency=desk-nl" in country.log() and "rolled back" in country.log()
    assert town.receive("bye").reason == "held", "who knows nothing of it is served no more than who does"
    assert "desk-nl holds a signed checkpoint" in country.status()["held"]
    wait_for(lambda: country.control(do="checkpoint")[1]["end"] == "refused", "no signature under it")
    country.kill()
    country.start()
    town = country.peer("gm0344")
    town.send_hello()
    assert town.receive("bye").reason == "held", "a restart forgets nothing"


def test_a_forged_checkpoint_raises_no_alarm(broker):
    prison = broker.peer("pi-utrecht").hello()
    open_case(prison, "C-1")
    forged = nacl.signing.SigningKey.generate()
    text = f"{ORIGIN}\n999999\n{base64.b64encode(bytes(32)).decode()}\n"
    blob = key_id(ORIGIN, 1, bytes(forged.verify_key)) + forged.sign(text.encode()).signature
    note = text + f"\n\u2014 {ORIGIN} {base64.b64encode(blob).decode()}\n"
    broker.peer("desk-nl").hello(checkpoint=broker.proto.wire.Checkpoint(note=note))
    assert broker.count("contradictions") == 0
