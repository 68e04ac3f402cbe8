"""Feature flags in AppConfig: what is stored, what is deployed, what is refused."""

import json
from typing import Any

import pytest
from ministack.services import appconfig as service

from gameday.conditions.appconfig import AppConfig, Change, Target
from gameday.conditions.kind import ON
from gameday.errors import InvalidExperiment, RunRefused
from gameday.experiment import parse
from tests.unit.fakes import smallest
from tests.unit.inprocess import client

VARIANTS: list[dict[str, Any]] = [
    {
        "name": "beta testers",
        "enabled": False,
        "rule": "(eq $group 'beta')",
        "attributeValues": {"engine": "new", "pages": 3},
    },
    {"name": "default", "enabled": True, "attributeValues": {"engine": "old", "pages": 9}},
]
STORED: dict[str, Any] = {
    "version": "1",
    "flags": {
        "checkout": {"name": "New checkout", "attributes": {"limit": {}, "theme": {}}},
        "latency": {
            "name": "Latency",
            "attributes": {"percentage": {}, "min_latency": {}, "max_latency": {}},
        },
        "search": {"name": "Search", "attributes": {"engine": {}, "pages": {}}},
        "exception": {"name": "Exception"},
    },
    "values": {
        "checkout": {"enabled": False, "limit": 3, "theme": "old"},
        "latency": {"enabled": False, "percentage": 100, "min_latency": 0, "max_latency": 0},
        "search": {"_variants": VARIANTS},
        "exception": {"enabled": False, "_variants": [{"name": "default", "enabled": False}]},
    },
}
CHECKOUT: dict[str, Any] = {
    "kind": "flag",
    "application": "shop",
    "environment": "production",
    "profile": "flags",
    "flag": "checkout",
    "function": "shop",
}
SEARCH = CHECKOUT | {"flag": "search", "variant": "beta testers"}
OLD_ENGINE = {"engine": "old", "pages": 3}
LATENCY = CHECKOUT | {
    "flag": "latency",
    "attributes": {"percentage": 50, "min_latency": 100, "max_latency": 400},
}


class Shop:
    """An application with one profile of feature flags, deployed."""

    def __init__(self, kind: str = "AWS.AppConfig.FeatureFlags", stored: Any = STORED) -> None:
        service.reset()
        self.control, self.data = client("appconfig", service), client("appconfigdata", service)
        self.application = self.control.create_application(Name="shop")["Id"]
        self.environment = self.control.create_environment(
            ApplicationId=self.application, Name="production"
        )["Id"]
        self.profile = self.control.create_configuration_profile(
            ApplicationId=self.application, Name="flags", LocationUri="hosted", Type=kind
        )["Id"]
        self.at_once = self.strategy(bake=0)
        self.kind = AppConfig(self.control, self.data, self.strategy(bake=120))
        self.deploy(stored)

    def strategy(self, bake: int) -> str:
        made = self.control.create_deployment_strategy(
            Name=f"bakes-{bake}",
            DeploymentDurationInMinutes=0,
            GrowthFactor=100,
            FinalBakeTimeInMinutes=bake,
            ReplicateTo="NONE",
        )
        return str(made["Id"])

    def deploy(self, document: Any) -> None:
        version = self.control.create_hosted_configuration_version(
            ApplicationId=self.application,
            ConfigurationProfileId=self.profile,
            Content=json.dumps(document).encode(),
            ContentType="application/json",
        )["VersionNumber"]
        number = self.control.start_deployment(
            ApplicationId=self.application,
            EnvironmentId=self.environment,
            ConfigurationProfileId=self.profile,
            ConfigurationVersion=str(version),
            DeploymentStrategyId=self.at_once,
        )["DeploymentNumber"]
        target = Target(
            application_id=self.application,
            environment_id=self.environment,
            profile_id=self.profile,
            latest_deployment=0,
            resting_sha256="",
        )
        while self.kind._state(target, number) != "COMPLETE":
            pass

    def served(self) -> Any:
        return json.loads(self.kind._served(self.application, self.environment, self.profile))

    def version(self, change: Change) -> Any:
        return json.load(
            self.control.get_hosted_configuration_version(
                ApplicationId=self.application,
                ConfigurationProfileId=self.profile,
                VersionNumber=change.version,
            )["Content"]
        )


@pytest.fixture
def shop() -> Shop:
    return Shop()


def condition(document: dict[str, Any]) -> Any:
    return parse(smallest(condition=document)).condition


def enable(shop: Shop, document: dict[str, Any]) -> tuple[Target, Change]:
    asked = condition(document)
    target = shop.kind.examine(asked)
    change = shop.kind.enable(asked, target, "run-1", 2e9, None, lambda _: None)
    return target, change


def test_a_flag_is_turned_on_and_what_was_there_is_restored(shop: Shop) -> None:
    before, noticed = shop.served(), list[str]()
    target, change = enable(shop, CHECKOUT)
    assert (before["checkout"]["enabled"], shop.served()["checkout"]["enabled"]) == (False, True)
    shop.kind.disable(target, change, "run-1", noticed.append)
    assert (shop.served(), noticed) == (before, [ON])


def test_a_version_is_made_of_the_stored_one_and_only_the_flag_differs(shop: Shop) -> None:
    _, change = enable(shop, CHECKOUT | {"attributes": {"limit": 5}})
    checkout = {"enabled": True, "limit": 5, "theme": "old"}
    assert shop.version(change) == STORED | {"values": STORED["values"] | {"checkout": checkout}}


def test_a_flag_may_be_turned_off() -> None:
    values = STORED["values"] | {"checkout": {"enabled": True, "limit": 1}}
    shop = Shop(stored=STORED | {"values": values})
    enable(shop, CHECKOUT | {"enabled": False})
    assert shop.served()["checkout"]["enabled"] is False


def test_a_variant_is_turned_on_and_what_was_there_is_restored(shop: Shop) -> None:
    before = shop.served()
    target, change = enable(shop, SEARCH)
    tested, default = shop.served()["search"]["_variants"]
    assert (tested["enabled"], default) == (True, VARIANTS[1])
    shop.kind.disable(target, change, "run-1", lambda _: None)
    assert shop.served() == before


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({}, {"enabled": True}),
        (
            {"attributes": {"pages": 5}},
            {"enabled": True, "attributeValues": {"engine": "new", "pages": 5}},
        ),
        ({"enabled": False, "attributes": {"engine": "old"}}, {"attributeValues": OLD_ENGINE}),
    ],
)
def test_of_a_flag_with_variants_only_the_named_one_differs(
    shop: Shop, changes: dict[str, Any], differs: dict[str, Any]
) -> None:
    _, change = enable(shop, SEARCH | changes)
    search = {"_variants": [VARIANTS[0] | differs, VARIANTS[1]]}
    assert shop.version(change) == STORED | {"values": STORED["values"] | {"search": search}}


def test_a_mode_of_failure_lambda_may_be_a_flag(shop: Shop) -> None:
    enable(shop, LATENCY)
    assert shop.served()["latency"] == {
        "enabled": True,
        "percentage": 50,
        "min_latency": 100,
        "max_latency": 400,
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"flag": "nothing"},
            "has no flag 'nothing' (it has: checkout, exception, latency, search)",
        ),
        (
            {"flag": "search"},
            "has variants (it has: beta testers, default): name one of them as variant",
        ),
        (
            {"flag": "search", "variant": "gamma"},
            "has no variant 'gamma' (it has: beta testers, default)",
        ),
        (
            {"variant": "default"},
            "flag 'checkout' of profile 'flags' in environment 'production' "
            "has no variant 'default' (it has: none)",
        ),
        ({"flag": "search", "variant": "default"}, "is so already"),
        ({"flag": "exception"}, "is kept as a flag without variants"),
        ({"attributes": {"unknown": 1}}, "has no attribute unknown"),
        ({"enabled": False}, "is so already"),
        (
            {"flag": "latency", "attributes": {"min_latency": 0, "max_latency": 9}},
            "has percentage stored: name that in attributes, too",
        ),
    ],
)
def test_what_a_run_cannot_set_is_refused(shop: Shop, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RunRefused) as refused:
        shop.kind.examine(condition(CHECKOUT | changes))
    assert reason in str(refused.value)


DENYLIST = CHECKOUT | {"flag": "denylist", "attributes": {"deny_list": ["dynamodb"]}}
DENIABLE: dict[str, Any] = STORED | {
    "flags": STORED["flags"] | {"denylist": {"name": "Denylist", "attributes": {"deny_list": {}}}}
}


@pytest.mark.parametrize(
    ("latency", "evidence", "refused"),
    [
        ({"enabled": False}, {"namespace": "Shop", "name": "Injected"}, "would leave denylist on"),
        ({"enabled": False}, None, None),
        ({"enabled": True, "percentage": 0}, {"namespace": "Shop", "name": "Injected"}, None),
        ({"enabled": True, "percentage": 1, "max_latency": 1}, None, "already injects latency"),
    ],
)
def test_what_a_library_rests_on_is_looked_at_in_flags_too(
    latency: dict[str, Any], evidence: dict[str, str] | None, refused: str | None
) -> None:
    shop = Shop(stored=DENIABLE | {"values": {"latency": latency}})
    faults = ""
    try:
        shop.kind.examine(condition(DENYLIST | {"evidence": evidence}))
    except RunRefused as error:
        faults = str(error)
    assert (refused or "") in faults
    assert bool(faults) == bool(refused)


def test_a_freeform_profile_is_refused() -> None:
    with pytest.raises(RunRefused, match=r"no AWS\.AppConfig\.FeatureFlags profile"):
        Shop("AWS.Freeform").kind.examine(condition(CHECKOUT))


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"percentage": 12.5}, "condition.attributes.latency.percentage"),
        ({"match": ["path"]}, "condition.attributes.latency.match"),
        ({"max_latency": 0}, "condition.attributes.latency.max_latency"),
    ],
)
def test_what_failure_lambda_would_drop_is_refused(attributes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidExperiment) as refused:
        condition(LATENCY | {"attributes": LATENCY["attributes"] | attributes})
    assert field in {fault.field for fault in refused.value.faults}


def test_a_mode_of_failure_lambda_has_no_variants() -> None:
    with pytest.raises(InvalidExperiment, match=r"condition\.variant: .* without variants"):
        condition(LATENCY | {"variant": "default"})


def test_what_appconfig_writes_beside_the_attributes_of_a_mode_need_not_be_named() -> None:
    latency = STORED["values"]["latency"] | {"_createdAt": "2026-11-23T00:00:00Z"}
    enable(Shop(stored=STORED | {"values": {"latency": latency}}), LATENCY)


def test_a_mode_of_failure_lambda_names_what_it_needs() -> None:
    with pytest.raises(InvalidExperiment, match=r"latency\.max_latency"):
        condition({name: value for name, value in LATENCY.items() if name != "attributes"})


def test_the_proof_of_a_mode_is_the_injectors_and_of_another_flag_the_invocations() -> None:
    proofs = {**condition(LATENCY).proofs, **condition(CHECKOUT).proofs}
    assert {flag: proof.name for flag, proof in proofs.items()} == {
        "latency": "Injected",
        "checkout": "Invocations",
    }


def test_the_reach_of_a_mode_is_its_flags() -> None:
    reach = condition(LATENCY).reach
    assert (reach.percentage, reach.latency_ms) == (50, 400)
