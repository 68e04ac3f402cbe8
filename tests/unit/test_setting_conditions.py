"""The kinds whose switch is one setting, on services of the embedded AWS in this process.

Each test is told for every kind: what one promises, all keep.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ministack.services import iam, lambda_svc, ssm

from gameday.conditions import KINDS, row
from gameday.conditions.kind import NEVER, ON
from gameday.conditions.setting import Change, Setting, Target
from gameday.errors import (
    ConditionNotDisabled,
    ConditionNotEnabled,
    ConfigurationChanged,
    InvalidExperiment,
    RunRefused,
    RunStopped,
)
from gameday.experiment import parse
from tests.unit.fakes import smallest
from tests.unit.inprocess import client

RUN, EXPIRES_AT = "run-1", 1_800_000_000.0
RESTING = json.dumps({"latency": {"enabled": False}})
EVIDENCE = {"namespace": "Shop", "name": "Denied"}

CONDITIONS: dict[str, dict[str, Any]] = {
    "policy": {
        "kind": "policy",
        "role": "shop-role",
        "actions": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
        "resources": ["*"],
        "evidence": EVIDENCE,
    },
    "timeout": {"kind": "configuration", "timeout_seconds": 1},
    "memory": {"kind": "configuration", "memory_mb": 512},
    "variable": {"kind": "configuration", "variable": "TABLE_NAME", "value": "nowhere"},
    "variable removed": {"kind": "configuration", "variable": "TABLE_NAME"},
    "variable added": {"kind": "configuration", "variable": "DEBUG", "value": "1"},
    "concurrency": {"kind": "concurrency", "reserved": 0},
    "parameter": {
        "kind": "parameter",
        "parameter": "/shop/failure",
        "configuration": {"latency": {"enabled": True, "max_latency": 200}},
    },
}


def code() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): ...")
    return buffer.getvalue()


CLIENTS = {
    "iam": client("iam", iam),
    "lambda": client("lambda", lambda_svc),
    "ssm": client("ssm", ssm),
}


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One function with its role, and one parameter."""
    # An update of a function is still under way when the answer comes, but not for half a second.
    monkeypatch.setattr(lambda_svc, "_LAMBDA_STATE_TRANSITION_DELAY", 0.05)
    CLIENTS["iam"].create_role(RoleName="shop-role", AssumeRolePolicyDocument="{}")
    CLIENTS["lambda"].create_function(
        FunctionName="shop",
        Runtime="python3.13",
        Handler="app.handler",
        Role="arn:aws:iam::000000000000:role/shop-role",
        Code={"ZipFile": code()},
        Timeout=10,
        Environment={"Variables": {"TABLE_NAME": "items", "OTHER": "stays"}},
    )
    CLIENTS["ssm"].put_parameter(Name="/shop/failure", Value=RESTING, Type="String")
    yield
    for module in (iam, lambda_svc, ssm):
        module.reset()


@dataclass
class Case:
    """A kind, its condition, and what a run of it remembers."""

    kind: Setting
    condition: Any
    remembered: list[Change]
    noticed: list[str]
    stopped: bool = False

    def target(self) -> Target:
        return self.kind.examine(self.condition)

    def remember(self, change: Change) -> None:
        if self.stopped:
            raise RunStopped("stopped")
        self.remembered.append(change)

    def enable(self, target: Target, change: Change | None = None) -> Change:
        return self.kind.enable(self.condition, target, RUN, EXPIRES_AT, change, self.remember)

    def disable(self, target: Target, change: Change | None) -> None:
        self.kind.disable(target, change, RUN, self.noticed.append)


def condition(document: dict[str, Any]) -> Any:
    return parse(smallest(condition={"function": "shop", **document})).condition


def case(document: dict[str, Any]) -> Case:
    found = condition(document)
    kind = row(found).operations(CLIENTS.__getitem__, {})
    assert isinstance(kind, Setting)
    return Case(kind, found, [], [])


@pytest.fixture(params=list(CONDITIONS.values()), ids=list(CONDITIONS))
def each(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(Setting, "timeout_seconds", 5)
    return case(request.param)


def test_every_setting_kind_is_told_of_here() -> None:
    settings = {name for name, kind in KINDS.items() if issubclass(kind.target, Target)}
    assert {document["kind"] for document in CONDITIONS.values()} == settings


def test_enabling_changes_the_setting_and_disabling_restores_it(each: Case) -> None:
    target = each.target()
    change = each.enable(target)
    assert each.kind.read(target) == change.value != target.before
    each.disable(target, change)
    assert each.kind.read(target) == target.before
    assert each.noticed == [ON]


def test_the_change_is_remembered_before_anything_is_changed(each: Case) -> None:
    target, seen = each.target(), []
    each.kind.enable(
        each.condition,
        target,
        RUN,
        EXPIRES_AT,
        None,
        lambda change: seen.append((change, each.kind.read(target) == target.before)),
    )
    (first, untouched), (second, still_untouched) = seen
    assert (untouched, still_untouched, first) == (True, False, second)


def test_a_run_that_was_stopped_before_changes_nothing(each: Case) -> None:
    target, each.stopped = each.target(), True
    with pytest.raises(RunStopped):
        each.enable(target)
    assert each.kind.read(target) == target.before


def test_a_run_that_is_stopped_meanwhile_undoes_its_change(each: Case) -> None:
    target = each.target()

    def remember(change: Change) -> None:
        if each.kind.read(target) == change.value:
            raise RunStopped("stopped meanwhile")

    with pytest.raises(RunStopped):
        each.kind.enable(each.condition, target, RUN, EXPIRES_AT, None, remember)
    assert each.kind.read(target) == target.before


def test_a_run_that_is_stopped_before_its_change_can_be_seen_undoes_it(
    each: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = each.target()

    def remember(change: Change) -> None:
        if each.kind.read(target) == change.value:
            monkeypatch.setattr(type(each.kind), "read", lambda *_: target.before)
            raise RunStopped("stopped meanwhile")

    with pytest.raises(RunStopped):
        each.kind.enable(each.condition, target, RUN, EXPIRES_AT, None, remember)
    monkeypatch.undo()
    assert each.kind.read(target) == target.before


def test_enabling_again_after_a_lost_answer_goes_on(each: Case) -> None:
    target = each.target()
    change = each.enable(target)
    assert each.enable(target, each.remembered[-1]) == change
    each.disable(target, change)


def test_disabling_is_harmless_when_nothing_was_enabled(each: Case) -> None:
    target = each.target()
    each.disable(target, None)
    each.disable(target, Change(value="never written"))
    assert each.noticed == [NEVER, NEVER]
    assert each.kind.read(target) == target.before


def test_disabling_twice_is_harmless(each: Case) -> None:
    target = each.target()
    change = each.enable(target)
    each.disable(target, change)
    each.disable(target, change)
    assert each.noticed == [ON, NEVER]
    assert each.kind.read(target) == target.before


def test_somebody_elses_change_is_not_overwritten_by_enabling(each: Case) -> None:
    target = each.target().model_copy(update={"before": "as it was once"})
    now = each.kind.read(target)
    with pytest.raises(ConfigurationChanged, match="after this run was armed"):
        each.enable(target)
    assert each.kind.read(target) == now


def test_somebody_elses_change_is_not_overwritten_by_disabling(each: Case) -> None:
    target = each.target()
    change = each.enable(target)
    with pytest.raises(ConfigurationChanged, match="somebody else changed"):
        each.disable(target, Change(value=change.value + " of another run"))
    assert each.kind.read(target) == change.value
    each.disable(target, change)


def test_a_change_that_does_not_come_is_told_of(
    each: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = each.target()
    monkeypatch.setattr(type(each.kind), "write", lambda *_: None)
    monkeypatch.setattr(Setting, "timeout_seconds", 0)
    with pytest.raises(ConditionNotEnabled):
        each.enable(target)


def test_a_restoring_that_does_not_come_is_told_of(
    each: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = each.target()
    change = each.enable(target)
    monkeypatch.setattr(type(each.kind), "write", lambda *_: None)
    monkeypatch.setattr(Setting, "timeout_seconds", 0)
    with pytest.raises(ConditionNotDisabled):
        each.disable(target, change)


def test_a_run_leaves_the_target_as_it_was(each: Case) -> None:
    before = everything()
    target = each.target()
    change = each.enable(target)
    assert everything() != before
    each.disable(target, change)
    assert everything() == before


def everything() -> Any:
    function = CLIENTS["lambda"].get_function_configuration(FunctionName="shop")
    return (
        {name: function[name] for name in ("Timeout", "MemorySize", "Environment")},
        CLIENTS["lambda"]
        .get_function_concurrency(FunctionName="shop")
        .get("ReservedConcurrentExecutions"),
        CLIENTS["iam"].list_role_policies(RoleName="shop-role")["PolicyNames"],
        CLIENTS["ssm"].get_parameter(Name="/shop/failure")["Parameter"]["Value"],
    )


# What is refused


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(RunRefused) as refused:
        case(document).target()
    (reason,) = refused.value.reasons
    return reason


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("policy", {"role": "nobody"}, "there is no role 'nobody'"),
        ("timeout", {"function": "nothing"}, "there is no function 'nothing'"),
        ("timeout", {"function": "shop:live"}, "has a qualifier"),
        ("timeout", {"timeout_seconds": 10}, "has that timeout_seconds already"),
        ("variable", {"value": "items"}, "has that TABLE_NAME already"),
        ("concurrency", {"function": "nothing"}, "there is no function 'nothing'"),
        ("parameter", {"parameter": "/nowhere"}, "there is no parameter '/nowhere'"),
        (
            "parameter",
            {
                "format": "chaos-lambda-0.3",
                "configuration": {
                    "is_enabled": True,
                    "fault_type": "exception",
                    "exception_msg": "x",
                    "rate": 1,
                },
            },
            "is no chaos-lambda-0.3 document",
        ),
    ],
)
def test_what_cannot_be_a_target_is_refused(
    name: str, changes: dict[str, Any], reason: str
) -> None:
    assert reason in refusal({**CONDITIONS[name], **changes})


def test_a_function_whose_traffic_may_go_to_a_version_is_refused() -> None:
    version = CLIENTS["lambda"].publish_version(FunctionName="shop")["Version"]
    CLIENTS["lambda"].create_alias(FunctionName="shop", Name="live", FunctionVersion=version)
    assert "may go to a published version (alias live)" in refusal(CONDITIONS["timeout"])


def test_a_policy_of_ours_that_is_there_already_is_refused() -> None:
    policy = case(CONDITIONS["policy"])
    policy.enable(policy.target())
    assert "has a policy 'gameday-condition' already" in refusal(CONDITIONS["policy"])


def test_a_parameter_that_injects_is_refused() -> None:
    on = json.dumps({"latency": {"enabled": True, "max_latency": 1}})
    CLIENTS["ssm"].put_parameter(Name="/shop/failure", Value=on, Overwrite=True)
    assert "already injects latency" in refusal(CONDITIONS["parameter"])


def test_an_encrypted_parameter_is_refused() -> None:
    CLIENTS["ssm"].put_parameter(Name="/secret", Value=RESTING, Type="SecureString")
    assert "is encrypted" in refusal({**CONDITIONS["parameter"], "parameter": "/secret"})


DENYLIST = {"denylist": {"enabled": True, "deny_list": ["dynamodb"]}}


@pytest.mark.parametrize(
    ("resting", "evidence", "refused"),
    [
        (RESTING, EVIDENCE, True),
        (json.dumps({"latency": {"enabled": True, "percentage": 0}}), EVIDENCE, False),
        (RESTING, None, False),
    ],
    ids=["library, no drain", "library, drain", "our injector"],
)
def test_failure_lambda_1_must_rest_on_a_drain_for_what_it_would_leave_on(
    resting: str, evidence: dict[str, str] | None, refused: bool
) -> None:
    CLIENTS["ssm"].put_parameter(Name="/shop/failure", Value=resting, Overwrite=True)
    document = {**CONDITIONS["parameter"], "configuration": DENYLIST, "evidence": evidence}
    if refused:
        assert "would leave denylist on in warm instances" in refusal(document)
    else:
        case(document).target()


def test_a_target_that_the_stack_does_not_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = CLIENTS["iam"].exceptions.ClientError(
        {"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListRolePolicies"
    )

    def deny(*_: object, **__: object) -> None:
        raise denied

    monkeypatch.setattr(CLIENTS["iam"], "list_role_policies", deny)
    assert "add its name to the parameter TargetRoles" in refusal(CONDITIONS["policy"])


# What the documents say


def test_a_deny_expires_by_itself() -> None:
    policy = case(CONDITIONS["policy"])
    written = json.loads(policy.enable(policy.target()).value)
    (statement,) = written["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"DateLessThan": {"aws:CurrentTime": "2027-01-15T08:00:00Z"}}


def test_a_parameter_carries_its_lease_and_every_mode() -> None:
    parameter = case(CONDITIONS["parameter"])
    written = json.loads(parameter.enable(parameter.target()).value)
    assert written["expires_at"] == EXPIRES_AT
    assert written["latency"]["enabled"]
    assert not any(written[mode]["enabled"] for mode in ("denylist", "diskspace", "exception"))


CHAOS = {"is_enabled": True, "fault_type": "latency", "delay": 400, "rate": 1}


def test_chaos_lambda_is_given_all_six_keys() -> None:
    CLIENTS["ssm"].put_parameter(
        Name="/shop/failure", Value='{"is_enabled": false}', Overwrite=True
    )
    chaos = case({**CONDITIONS["parameter"], "format": "chaos-lambda-0.3", "configuration": CHAOS})
    written = json.loads(chaos.enable(chaos.target()).value)
    assert written.keys() >= {
        "fault_type",
        "delay",
        "is_enabled",
        "error_code",
        "exception_msg",
        "rate",
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rate": 0}, "rate"),
        ({"rate": None}, "rate"),
        ({"is_enabled": False}, "is_enabled"),
        ({"isEnabled": True}, "isEnabled"),
        ({"fault_type": "timeout"}, "fault_type"),
        ({"delay": 0.5}, "delay"),
        ({"fault_type": "status_code"}, "error_code"),
        ({"fault_type": "status_code", "error_code": 503, "rate": 0.5}, "rate"),
        ({"fault_type": "status_code", "error_code": "503"}, "error_code"),
    ],
)
def test_what_would_break_a_chaos_lambda_application_is_refused(
    changes: dict[str, Any], field: str
) -> None:
    document = {
        **CONDITIONS["parameter"],
        "format": "chaos-lambda-0.3",
        "configuration": CHAOS | changes,
    }
    with pytest.raises(InvalidExperiment) as refused:
        condition(document)
    assert {fault.field for fault in refused.value.faults} == {f"condition.configuration.{field}"}


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_mb": 128},
        {"timeout_seconds": None},
        {"value": "x"},
        {"timeout_seconds": None, "variable": "AWS_REGION"},
    ],
)
def test_a_configuration_is_one_setting_that_may_be_set(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidExperiment):
        condition({**CONDITIONS["timeout"], **changes})


def test_a_policy_needs_evidence_of_its_own() -> None:
    with pytest.raises(InvalidExperiment, match="evidence"):
        condition({k: v for k, v in CONDITIONS["policy"].items() if k != "evidence"})


@pytest.mark.parametrize("action", ["*", "dynamodb", "dynamodb:Get Item"])
def test_a_deny_names_its_actions(action: str) -> None:
    with pytest.raises(InvalidExperiment):
        condition({**CONDITIONS["policy"], "actions": [action]})


def test_who_denies_a_role_is_warned_of_its_other_functions() -> None:
    (warning,) = condition(CONDITIONS["policy"]).warnings
    assert "whatever else has the role 'shop-role'" in warning


def test_a_function_throttled_whole_is_warned_of() -> None:
    (warning,) = condition(CONDITIONS["concurrency"]).warnings
    assert "dead-letter queue" in warning
    assert condition({**CONDITIONS["concurrency"], "reserved": 1}).warnings == ()


@pytest.mark.parametrize(
    ("name", "proof"),
    [
        ("policy", ("Shop", "Denied", {})),
        ("timeout", ("AWS/Lambda", "Invocations", {"FunctionName": "shop"})),
        ("concurrency", ("AWS/Lambda", "Throttles", {"FunctionName": "shop"})),
        ("parameter", ("Gameday", "Injected", {"FunctionName": "shop", "Mode": "latency"})),
    ],
)
def test_the_proof_of_a_condition(name: str, proof: tuple[str, str, dict[str, str]]) -> None:
    (found,) = condition(CONDITIONS[name]).proofs.values()
    assert (found.namespace, found.name, found.dimensions) == proof
