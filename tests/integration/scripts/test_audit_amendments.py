"""An honest history is clean whatever became of its leases: an audit after each story of the ledger."""

from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature

import pytest

from scripts.audit.replay import Scope, replay
from tests.anvil import Deployment
from tests.integration import test_ledger_amendments, test_ledger_on_chain
from tests.integration.test_ledger_on_chain import Story

Scenario = Callable[[Story], None]


def _scenarios() -> Iterator[tuple[str, Scenario]]:
    for module in (test_ledger_on_chain, test_ledger_amendments):
        for name, found in vars(module).items():
            if not name.startswith("test_"):
                continue
            parameters = list(signature(found).parameters)
            if parameters == ["story"]:
                yield name, found
            elif parameters == ["story", "by_outage"]:
                yield f"{name}, by outage", partial(found, by_outage=True)
                yield f"{name}, by notice", partial(found, by_outage=False)


SCENARIOS = dict(_scenarios())


@pytest.fixture
def story(still_deployment: Deployment) -> Story:
    return Story(still_deployment)


@pytest.mark.parametrize("name", SCENARIOS)
def test_replay__after_story__is_clean(story: Story, name: str) -> None:
    SCENARIOS[name](story)
    deployment = story.deployment
    report = replay(deployment.anvil.web3, deployment.manifest, Scope(), lambda _: None)
    assert report.differences == ()
    assert report.counts["leases"] > 0 or report.counts["events"] > 0


def test_scenarios__of_every_amendment__are_there() -> None:
    names = " ".join(SCENARIOS)
    for word in ("gang", "fail", "transfer", "dispute", "evict", "order", "native"):
        assert word in names, word
