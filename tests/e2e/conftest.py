"""Fixtures for tests with real daemons: a folder, keys, a small country, a broker on a free port of loopback, and peers that speak its protocol."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import country as country_module  # noqa: E402


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
def programs():
    """Where the three programs are, and a way to run one of them to its end."""
    def run(name, *arguments, **more):
        return subprocess.run([os.path.join(country_module.BIN, name), *arguments], capture_output=True, text=True, timeout=country_module.DEADLINE, **more)
    return run
