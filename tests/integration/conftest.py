from collections.abc import Iterator

import pytest

from cli.embedded.aws import EmbeddedAws


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with EmbeddedAws.start(tmp_path_factory.mktemp("embedded-aws")) as running:
        yield running
