"""Bad weather: broker and agents of the crash test, each in a network namespace of its own, under delay, jitter that reorders, loss, doubling and partition."""
import random

from country import AGENCIES, Country, die_with_parent, wait_for
from killing import Run

from relay import PREFIX, Place, Relay, Weather

PORT = 7788                # in a namespace that nobody else is in
BROKER = 1
WEATHERS = {               # what a place may have
    "fair": Weather(0.0005),
    "far": Weather(0.04, 0.01),
    "uneven": Weather(0.002, 0.03),
    "lossy": Weather(0.005, 0.01, loss=0.08),
    "doubling": Weather(0.002, 0.02, double=0.2),
    "foul": Weather(0.03, 0.05, loss=0.05, double=0.05),
    "cut off": None,
}
CHANCES = (3, 1, 2, 2, 1, 2, 3)
GRANT = 60
ROUND_SECONDS = 1.0        # of one weather, or until enough has moved


class Apart(Country):
    """Each daemon in a namespace of its own."""

    def __init__(self, bin_folder, seed):
        self.places = {}
        try:
            for i, name in enumerate(["broker", *AGENCIES]):
                self.places[name] = Place(BROKER + i)
        except BaseException:
            self.close_places()
            raise
        self.relay = Relay(list(self.places.values()), seed)
        self.relay.start()
        super().__init__(bin_folder)
        self.moves_in(self.broker, "broker")

    def endpoint(self):
        return f"tcp://{PREFIX}{BROKER}:{PORT}"

    def agent(self, name, suffix=""):
        return self.moves_in(super().agent(name, suffix), name)

    def moves_in(self, daemon, name):
        def before():
            die_with_parent()
            self.places[name].enter()
        daemon.before = before
        return daemon

    def change(self, name, weather):
        self.relay.weather[self.places[name].address] = WEATHERS[weather]

    def close_places(self):
        for place in self.places.values():
            place.close()

    def close(self, keep=False):
        super().close(keep)
        self.relay.close()
        self.close_places()


def chapter(bin_folder, seed, rounds, say):
    """rounds: changes of weather. Returns wrongs."""
    country = Apart(bin_folder, seed)
    run = Run(bin_folder, seed, country=country)
    rng = random.Random(f"{seed} changes")
    cuts = 0
    try:
        run.start()
        wait_for(lambda: all(a.ask(do="status")[0]["link"] == "up" for a in country.agents.values()), "the links")
        for _ in range(rounds):
            for name in rng.sample(list(country.places), 2):
                kind = rng.choices(list(WEATHERS), CHANCES)[0]
                cuts += kind == "cut off"
                country.change(name, kind)
            run.world.grant(GRANT if run.world.budget < GRANT else 0)
            run.until_progress(rng.randint(1, 4 * GRANT), rng.random() * ROUND_SECONDS)
        for name in country.places:
            country.change(name, "fair")
        run.finish()
        if country.relay.failure:
            run.ledger.wrong("wrong", f"the relay: {country.relay.failure}")
        accepted = sum(e.result == "accepted" for e in run.ledger.events)
        delivered = sum(len(c) for inbox in run.ledger.inboxes.values() for c in inbox.final.values())
        count = country.relay.count
        say(f"  {rounds} changes of weather, {cuts} partitions, packets: " + ", ".join(f"{n} {what}" for what, n in count.items()) + f"; {accepted} events accepted, {delivered} held in inboxes")
        if min(count["lost"] + count["cut off"], count["doubled"], count["overtaken"]) == 0:    # what a partition cuts off is lost as well
            run.ledger.wrong("wrong", "the weather was too good to prove anything")
        return run.ledger.wrongs
    finally:
        run.close()
