import pytest

from tests.steps.fakes import FakeEnvironment


@pytest.fixture
def environment() -> FakeEnvironment:
    return FakeEnvironment()


@pytest.fixture
def armed(environment: FakeEnvironment) -> FakeEnvironment:
    """The environment after the run was armed."""
    environment.arm()
    return environment
