"""A CloudEndpoint that is edited while the operator reads its Secrets: the key may be the next place's already."""

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from support.builders import a_cloud_endpoint, from_server
from tandem_contract.documents import Credential, EndpointPolicy
from tandem_operator.cache import Key, Kind
from tandem_operator.clients.cluster import ENDPOINTS
from tandem_operator.errors import Retry
from tandem_operator.reconcile_endpoint import EndpointReconciler

OLD, NEW = "https://old.example.com/v1", "https://new.example.com/v1"


class EditedMeanwhile:
    """The API server of a person who changes the URL and then the key, just as the operator looks."""

    def __init__(self) -> None:
        self.url, self.generation = OLD, 1

    async def get(self, resource: Any, *_: str) -> dict[str, Any]:
        if resource is ENDPOINTS:
            return from_server(a_cloud_endpoint("eu", spec={"url": self.url}), generation=self.generation)
        self.url, self.generation = NEW, 2
        return {"data": {"api-key": base64.b64encode(b"sk-of-the-new-place").decode()}}


async def test_a_key_that_was_read_beside_an_edit_is_not_published_for_the_place_of_before() -> None:
    published: list[tuple[str, list[Any], list[Any]]] = []
    reconciler = EndpointReconciler(
        cluster=EditedMeanwhile(),  # type: ignore[arg-type]  # all that is asked of a cluster here
        directory=SimpleNamespace(users=lambda _: [], user_keys=lambda _: [], namespaces={}),  # type: ignore[arg-type]  # nobody uses it
        publishing=SimpleNamespace(put=lambda *what: published.append(what), finding=lambda *_, **__: None),  # type: ignore[arg-type]  # too early for a status
        recorder=SimpleNamespace(),  # type: ignore[arg-type]  # writes nothing
        config=SimpleNamespace(namespace="tandem", credentials_seconds=60),  # type: ignore[arg-type]  # two fields
        enqueue=lambda _: None,
    )
    key = Key(Kind.ENDPOINT, "", "eu")
    with pytest.raises(Retry, match="edited"):
        await reconciler.reconcile(key)
    assert not published
    await reconciler.reconcile(key)
    ((_, messages, (policy, credential)),) = published
    assert isinstance(policy, EndpointPolicy)
    assert isinstance(credential, Credential)
    assert policy.authority == "new.example.com"
    assert credential.destination == policy.destination
    assert any(message["name"] == f"upstream|eu|{policy.destination}" for message in messages)
