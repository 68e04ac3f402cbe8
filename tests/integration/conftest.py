import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cli.embedded.aws import EmbeddedAws
from cli.embedded.deploy import KEEP_FILE, account, deploy_application, deploy_gameday
from tests.integration import stories
from tests.integration.calls import TARGETS
from tests.integration.runs import (
    LIMIT_SECONDS,
    Application,
    Gameday,
    Mailbox,
    observe,
    quick_target,
)

_COPIES = ("shop-2", "shop-3", "shop-4")
_TOGETHER = 4  # more runs at once are no faster on two cores, and make each other's targets slow


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-kill-points", action="store_true", help="try every cell of the kill-point matrix"
    )
    parser.addoption("--side-by-side", type=int, default=6, help="how many runs die side by side")
    parser.addoption("--seed", type=int, default=1, help="which of them dies of what, and when")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the command is started."""
    return tmp_path_factory.mktemp("checkout")


@pytest.fixture(scope="session")
def aws(folder: Path) -> Iterator[EmbeddedAws]:
    # Where the command looks for one that `gameday embedded` keeps.
    kept = folder / KEEP_FILE
    kept.parent.mkdir()
    with EmbeddedAws.start(kept.parent, kept) as running:
        yield running


@pytest.fixture(scope="session")
def stacks(aws: EmbeddedAws, folder: Path) -> Gameday:
    """The stacks, deployed once; the sample application several times, for runs side by side."""
    where = account(aws)
    application = deploy_application(aws, print)
    _copy_sample_application(aws)
    samples = [where.outputs(stack) for stack in (where.application_stack, *_COPIES)]
    for sample in samples:
        _be_patient(aws, sample)
    appconfig = aws.client("appconfig")
    own = appconfig.create_application(Name="gameday-tests")["Id"]
    forbidden = appconfig.create_application(Name="not-a-target")["Id"]
    assert samples[0]["Application"] == application
    targets = {
        **TARGETS,
        "TargetFunctions": f"{TARGETS['TargetFunctions']},{samples[3]['ClicksFunction']}",
        "TargetRoles": f"{TARGETS['TargetRoles']},{samples[0]['ImagesRole']}",
    }
    deploy_gameday(aws, print, [*(sample["Application"] for sample in samples), own], targets)
    bus = where.outputs(where.stack)["VerdictBusName"]
    return Gameday(
        aws=aws,
        applications=tuple(Application(outputs) for outputs in samples),
        own_application=own,
        forbidden_application=forbidden,
        folder=folder,
        # The queue of the subscribers is the command's to read.
        verdicts=Mailbox(aws, observe(aws, bus, "observed-verdicts")),
        notifications=Mailbox(
            aws, where.outputs(where.subscriber_stack)["VerdictNotificationQueueUrl"]
        ),
    )


def _copy_sample_application(aws: EmbeddedAws) -> None:
    """Deploy what was deployed once more, without building it again."""
    cloudformation = aws.client("cloudformation")
    template = cloudformation.get_template(StackName=account(aws).application_stack)
    for copy in _COPIES:
        cloudformation.create_stack(
            StackName=copy,
            TemplateBody=json.dumps(template["TemplateBody"]),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
    for copy in _COPIES:
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=copy, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def _be_patient(aws: EmbeddedAws, sample: dict[str, str]) -> None:
    """Let the functions start as long as they need: here that counts towards their timeout."""
    for function in ("Purchase", "Images", "Clicks"):
        aws.client("lambda").update_function_configuration(
            FunctionName=sample[f"{function}Function"], Timeout=30
        )


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of a target that answers at once."""
    with quick_target() as address:
        yield address


type Story = Callable[[Gameday, str], Any]
type UnderWay = Callable[[Story], Future[Any]]


@pytest.fixture(scope="session")
def under_way(stacks: Gameday, url: str, request: pytest.FixtureRequest) -> Iterator[UnderWay]:
    """The runs that tests share: those that the collected tests name are started at once."""
    with ThreadPoolExecutor(_TOGETHER) as threads:

        @cache
        def start(story: Story) -> Future[Any]:
            return threads.submit(story, stacks, url)

        named = {name for item in request.session.items for name in _fixtures(item)}
        for story in stories.ALL:
            if story.__name__ in named:
                start(story)
        yield start


@pytest.fixture(scope="session")
def gameday(stacks: Gameday, under_way: UnderWay) -> Gameday:
    """The stacks, on which the shared runs go on meanwhile."""
    return stacks


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what needs no stacks, then what waits for shared runs, and last what kills."""
    told = {story.__name__ for story in stories.ALL} | {"story", "ended"}

    def place(item: pytest.Item) -> int:
        needed = _fixtures(item)
        return ("gameday" in needed) + 2 * bool(told & needed) + 4 * ("matrix" in needed)

    items.sort(key=place)


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


def _shared(story: Story) -> Any:
    """Make a fixture of a story: what came of it, once for all tests."""

    @pytest.fixture(scope="session", name=story.__name__)
    def outcome(under_way: UnderWay) -> Any:
        return under_way(story).result(2 * LIMIT_SECONDS)

    return outcome


globals().update({f"_{story.__name__}": _shared(story) for story in stories.ALL})
