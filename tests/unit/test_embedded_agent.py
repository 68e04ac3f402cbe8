"""The stand-in for the AppConfig agent: its interface, and when it polls."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ministack.services import appconfig as service

from cli.embedded.agent import agent
from tests.unit.inprocess import client


@dataclass(frozen=True)
class Shop:
    """An application with one profile in one environment."""

    control: Any
    ids: tuple[str, str, str]

    def deploy(self, configuration: Any) -> None:
        application, environment, profile = self.ids
        version = self.control.create_hosted_configuration_version(
            ApplicationId=application,
            ConfigurationProfileId=profile,
            Content=json.dumps(configuration).encode(),
            ContentType="application/json",
        )["VersionNumber"]
        at_once = self.control.create_deployment_strategy(
            Name="at-once", DeploymentDurationInMinutes=0, GrowthFactor=100, ReplicateTo="NONE"
        )["Id"]
        number = self.control.start_deployment(
            ApplicationId=application,
            EnvironmentId=environment,
            ConfigurationProfileId=profile,
            ConfigurationVersion=str(version),
            DeploymentStrategyId=at_once,
        )["DeploymentNumber"]
        asked = {"ApplicationId": application, "EnvironmentId": environment}
        while self.control.get_deployment(**asked, DeploymentNumber=number)["State"] != "COMPLETE":
            pass


@pytest.fixture
def shop() -> Iterator[Shop]:
    service.reset()
    control = client("appconfig", service)
    application = control.create_application(Name="shop")["Id"]
    environment = control.create_environment(ApplicationId=application, Name="production")["Id"]
    profile = control.create_configuration_profile(
        ApplicationId=application, Name="purchase", LocationUri="hosted"
    )["Id"]
    made = Shop(control, (application, environment, profile))
    made.deploy({"release": 1})
    yield made
    service.reset()


def asked(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://localhost:{port}{path}") as reply:
        return json.load(reply)


NAMED = "/applications/shop/environments/production/configurations/purchase"


@pytest.mark.parametrize(
    ("interval_seconds", "release"), [(0, 2), (1000, 1)], ids=["due", "not due yet"]
)
def test_it_polls_when_it_is_asked_and_its_interval_has_passed(
    shop: Shop, interval_seconds: float, release: int
) -> None:
    with agent(client("appconfigdata", service), interval_seconds) as port:
        assert asked(port, NAMED) == {"release": 1}
        shop.deploy({"release": 2})
        assert asked(port, NAMED) == {"release": release}
        assert asked(port, NAMED) == {"release": release}


@pytest.mark.parametrize("path", ["/nothing", NAMED.replace("purchase", "nothing")])
def test_what_it_has_not_is_an_error(shop: Shop, path: str) -> None:
    with (
        agent(client("appconfigdata", service)) as port,
        pytest.raises(urllib.error.HTTPError) as error,
    ):
        asked(port, path)
    assert error.value.code >= 400
