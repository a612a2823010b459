"""What the compiled routes take for granted about the guard and the replica, which are written elsewhere."""

import pytest
from tandem_operator.api.v1alpha1 import Cloud
from tandem_operator.engines.serve_document import DRAIN_SECONDS
from tandem_operator.routing.clusters import HEALTH_PATH
from tandem_operator.routing.inputs import USUAL
from tandem_operator.routing.limits import MOST_CLOUDS
from tandem_operator.routing.routes import LOCAL_PATHS, SHARED_PATHS
from tandem_serving.gateway import guard_messages
from tandem_serving.gateway.guard_decide import MAY_LEAVE
from tandem_serving.replica import paths


def test_only_paths_that_the_guard_knows_may_leave() -> None:
    assert SHARED_PATHS == MAY_LEAVE


@pytest.mark.parametrize("path", SHARED_PATHS + LOCAL_PATHS)
def test_the_replica_answers_every_path_that_leads_to_it(path: str) -> None:
    assert paths.kind("POST", path) in (paths.Kind.INFERENCE, paths.Kind.OTHER)


def test_health_is_asked_where_the_replica_tells_it() -> None:
    assert HEALTH_PATH == paths.HEALTH
    assert paths.kind("GET", HEALTH_PATH) is paths.Kind.HEALTH


def test_a_denial_has_its_word_where_the_access_log_of_the_way_out_reads_it() -> None:
    reply = guard_messages.stop(503, kind="", code="denied_region", message="", set_headers={})
    assert reply.immediate_response.details == "guard_denied_region"


def test_the_longest_chain_holds_every_cloud_that_a_deployment_may_list() -> None:
    assert Cloud.model_json_schema()["properties"]["endpoints"]["maxItems"] == MOST_CLOUDS


def test_a_replica_that_goes_may_finish_every_answer_that_the_gateway_waits_for() -> None:
    assert USUAL.answer <= DRAIN_SECONDS
