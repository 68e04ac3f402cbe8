"""The condition whose switch is AppConfig, on an AppConfig in memory."""

import json
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from gameday.conditions import kind
from gameday.conditions.appconfig import AppConfig, Change, Target
from gameday.errors import (
    ConditionNotDisabled,
    ConditionNotEnabled,
    ConfigurationChanged,
    RunRefused,
    RunStopped,
)
from tests.unit.fakes import RESTING, FakeAppConfig, experiment

CONDITION = experiment().condition
RUN = "smallest-1"
EXPIRES_AT = 1_800_000_000.9


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "_FIRST_POLL_SECONDS", 0)


@pytest.fixture
def fake() -> FakeAppConfig:
    return FakeAppConfig()


def switch(fake: FakeAppConfig, timeout_seconds: float = 60.0) -> AppConfig:
    client = cast(Any, fake)
    return AppConfig(client, client, strategy_id="s1", timeout_seconds=timeout_seconds)


def disable(
    fake: FakeAppConfig, target: Target, change: Change | None, timeout_seconds: float = 60.0
) -> str:
    found: list[str] = []
    switch(fake, timeout_seconds).disable(target, change, RUN, found.append)
    return found[-1]


def enable(
    fake: FakeAppConfig,
    target: Target,
    change: Change | None = None,
    remembered: list[Change] | None = None,
    timeout_seconds: float = 60.0,
) -> Change:
    notes: list[Change] = [] if remembered is None else remembered
    return switch(fake, timeout_seconds).enable(
        CONDITION, target, RUN, EXPIRES_AT, change, notes.append
    )


def denied(**_: object) -> None:
    raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "Operation")


def refusal(fake: FakeAppConfig, **changes: Any) -> str:
    condition = experiment(**{f"condition__{k}": v for k, v in changes.items()}).condition
    with pytest.raises(RunRefused) as refused:
        switch(fake).examine(condition)
    (reason,) = refused.value.reasons
    return reason


# -- before


def test_a_target_is_found_by_its_names(fake: FakeAppConfig) -> None:
    target = switch(fake).examine(CONDITION)
    assert (target.application_id, target.environment_id, target.profile_id) == ("a1", "e1", "p1")


def test_a_target_is_found_by_its_ids(fake: FakeAppConfig) -> None:
    by_id = experiment(
        condition__application="a1", condition__environment="e1", condition__profile="p1"
    )
    assert switch(fake).examine(by_id.condition) == switch(fake).examine(CONDITION)


def test_a_target_knows_the_newest_deployment_to_the_environment(fake: FakeAppConfig) -> None:
    fake.deploy(b"{}", profile="p2")
    assert switch(fake).examine(CONDITION).latest_deployment == 2


def test_runs_on_one_environment_need_the_same_lock(fake: FakeAppConfig) -> None:
    fake.deploy(b"{}", profile="p2")
    other = experiment(condition__profile="purchase").condition
    assert switch(fake).examine(other).lock == switch(fake).examine(CONDITION).lock


@pytest.mark.parametrize("what", ["application", "environment", "profile"])
def test_a_target_that_does_not_exist_is_refused_with_those_that_do(
    fake: FakeAppConfig, what: str
) -> None:
    known = {
        "application": "shop",
        "environment": "production, staging",
        "profile": "images, purchase",
    }
    reason = refusal(fake, **{what: "nowhere"})
    assert "'nowhere'" in reason
    assert f"(it has: {known[what]})" in reason


def test_an_account_without_applications_is_refused(fake: FakeAppConfig) -> None:
    fake.names["list_applications"] = []
    assert "(it has: none)" in refusal(fake)


@pytest.mark.parametrize("state", ["VALIDATING", "DEPLOYING", "BAKING", "ROLLING_BACK"])
def test_a_deployment_in_progress_is_refused(fake: FakeAppConfig, state: str) -> None:
    fake.deploy(RESTING, state=state, profile="p2")
    assert f"deployment 2 to environment 'production' is in progress ({state}" in refusal(fake)


def test_a_deployment_in_progress_is_refused_with_whose_it_is(fake: FakeAppConfig) -> None:
    fake.deploy(RESTING, state="BAKING").description = "gameday run another"
    assert "(BAKING, 'gameday run another')" in refusal(fake)


def test_an_application_that_the_stack_may_not_touch_is_refused(
    fake: FakeAppConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "paginate", denied)
    assert "add its id to the parameter TargetApplications" in refusal(fake)


def test_an_examination_that_fails_otherwise_is_an_error(
    fake: FakeAppConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(**_: object) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "ListApplications")

    monkeypatch.setattr(fake, "paginate", throttled)
    with pytest.raises(ClientError, match="Throttling"):
        switch(fake).examine(CONDITION)


@pytest.mark.parametrize("state", ["COMPLETE", "ROLLED_BACK", "REVERTED"])
def test_a_deployment_that_has_ended_is_none_in_progress(fake: FakeAppConfig, state: str) -> None:
    fake.deploy(RESTING, state=state)
    assert switch(fake).examine(CONDITION).latest_deployment == 2


@pytest.mark.parametrize("nothing", [None, b""])
def test_a_profile_without_a_resting_configuration_is_refused(nothing: bytes | None) -> None:
    assert "has no resting configuration" in refusal(FakeAppConfig(nothing))


@pytest.mark.parametrize("garbage", [b"off", b"[]", b'"off"', b"null", b"\xff"])
def test_a_resting_configuration_that_is_no_document_is_refused(garbage: bytes) -> None:
    assert "is no failure-lambda-1 document" in refusal(FakeAppConfig(garbage))


def test_a_resting_configuration_in_the_other_format_is_refused() -> None:
    other = b'{"isEnabled": true, "failureMode": "latency", "rate": 1}'
    assert "is no failure-lambda-1 document" in refusal(FakeAppConfig(other))


@pytest.mark.parametrize(
    "kind", [{"Type": "AWS.AppConfig.FeatureFlags"}, {"LocationUri": "s3://b"}]
)
def test_a_profile_that_cannot_hold_a_condition_is_refused(kind: dict[str, str]) -> None:
    fake = FakeAppConfig()
    for profile in fake.names["list_configuration_profiles"]:
        profile.update(kind)
    assert "is no AWS.Freeform profile" in refusal(fake)


def test_a_target_that_already_injects_is_refused_with_the_modes() -> None:
    on = {"enabled": True}
    injecting = json.dumps({"latency": on, "exception": on, "statuscode": {"enabled": False}})
    assert "already injects latency, exception:" in refusal(FakeAppConfig(injecting.encode()))


def test_a_drain_configuration_enabled_at_0_percent_is_resting() -> None:
    drain = b'{"latency": {"enabled": true, "percentage": 0}}'
    assert switch(FakeAppConfig(drain)).examine(CONDITION).latest_deployment == 1


# -- do


def test_an_enabled_condition_is_served_with_every_mode_and_its_lease(fake: FakeAppConfig) -> None:
    enable(fake, switch(fake).examine(CONDITION))
    served = json.loads(fake.serve())
    assert served["latency"] == {"enabled": True, "max_latency": 300}
    assert served["denylist"] == {"enabled": False}
    assert served["expires_at"] == 1_800_000_000


def test_the_version_is_remembered_before_the_deployment_starts(fake: FakeAppConfig) -> None:
    seen: list[tuple[Change, int]] = []
    switch(fake).enable(
        CONDITION,
        switch(fake).examine(CONDITION),
        RUN,
        EXPIRES_AT,
        None,
        lambda change: seen.append((change, len(fake.deployments))),
    )
    assert seen == [(Change(version=2), 1), (Change(version=2, deployment=2), 2)]


def test_a_run_that_was_stopped_before_the_start_deploys_nothing(fake: FakeAppConfig) -> None:
    def stopped(_: Change) -> None:
        raise RunStopped

    target = switch(fake).examine(CONDITION)
    with pytest.raises(RunStopped):
        switch(fake).enable(CONDITION, target, RUN, EXPIRES_AT, None, stopped)
    assert len(fake.deployments) == 1


def test_an_undo_between_the_start_and_the_note_leaves_nothing_on(fake: FakeAppConfig) -> None:
    def stopped_meanwhile(change: Change) -> None:
        if change.deployment:
            raise RunStopped

    target = switch(fake).examine(CONDITION)
    with pytest.raises(RunStopped):
        switch(fake).enable(CONDITION, target, RUN, EXPIRES_AT, None, stopped_meanwhile)
    assert fake.serve() == RESTING


def test_enabling_waits_until_the_condition_is_served(fake: FakeAppConfig) -> None:
    fake.states_of_next = ["VALIDATING", "DEPLOYING", "BAKING"]
    enable(fake, switch(fake).examine(CONDITION))
    assert fake.deployments[-1].state == "BAKING"


GROWING = CONDITION.model_copy(update={"ramp_minutes": 5})


def grow(fake: FakeAppConfig, *states: str) -> tuple[AppConfig, Target, Change]:
    """Begin a ramp whose deployment goes through these states."""
    fake.states_of_next = list(states)
    client = cast(Any, fake)
    operations = AppConfig(client, client, strategy_id="s1", ramps={5: "s5"}, timeout_seconds=2)
    target = operations.examine(GROWING)
    change = operations.enable(GROWING, target, RUN, EXPIRES_AT, None, lambda _: None)
    return operations, target, change


def test_a_ramp_is_enabled_when_it_begins_to_grow(fake: FakeAppConfig) -> None:
    operations, target, change = grow(fake, "VALIDATING", *["DEPLOYING"] * 3, "BAKING")
    assert fake.strategies == ["s5"]
    assert [operations.grown(target, change) for _ in range(3)] == [40.0, 40.0, 100.0]


def test_a_condition_without_a_ramp_is_deployed_at_once(fake: FakeAppConfig) -> None:
    enable(fake, switch(fake).examine(CONDITION))
    assert fake.strategies == ["s1"]


def test_a_ramp_that_is_rolled_back_while_it_grows_is_not_enabled(fake: FakeAppConfig) -> None:
    operations, target, change = grow(fake, "DEPLOYING", "DEPLOYING", "ROLLED_BACK")
    operations.grown(target, change)
    with pytest.raises(ConditionNotEnabled, match="rolled deployment 2 back"):
        operations.grown(target, change)


def test_a_ramp_is_taken_back_while_it_grows_and_how_far_it_had_come_is_told(
    fake: FakeAppConfig,
) -> None:
    operations, target, change = grow(fake, *["DEPLOYING"] * 9)
    found: list[str] = []
    operations.disable(target, change, RUN, found.append)
    assert found == ["DEPLOYING (40 %)"]
    assert fake.serve() == RESTING


def test_enabling_again_after_a_lost_answer_adopts_the_first_deployment(
    fake: FakeAppConfig,
) -> None:
    target, remembered = switch(fake).examine(CONDITION), list[Change]()
    fake.lost = {"start_deployment"}
    with pytest.raises(ReadTimeoutError):
        enable(fake, target, None, remembered)
    assert enable(fake, target, remembered[-1], remembered) == Change(version=2, deployment=2)
    assert len(fake.deployments) == 2


def test_enabling_again_when_all_is_known_deploys_nothing(fake: FakeAppConfig) -> None:
    target = switch(fake).examine(CONDITION)
    change = enable(fake, target)
    assert enable(fake, target, change) == change
    assert (len(fake.versions), len(fake.deployments)) == (2, 2)


@pytest.mark.parametrize("state", ["BAKING", "COMPLETE"])
def test_nothing_is_enabled_over_somebody_elses_deployment(fake: FakeAppConfig, state: str) -> None:
    target = switch(fake).examine(CONDITION)
    fake.deploy(b'{"theirs": true}', state=state)
    with pytest.raises(ConfigurationChanged, match="somebody else deployed"):
        enable(fake, target)
    assert fake.serve() == b'{"theirs": true}'


def test_a_deployment_of_another_run_is_not_adopted(fake: FakeAppConfig) -> None:
    target = switch(fake).examine(CONDITION)
    fake.deploy(b"{}", state="BAKING").description = "gameday run another"
    with pytest.raises(ConfigurationChanged):
        enable(fake, target, Change(version=2))


def test_a_deployment_of_another_version_is_not_adopted(fake: FakeAppConfig) -> None:
    target = switch(fake).examine(CONDITION)
    fake.deploy(b"{}", state="BAKING").description = f"gameday run {RUN}"
    with pytest.raises(ConfigurationChanged):
        enable(fake, target, Change(version=3))


def test_an_error_of_appconfig_is_no_conflict(
    fake: FakeAppConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "start_deployment", denied)
    with pytest.raises(ClientError, match="AccessDenied"):
        enable(fake, switch(fake).examine(CONDITION))


@pytest.mark.parametrize("state", ["ROLLING_BACK", "ROLLED_BACK", "REVERTED"])
def test_a_condition_that_appconfig_rolls_back_at_once_is_not_enabled(
    fake: FakeAppConfig, state: str
) -> None:
    fake.states_of_next = ["DEPLOYING", state]
    with pytest.raises(ConditionNotEnabled, match="rolled deployment 2 back"):
        enable(fake, switch(fake).examine(CONDITION))


def test_a_condition_that_is_not_served_in_time_is_not_enabled(fake: FakeAppConfig) -> None:
    fake.states_of_next = ["DEPLOYING"]
    with pytest.raises(ConditionNotEnabled, match="within 0 s"):
        enable(fake, switch(fake).examine(CONDITION), timeout_seconds=0)


# -- undo


@pytest.fixture
def target(fake: FakeAppConfig) -> Target:
    return switch(fake).examine(CONDITION)


def test_disabling_serves_the_resting_configuration_again(
    fake: FakeAppConfig, target: Target
) -> None:
    change = enable(fake, target)
    assert disable(fake, target, change) == "BAKING"
    assert fake.serve() == RESTING


def test_disabling_twice_stops_once(fake: FakeAppConfig, target: Target) -> None:
    change = enable(fake, target)
    disable(fake, target, change)
    assert disable(fake, target, change) == "ROLLED_BACK"
    assert fake.stops == 1


@pytest.mark.parametrize("change", [None, Change(version=2)])
def test_disabling_is_harmless_when_nothing_was_enabled(
    fake: FakeAppConfig, target: Target, change: Change | None
) -> None:
    assert disable(fake, target, change) == "NEVER"
    assert fake.stops == 0


def test_disabling_leaves_deployments_of_before_the_run_alone(
    fake: FakeAppConfig, target: Target
) -> None:
    fake.deployments[0].description = f"gameday run {RUN}"
    assert disable(fake, target, Change(version=1)) == "NEVER"


def test_disabling_finds_a_deployment_whose_number_nobody_noted(
    fake: FakeAppConfig, target: Target
) -> None:
    change = enable(fake, target)
    assert disable(fake, target, Change(version=change.version)) == "BAKING"
    assert fake.serve() == RESTING


def test_a_lost_answer_to_the_stop_is_mended_by_the_next_call(
    fake: FakeAppConfig, target: Target
) -> None:
    change, fake.lost = enable(fake, target), {"stop_deployment"}
    with pytest.raises(ReadTimeoutError):
        disable(fake, target, change)
    assert disable(fake, target, change) == "ROLLED_BACK"


def test_a_condition_that_somebody_turned_off_before_is_found_rolled_back(
    fake: FakeAppConfig, target: Target
) -> None:
    change = enable(fake, target)
    fake.deployments[-1].state = "ROLLED_BACK"
    assert disable(fake, target, change) == "ROLLED_BACK"
    assert fake.stops == 0


def test_a_condition_that_is_just_being_rolled_back_is_waited_for(
    fake: FakeAppConfig, target: Target
) -> None:
    change, deployment = enable(fake, target), fake.deployments[-1]
    deployment.state, deployment.coming = "ROLLING_BACK", ["ROLLING_BACK", "ROLLED_BACK"]
    assert disable(fake, target, change) == "ROLLING_BACK"
    assert deployment.state == "ROLLED_BACK"


def test_a_deployment_that_has_baked_is_reverted(fake: FakeAppConfig, target: Target) -> None:
    change = enable(fake, target)
    fake.deployments[-1].state = "COMPLETE"
    assert disable(fake, target, change) == "COMPLETE"
    assert fake.deployments[-1].state == "REVERTED"


def test_what_somebody_else_deployed_over_the_condition_is_not_reverted(
    fake: FakeAppConfig, target: Target
) -> None:
    change = enable(fake, target)
    fake.deployments[-1].state = "COMPLETE"
    fake.deploy(b'{"theirs": true}')
    with pytest.raises(ConfigurationChanged, match=r"deployment 3 \(by hand, .* replaced"):
        disable(fake, target, change)
    assert (fake.stops, fake.serve()) == (0, b'{"theirs": true}')


def test_what_somebody_else_deployed_after_a_roll_back_is_not_reverted(
    fake: FakeAppConfig, target: Target
) -> None:
    change = enable(fake, target)
    fake.deployments[-1].state = "ROLLED_BACK"
    fake.deploy(b'{"theirs": true}')
    with pytest.raises(ConfigurationChanged, match=r"deployment 3 \(by hand, .* replaced"):
        disable(fake, target, change)


def test_a_deployment_to_another_profile_does_not_stand_in_the_way(
    fake: FakeAppConfig, target: Target
) -> None:
    change = enable(fake, target)
    fake.deployments[-1].state = "COMPLETE"
    fake.deploy(b"{}", profile="p2")
    assert disable(fake, target, change) == "COMPLETE"
    assert fake.serve() == RESTING


def test_a_condition_that_goes_on_after_the_stop_is_not_disabled(
    fake: FakeAppConfig, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = enable(fake, target)
    monkeypatch.setattr(fake, "stop_deployment", lambda **_: {})
    with pytest.raises(ConditionNotDisabled, match="deployment 2 is still BAKING"):
        disable(fake, target, change, timeout_seconds=0)


def test_a_condition_is_not_disabled_while_the_target_is_served_anything_else(
    fake: FakeAppConfig, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = enable(fake, target)
    monkeypatch.setattr(fake, "serve", lambda *_: b'{"latency": {"enabled": true}}')
    with pytest.raises(ConditionNotDisabled, match="is not served its resting configuration"):
        disable(fake, target, change)


def test_a_stop_that_is_denied_is_an_error(
    fake: FakeAppConfig, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = enable(fake, target)
    monkeypatch.setattr(fake, "stop_deployment", denied)
    with pytest.raises(ClientError, match="AccessDenied"):
        disable(fake, target, change)


def test_what_is_found_is_told_before_anything_is_stopped(
    fake: FakeAppConfig, target: Target
) -> None:
    change = enable(fake, target)
    stops: list[int] = []
    switch(fake).disable(target, change, RUN, lambda _: stops.append(fake.stops))
    assert stops == [0]
