"""Fixtures for tests with real daemons: a folder, keys, a small country, a broker on a free port of loopback, and peers that speak its protocol."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import country as country_module  # noqa: E402
from agency import Agency  # noqa: E402


@pytest.fixture(scope="session")
def proto(tmp_path_factory):
    """The messages of proto/, made by protoc: wire, event and record, each a module of Python."""
    return country_module.load_proto(str(tmp_path_factory.mktemp("proto")))


@pytest.fixture
def country(tmp_path, proto):
    """Keys and configuration of a broker and a handful of agencies; no daemon runs yet. Whatever was started is stopped at the end, and must end well."""
    made = country_module.Country(str(tmp_path), proto)
    yield made
    made.close()


@pytest.fixture
def broker(country):
    """The country with its broker running."""
    country.start()
    return country


@pytest.fixture
def land(broker):
    """Real agents beside the broker, which keeps its port: made by name, `land("gm0344")`, and stopped at the end."""
    made = {}
    broker.endpoints = [broker.bound[0]]
    broker.write_config()

    def agency(name, **more):
        if name not in made:
            made[name] = Agency(broker, name, **more)
        return made[name]

    agency.country = broker
    yield agency
    for one in made.values():
        one.close()


@pytest.fixture
def programs():
    """Where the three programs are, and a way to run one of them to its end."""
    def run(name, *arguments, **more):
        return subprocess.run([os.path.join(country_module.BIN, name), *arguments], capture_output=True, text=True, timeout=country_module.DEADLINE, **more)
    return run
