"""What the roles of Gameday's functions may do is enforced: their work, here, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from ministack.core import iam_evaluator

from cli.embedded.aws import REGION
from tests.house.project import FUNCTIONS, actions, permissions
from tests.integration import calls
from tests.integration.calls import INDIRECT, MISCHIEF, NOWHERE, WORK, Call, Place
from tests.integration.runs import Gameday, Json

AWS_MANAGED = {
    "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess",
}
"""What SAM gives to each function for its logs and traces; AWS writes them, with "*"."""

type Case = tuple[str, str]

each_function = pytest.mark.parametrize("function", FUNCTIONS)
GRANTS = [(function, action) for function in FUNCTIONS for action in sorted(permissions(function))]
SCOPED = [(function, action) for function, action in GRANTS if action not in NOWHERE]


def each(cases: Iterable[Case], says: Callable[[Case], str]) -> pytest.MarkDecorator:
    """Test each function with each action, under a name that is a sentence."""
    cases = list(cases)
    return pytest.mark.parametrize(
        ("function", "action"), cases, ids=[says(case) for case in cases]
    )


def granted(case: Case) -> str:
    function, action = case
    return f"{function} {'may' if action in permissions(function) else 'may not'} {action}"


type Denied = Callable[[str, Call, Place], bool]


@pytest.fixture(scope="module")
def here(gameday: Gameday) -> Place:
    return calls.here(gameday)


@pytest.fixture(scope="module")
def elsewhere(gameday: Gameday) -> Place:
    return calls.elsewhere(gameday)


@pytest.fixture(scope="module")
def role(gameday: Gameday) -> Callable[[str], str]:
    """The ARN of a function's role."""

    @cache
    def ask(function: str) -> str:
        name = gameday.resource(function)
        found = gameday.client("lambda").get_function_configuration(FunctionName=name)
        return str(found["Role"])

    return ask


@pytest.fixture(scope="module")
def denied(gameday: Gameday, role: Callable[[str], str]) -> Denied:
    """Whether permissions are what keeps a function, by name, from a call."""
    # One client of each service for all roles, since making one takes longer than a call.
    session = boto3.Session("nobody", "nobody", "nobody", region_name=REGION)
    worn = session.get_credentials()
    assert worn

    @cache
    def credentials(function: str) -> Json:
        sts = gameday.client("sts")
        assumed = sts.assume_role(RoleArn=role(function), RoleSessionName="test")
        return dict(assumed["Credentials"])

    @cache
    def client(service: str) -> Any:
        return session.client(
            service,  # type: ignore[call-overload]
            endpoint_url=gameday.aws.endpoint_url,
        )

    def ask(function: str, call: Call, place: Place) -> bool:
        keys = credentials(function)
        worn.access_key, worn.secret_key = keys["AccessKeyId"], keys["SecretAccessKey"]
        worn.token = keys["SessionToken"]
        try:
            getattr(client(call.service), call.operation)(**call.arguments(place))
        except ClientError as error:
            return error.response["Error"]["Code"] in {
                "AccessDenied",
                "AccessDeniedException",
                "AuthorizationError",
            }
        return False

    return ask


@each(product(FUNCTIONS, WORK), granted)
def test_a_function_may_do_here_what_it_is_permitted_and_no_more(
    denied: Denied, here: Place, function: str, action: str
) -> None:
    assert denied(function, WORK[action], here) == (action not in permissions(function))


@each(product(FUNCTIONS, sorted(WORK.keys() - NOWHERE)), "{0[0]} may not {0[1]} elsewhere".format)
def test_a_function_may_do_no_work_elsewhere(
    denied: Denied, elsewhere: Place, function: str, action: str
) -> None:
    assert denied(function, WORK[action], elsewhere)


@each(product(FUNCTIONS, MISCHIEF), granted)
def test_a_function_may_do_no_mischief(
    denied: Denied, here: Place, function: str, action: str
) -> None:
    assert denied(function, MISCHIEF[action], here)


def test_every_permission_is_asked_for_by_a_call() -> None:
    assert {action for _, action in GRANTS} == WORK.keys() | INDIRECT.keys()


# --- What the embedded AWS does not ask: every resource of a call, and services' own questions ----


@pytest.fixture(scope="module")
def policies(gameday: Gameday, role: Callable[[str], str]) -> Callable[[str], dict[str, Json]]:
    """The policies of a function's role, as they were deployed, by their ARN or name."""

    @cache
    def ask(function: str) -> dict[str, Json]:
        iam, name = gameday.client("iam"), role(function).rpartition("/")[2]
        found: dict[str, Json] = {}
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            arn = policy["PolicyArn"]
            if arn in AWS_MANAGED:
                found[arn] = {"Statement": []}  # AWS's text, which is not ours to prove
                continue
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)
            found[arn] = answer["PolicyVersion"]["Document"]
        for inline in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            answer = iam.get_role_policy(RoleName=name, PolicyName=inline)
            found[inline] = answer["PolicyDocument"]
        return found

    return ask


@each_function
def test_a_role_holds_what_the_template_says_and_what_aws_writes_for_logs_and_traces(
    policies: Callable[[str], dict[str, Json]], function: str
) -> None:
    found = policies(function)
    statements = [statement for policy in found.values() for statement in policy["Statement"]]
    assert {name for name in found if ":aws:policy/" in name} == AWS_MANAGED
    assert actions(statements) == permissions(function)


type Permitted = Callable[[str, str, str, Place], bool]


@pytest.fixture(scope="module")
def permitted(role: Callable[[str], str], policies: Callable[[str], dict[str, Json]]) -> Permitted:
    """Whether a function's role permits an action on one resource."""

    @cache
    def parsed(function: str) -> list[Any]:
        return [iam_evaluator.parse_policy_document(d) for d in policies(function).values()]

    def ask(function: str, action: str, resource: str, place: Place) -> bool:
        asked = iam_evaluator.EvalContext(
            principal_arn=role(function),
            principal_type="AssumedRole",
            principal_account=place.account,
            action=action,
            resource_arn=resource,
            region=place.region,
            service_context=dict((WORK | INDIRECT)[action].keys(place)),
        )
        return bool(iam_evaluator.evaluate(asked, parsed(function)).decision == "Allow")

    return ask


@each(GRANTS, granted)
def test_a_permission_is_for_every_resource_that_aws_asks_about(
    permitted: Permitted, here: Place, function: str, action: str
) -> None:
    ours = (WORK | INDIRECT)[action].resources(here)
    assert [resource for resource in ours if not permitted(function, action, resource, here)] == []


@each(SCOPED, "{0[0]} may not {0[1]} elsewhere".format)
def test_a_permission_is_for_no_resource_and_no_purpose_of_others(
    permitted: Permitted, here: Place, elsewhere: Place, function: str, action: str
) -> None:
    call = (WORK | INDIRECT)[action]
    ours, theirs = call.resources(here), call.resources(elsewhere)
    asked = [(resource, here) for resource in theirs if resource not in ours]
    if call.keys(here) != call.keys(elsewhere):
        asked.extend((resource, elsewhere) for resource in ours)
    assert asked, "nothing tells ours from others"
    assert [
        resource for resource, place in asked if permitted(function, action, resource, place)
    ] == []


@each(
    [case for case in SCOPED if case[1].startswith("appconfig:")],
    "{0[0]} may not {0[1]} abroad".format,
)
def test_an_application_of_the_same_id_in_another_region_is_no_target(
    permitted: Permitted, here: Place, function: str, action: str
) -> None:
    abroad = replace(here, region="eu-north-1")
    asked = WORK[action].resources(abroad)
    assert [resource for resource in asked if permitted(function, action, resource, abroad)] == []
