import pytest

from tests.steps.fakes import RUN, FakeEnvironment


@pytest.fixture
def environment() -> FakeEnvironment:
    return FakeEnvironment()


@pytest.fixture
def armed(environment: FakeEnvironment) -> FakeEnvironment:
    """The environment after the run was armed."""
    environment.arm()
    return environment


@pytest.fixture
def watched(armed: FakeEnvironment) -> FakeEnvironment:
    """The environment of a run whose watch stands, so that its condition may be enabled."""
    armed.runs.watch(RUN, "t")
    return armed
