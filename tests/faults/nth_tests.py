"""The n-th call fails, of the broker and of an agent; and the proof that a broken promise would be seen."""
import errno
import os

from agent_faults import AgentBench
from broker_faults import BrokerBench
from nth import ALL_OPS, Injection, Sweep

LEAST = 12               # calls that must have failed in a sample: fewer prove little


def sweep(setting, make, phases=None, ops=ALL_OPS):
    bench = make(setting.folder)
    try:
        made = Sweep(bench, setting.say)
        phases = phases or bench.phases
        if setting.long:
            made.all(phases, ops)
        else:
            made.measure(phases, ops)
            made.sample(setting.seconds, setting.seed, LEAST)
        wrongs = made.finish()
        if made.count["failed calls"] < LEAST:
            setting.say(f"  only {made.count['failed calls']} calls failed: this proves little")
            return False
        return not wrongs
    finally:
        bench.close()


def broker_nth_call(setting):
    """whichever call of the broker fails: no false receipt, no crash, a clean restart, and its log has everything once and in order"""
    return sweep(setting, BrokerBench)


def agent_nth_call(setting):
    """whichever call of an agent fails: what it promised is in the broker's log once, what it acknowledged is in its inbox once, no crash, a clean restart"""
    return sweep(setting, AgentBench)


def faulty_broker():
    """The broker in which faults can be planted."""
    return os.path.join(os.environ["BUILD"], "test", "reentry-broker-faults")


def found(setting, fault, word):
    """Whether a broker with that fault is found out by this word, when a write or a sync of a publish fails."""
    folder = os.path.join(setting.folder, fault)
    os.mkdir(folder)
    bench = BrokerBench(folder, faulty_broker(), fault)
    made = Sweep(bench, lambda text: None)
    try:
        for op, at in [(op, at) for op in ("pwrite", "writev", "sync") for at in (1, 2, 3)]:
            made.once(Injection("publish", op, errno.EIO, at))
            if any(word in wrong for wrong in made.wrongs):
                break
    finally:
        bench.close()
    named = [w for w in made.wrongs if word in w]
    setting.say(f"  {fault}: " + (named[0][:200] if named else f"not found; instead: {made.wrongs[:2]}"))
    return bool(named)


def planted_early_receipt(setting):
    """a broker that gives receipts before it commits is found out"""
    return found(setting, "ack-before-commit", "was receipted, and")


def planted_ignored_sync(setting):
    """a broker that goes on behind a failed sync is found out"""
    return found(setting, "ignore-failed-sync", "went on behind a write or sync that failed")


TESTS = [broker_nth_call, agent_nth_call, planted_early_receipt, planted_ignored_sync]
