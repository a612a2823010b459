"""Ray heads that come and go, and what the engine makes of it. Each test has heads of its own."""

import os
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from support.ray_serve import START_SECONDS, Bench, bench
from support.wait import eventually_async
from tandem_lab.ray_head import LOOPBACK, RayHead
from tandem_operator.engines.serve_document import Action
from tandem_operator.errors import Hold
from tandem_operator.observed import AppStatus

TESTS = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(600)  # heads that start on a busy machine


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RayHead, RayHead]]:
    """Two heads at once; the second was not set up for direct ingress."""
    folder, without = tmp_path_factory.mktemp("ray"), {"RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}
    with (
        RayHead(folder / "one", num_cpus=2, python_path=[TESTS], drain_seconds=1) as one,
        RayHead(folder / "two", num_cpus=2, python_path=[TESTS], env=without) as two,
    ):
        yield one, two


async def test_two_heads_share_no_port_and_listen_on_loopback_alone(heads: tuple[RayHead, RayHead]) -> None:
    one, two = (listening(head) for head in heads)
    assert one
    assert two
    assert not {port for _, port in one} & {port for _, port in two}
    assert not [address for address, _ in one | two if not address.is_loopback]


async def test_a_head_that_was_lost_is_unknown_then_empty_then_deployed_again(heads: tuple[RayHead, RayHead]) -> None:
    head = heads[0]
    async with bench(head) as serve:
        app = serve.app()
        await serve.deploy(app)
        assert (await serve.raw())["http_options"]["port"] == head.http_port
        head.kill()
        with pytest.raises(Hold, match="Ray cluster lab cannot be reached"):
            await serve.engine.apply(app, 1)
        with pytest.raises(Hold, match="Ray cluster lab cannot be reached"):
            await serve.engine.observe(app["name"])
        with pytest.raises(Hold):
            await serve.engine.remove(app["name"])
        with pytest.raises(Hold):
            await serve.engine.sweep(list)

        head.restart()
        state = await eventually_async(lambda: _answered(serve, app["name"]), START_SECONDS)
        assert (state.status, state.targets) == (AppStatus.ABSENT, None), "nothing known of targets is not no targets"
        assert (await serve.engine.apply(app, 1)).action is Action.PUT
        assert (await serve.until(app, ready=1)).message == "", "a lost head is nobody's foreign write"
        assert serve.metric("tandem_ray_foreign_writes_total") == 0


async def test_serve_that_was_started_by_somebody_else_keeps_its_options(heads: tuple[RayHead, RayHead]) -> None:
    async with bench(heads[0], http_host="0.0.0.0", http_port=1) as serve:
        await serve.put_raw([])
        before = (await serve.raw())["http_options"]
        app = serve.app()
        state = await serve.deploy(app)
        assert (await serve.raw())["http_options"] == before
        assert state.targets
        assert state.targets[0].address == LOOPBACK


async def test_a_cluster_without_direct_ingress_says_what_to_set(heads: tuple[RayHead, RayHead]) -> None:
    async with bench(heads[1]) as serve:
        app = serve.app()
        await serve.engine.apply(app, 1)

        async def advised() -> bool:
            state = await serve.state(app)
            assert state.targets is None
            return "RAY_SERVE_ENABLE_DIRECT_INGRESS=1" in state.message

        await eventually_async(advised, START_SECONDS)


async def _answered(serve: Bench, app: str) -> object:
    try:
        return await serve.engine.observe(app)
    except Hold:
        return None


def listening(head: RayHead) -> set[tuple[IPv4Address | IPv6Address, int]]:
    """Return the addresses and TCP ports that a head's processes listen on."""
    inodes = set()
    for descriptor in (link for pid in head.processes for link in Path(f"/proc/{pid}/fd").glob("*")):
        with suppress(OSError):
            inodes.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in inodes:
                address, port = local.split(":")
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                listener = ip_address(b"".join(words))
                found.add((getattr(listener, "ipv4_mapped", None) or listener, int(port, 16)))
    return found
