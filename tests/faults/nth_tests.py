"""The n-th call fails, of the broker and of an agent; and the proof that a broken promise would be seen."""
from broker_faults import BrokerBench
from nth import ALL_OPS, Sweep

LEAST = 40               # calls that must have failed in a sample: fewer prove little


def sweep(setting, make, phases=None, ops=ALL_OPS):
    bench = make(setting.folder)
    try:
        made = Sweep(bench, setting.say)
        phases = phases or bench.phases
        if setting.long:
            made.all(phases, ops)
        else:
            made.measure(phases, ops)
            made.sample(setting.seconds, setting.seed)
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


TESTS = [broker_nth_call]
