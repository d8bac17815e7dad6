"""Proves that real agents verify and cosign the checkpoints of the log, so that a bundle with its witnesses can be made; and that one that is shown another history says so, and sends nothing."""
import base64
import json

import nacl.signing
import pytest
import zmq
from agency import custody
from country import DEADLINE, wait_for
from test_protocol_witness import ORIGIN, Note, key_id, signing_key


def test_agents_cosign_and_a_bundle_names_its_witnesses(land):
    country = land.country
    prison, town, court = land("pi-utrecht").start(), land("gm0344").start(), land("om-utrecht").start()
    custody(prison, "C-1")
    town.wait_inbox(1)
    assert country.control(do="checkpoint")[1] == {"end": "ok"}
    public = signing_key(country.keys["log"].pub_path)
    wanted = {ORIGIN, "pi-utrecht", "gm0344", "om-utrecht"}
    auditor = country.peer("audit-nl")
    wait_for(lambda: {n for n, _ in Note(auditor.hello().welcome.checkpoint.note, public).lines} == wanted, "the cosignatures of three agents")
    for name in wanted - {ORIGIN}:
        verify_cosignature(auditor.welcome.checkpoint.note, name, signing_key(country.keys[name].pub_path), public)
    lines, _, answer = auditor.ask("prove", case="C-1", purpose="a test", witnesses="pi-utrecht,gm0344")
    if "not a question" in answer.detail:
        pytest.skip("this broker does not answer the question prove")
    assert answer.code == "", answer
    first = json.loads(lines[0])
    assert first["witnesses"] == ["pi-utrecht", "gm0344"]
    for name in ("pi-utrecht", "gm0344"):
        verify_cosignature(first["checkpoint"], name, signing_key(country.keys[name].pub_path), public)
    assert auditor.ask("prove", number=2, case="C-1", purpose="a test", witnesses="care-a")[2].code != "", "who was never there has not cosigned"


def verify_cosignature(text, name, public, log):
    note = Note(text, log)
    blob = next(base64.b64decode(b) for n, b in note.lines if n == name)
    assert blob[:4] == key_id(name, 4, public)
    time = int.from_bytes(blob[4:12], "big")
    nacl.signing.VerifyKey(public).verify(f"cosignature/v1\ntime {time}\n{note.text}".encode(), blob[12:])


def test_an_agent_cosigns_what_came_while_it_was_away(land):
    country = land.country
    prison, town = land("pi-utrecht").start(), land("gm0344").start()
    custody(prison, "C-1")
    assert country.control(do="checkpoint")[1] == {"end": "ok"}
    wait_for(lambda: country.count("cosignatures") >= 2, "both cosignatures")
    assert town.stop() == 0
    custody(prison, "C-2")
    assert country.control(do="checkpoint")[1] == {"end": "ok"}
    before = country.count("cosignatures")
    town.start()
    wait_for(lambda: country.count("cosignatures") > before, "the cosignature at Welcome")


class Liar:
    """A broker with the right keys that shows what it likes. One agent at a time."""

    def __init__(self, country):
        self.proto, self.country = country.proto, country
        self.socket = country.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.curve_server = True
        self.socket.curve_publickey, self.socket.curve_secretkey = country.keys["broker"].public, country.keys["broker"].secret
        self.socket.bind(country.bound[0])
        self.sign = nacl.signing.SigningKey(signing_key(country.keys["log"].key_path))

    def note(self, size, root, sign=None):
        sign = sign or self.sign
        text = f"{ORIGIN}\n{size}\n{base64.b64encode(root).decode()}\n"
        blob = key_id(ORIGIN, 1, bytes(sign.verify_key)) + sign.sign(text.encode()).signature
        return f"{text}\n\u2014 {ORIGIN} {base64.b64encode(blob).decode()}\n"

    def receive(self, kind):
        while True:
            assert self.socket.poll(DEADLINE * 1000), f"no {kind}"
            peer, raw = self.socket.recv_multipart()
            frame = self.proto.wire.Frame.FromString(raw)
            if frame.HasField(kind):
                return peer, getattr(frame, kind)

    def welcome(self, note, proof=b"", **more):
        """Answers the next Hello; what Hello named."""
        peer, hello = self.receive("hello")
        wire = self.proto.wire
        welcome = wire.Welcome(**{"protocol": 2, "catalogue": 1, "broker": "broker-nl", "oin": "00000099000000000001", "epoch": 1, "window": 10, "frame_max": 1 << 20, "heartbeat_ms": 10000, "last": 1 << 20,
                                  "checkpoint": wire.Checkpoint(note=note, consistency=proof) if note else None, **more})
        self.socket.send_multipart([peer, wire.Frame(welcome=welcome).SerializeToString()])
        return hello

    def close(self):
        self.socket.close(linger=0)


@pytest.mark.parametrize("lie", ["shorter", "same size", "longer", "proof", "unsigned", "none", "last"])
def test_an_agent_that_is_shown_another_history_says_so(land, lie):
    country = land.country
    prison = land("pi-utrecht").start()
    custody(prison, "C-1")
    assert country.control(do="checkpoint")[1] == {"end": "ok"}
    wait_for(lambda: country.count("cosignatures") >= 1, "the cosignature")
    size = country.control(do="checkpoint")[0][0]["size"]
    assert prison.stop() == 0 and country.stop() == 0
    liar = Liar(country)
    try:
        prison.expected_errors = ["log=refused"]
        prison.start(up=False)
        shown = {"shorter": (liar.note(size - 1, b"\x01" * 32), b""), "same size": (liar.note(size, b"\x01" * 32), b""), "longer": (liar.note(size + 9, b"\x01" * 32), b""),
                 "proof": (liar.note(size + 9, b"\x01" * 32), b"\x02" * 64), "unsigned": (liar.note(size + 9, b"\x01" * 32, nacl.signing.SigningKey.generate()), b""), "none": (None, b""), "last": None}[lie]
        if lie == "last":   # the checkpoint holds, but what it was given a receipt for is gone
            hello = liar.welcome(None, last=0)
        else:
            hello = liar.welcome(*shown)
        assert hello.protocol == 2 and Note(hello.checkpoint.note, signing_key(country.keys["log"].pub_path)).size >= 1
        status = wait_for(lambda: (lambda s: s if s.get("alarm") else None)(prison.status()), "the alarm")
        assert status["link"] == "down" and status["why"].startswith("the broker shows")
        assert prison.publish("release.date-unknown", "C-1", "--timeout", "0")["result"] == "queued"
        assert not liar.socket.poll(300), "nothing is sent to it"
    finally:
        liar.close()
    country.start()
