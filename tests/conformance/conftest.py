"""A simulator for each file, a fresh load balancer for each check, one line at the end."""

from collections.abc import Iterator

import pytest

from client import Api
from simulator import Simulator
from world import new_lb


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture(scope="module")
def api(simulator: Simulator) -> Api:
    return Api(simulator.address)


@pytest.fixture
def lb(api: Api) -> str:
    return new_lb(api)


@pytest.fixture(scope="module")
def shared_lb(api: Api) -> str:
    """One for all checks of a file: for those that change nothing."""
    return new_lb(api)


def pytest_configure(config: pytest.Config) -> None:
    """Calls go to the simulator, not to the proxy this machine may use for others."""
    environment = pytest.MonkeyPatch()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        environment.delenv(name, raising=False)
    config.add_cleanup(environment.undo)


def pytest_unconfigure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    count = {name: len(reports) for name, reports in reporter.stats.items()}
    passed, failed = count.get("passed", 0), count.get("failed", 0) + count.get("error", 0)
    print(f"conformance: {passed} checks passed, {failed} failed")
