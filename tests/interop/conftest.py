from collections.abc import Iterator

import pytest

from cli.embedded.agent import agent
from cli.embedded.aws import EmbeddedAws
from cli.embedded.deploy import account, deploy_gameday, deploy_template
from tests.integration.runs import Gameday, Mailbox, observe
from tests.interop.lab import Lab, make_switches
from tests.interop.rows import AGENT_POLL_SECONDS, PARAMETERS


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The functions under test, and Gameday, which may change each of their switches."""
    folder = tmp_path_factory.mktemp("lab")
    with (
        EmbeddedAws.start(folder) as aws,
        agent(aws.client("appconfigdata"), AGENT_POLL_SECONDS) as port,
    ):
        application = make_switches(aws)
        outputs = deploy_template(
            aws, print, "interop", "tests/interop/template.yaml", {"AgentPort": str(port)}
        )
        targets = {
            "TargetFunctions": outputs["Plain"],
            "TargetRoles": outputs["PlainRole"],
            "TargetParameters": ",".join(PARAMETERS),
        }
        deploy_gameday(aws, print, [application], targets)
        where = account(aws)
        gameday = Gameday(
            aws=aws,
            applications=(),
            own_application=application,
            forbidden_application="",
            folder=folder,
            verdicts=Mailbox(
                aws, observe(aws, where.outputs(where.stack)["VerdictBusName"], "observed")
            ),
            notifications=Mailbox(
                aws, where.outputs(where.subscriber_stack)["VerdictNotificationQueueUrl"]
            ),
        )
        yield Lab(gameday, outputs)
