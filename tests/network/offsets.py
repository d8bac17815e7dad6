"""Every byte offset: the agents of the crash test work through a proxy that cuts their connections, each time behind another byte of the conversation."""
import random

from country import AGENCIES, Country, wait_for
from killing import Run

from cutter import DOWN, UP, Cutter

CHAPTER = 800              # cuts in one country; after that all is judged, and the next begins with empty stores
GRANT = 40                 # events that may be handed in, each time that something has moved
END_MARGIN = 200           # bytes behind the first whole conversation that are cut at too
SECONDS_PER_CUT = 1.5      # at most, on the whole
SECONDS_MORE = 60


class Through(Country):
    """A country whose agents reach the broker through the proxy."""

    def __init__(self, bin_folder, seed):
        self.seed, self.cutter = seed, None
        super().__init__(bin_folder)

    def endpoint_for(self, name):
        if self.cutter is None:
            self.cutter = Cutter(AGENCIES, self.port, self.seed)
            self.cutter.start()
        return f"tcp://127.0.0.1:{self.cutter.ports[name]}"

    def close(self, keep=False):
        super().close(keep)
        if self.cutter is not None:
            self.cutter.close()


def conversation(run):
    """Lets one whole conversation pass uncut: handshake, Hello, Welcome, then events, receipts, deliveries and acknowledgements. Returns its bytes each way."""
    cutter, country = run.country.cutter, run.country
    run.world.grant(1)

    def all_of_it():
        moved = run.ledger.count["accepted"] > 0 and any(inbox.seen for inbox in run.ledger.inboxes.values())
        status = country.broker.answers()
        return moved and status and status["counters"]["acks"] > 0 and all(a.ask(do="status")[0]["outbox"]["waiting"] == 0 for a in country.agents.values())

    wait_for(all_of_it, "a first conversation")
    passed = [cutter.passed(a) for a in AGENCIES]
    return {way: max(p[way] for p in passed) for way in (UP, DOWN)}


def chapter(bin_folder, seed, chosen, say):
    """chosen: a function from the conversation's length to the cuts of this chapter. Returns (cuts done, wrongs)."""
    run = Run(bin_folder, seed, country=Through(bin_folder, seed))
    cutter = run.country.cutter
    try:
        run.start()
        cutter.length = conversation(run)
        cuts = chosen(cutter.length)
        cutter.plan.add(random.Random(f"{seed} order").sample(cuts, len(cuts)))
        bound = SECONDS_MORE + SECONDS_PER_CUT * len(cuts)

        def through():
            run.world.grant(GRANT if run.world.budget < GRANT else 0)
            run.until_progress(GRANT, 0.05)
            return cutter.plan.is_over() or cutter.failure

        wait_for(through, "the cuts", bound)
        if cutter.failure:
            run.ledger.wrong("wrong", f"the proxy: {cutter.failure}")
        wrongs = list(run.finish())
        accepted = sum(e.result == "accepted" for e in run.ledger.events)
        delivered = sum(len(c) for inbox in run.ledger.inboxes.values() for c in inbox.final.values())
        say("  a conversation: " + ", ".join(f"{n} bytes {way}" for way, n in cutter.length.items()))
        say(f"  {len(cutter.plan.done)} connections cut ({cutter.closed} closed, {cutter.reset} reset, {cutter.early} put off), {accepted} events accepted, {delivered} held in inboxes")
        if sorted(cutter.plan.done) != sorted(cuts):
            wrongs.append(("wrong", "not every offset was cut at"))
        return len(cutter.plan.done), wrongs
    finally:
        run.close()


def every(length):
    return [(way, n) for way in (UP, DOWN) for n in range(length[way] + END_MARGIN)]


def sample(n, rng):
    """n cuts, half of them each way, spread evenly with a random place in each part."""
    def chosen(length):
        cuts = []
        for way in (UP, DOWN):
            step = (length[way] + END_MARGIN) / (n // 2)
            cuts += [(way, int((i + rng.random()) * step)) for i in range(n // 2)]
        return cuts
    return chosen
