"""Proves that a full store refuses publishes with storage-full and goes on with acknowledgements, questions and administration, loses nothing, and takes publishes again when there is room."""
from country import wait_for
from test_protocol_conversation import ACCEPTED, DUPLICATE, REFUSED, custody, need, open_case


def fill(prison, subject, bound=5000):
    """Publishes, first much at a time and then little, until nothing fits any more; the contents that were accepted."""
    accepted, event = [], prison.proto.event
    batches = [(16, 1500), (1, 1500), (1, 0)]
    for _ in range(bound):
        n, size = batches[0]
        contents = [prison.content("need.screened", subject, event.NeedStatusChanged(need=2, status=3, note="x" * size)) for _ in range(n)]
        receipts = prison.publish(*contents)
        accepted += [c for c, r in zip(contents, receipts) if r.result == ACCEPTED]
        full = [r for r in receipts if r.result == REFUSED]
        if full:
            assert {r.code for r in full} == {"storage-full"}
            assert prison.nothing("receipts")  # the Ping behind the refusals is answered: the case is free
            batches.pop(0)
            if not batches:
                return accepted
    raise AssertionError("the store did not become full")


def test_a_full_store_refuses_publishes_only(country):
    country.limits.update(store_size="6MiB", store_reserve="2MiB", resend_after="1min")
    country.expected_errors = ["the store is full"]
    country.write_config()
    country.start()
    prison, town = country.peer("pi-utrecht").hello(), country.peer("gm0344").hello()
    open_case(prison, "C-1")
    accepted = fill(prison, "C-1")
    assert prison.publish(custody(prison, "C-2"))[0].code == "storage-full"
    assert country.status()["store_full"]

    # Reading, and what the reserve is kept for.
    assert town.ask("case", case="C-1")[2].code == ""
    assert town.nothing("answer")  # and with that, the window's deliveries have come
    got = [d for frame in town.pending if frame.HasField("deliver") for d in frame.deliver.items]
    assert [town.opened(d).type for d in got[:2]] == ["custody.started", "need.screened"]
    queued = country.control(do="queues")[0][0]["queued"]
    town.ack(*[d.sequence for d in got])
    wait_for(lambda: sum(q["queued"] for q in country.control(do="queues")[0]) == queued - len(got), "the acknowledgements on record")
    assert country.control(do="rebuild") == ([{"equal": True}], {"end": "ok"})

    # More room: nothing that was accepted is lost, and what was refused is taken now.
    assert country.stop() == 0
    country.limits["store_size"] = "64MiB"
    country.write_config()
    country.start()
    prison = country.peer("pi-utrecht").hello()
    assert prison.publish(accepted[-1])[0].result == DUPLICATE
    assert prison.publish(need(prison, "C-1"))[0].result == ACCEPTED
    assert country.control(do="rebuild") == ([{"equal": True}], {"end": "ok"})
