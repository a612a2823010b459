"""What a provider gets and what a client gets back, through real Envoy, guard and TLS."""

from support.guarded_house import House


def test_the_provider_gets_our_headers_and_no_others(house: House) -> None:
    answer = house.chat(
        headers={
            "authorization": "Bearer key-of-the-client",
            "cookie": "session=client",
            "accept-encoding": "gzip",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "x-forwarded-for": "10.1.2.3",
            "x-request-id": "from-the-client",
            "x-stainless-os": "Linux",
            "openai-organization": "org-client",
        }
    )
    assert answer.status_code == 200
    (received,) = house.clouds["cloud-a"].received
    assert sorted(received.headers) == [
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ]
    assert received.headers["authorization"] == f"Bearer {house.clouds['cloud-a'].key}"
    assert received.headers["user-agent"] == "tandem"
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.headers["host"] == f"localhost:{house.clouds['cloud-a'].port}"
