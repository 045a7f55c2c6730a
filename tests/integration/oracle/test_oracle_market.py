"""The book of signed offers and requests for quotes, over HTTP and a worker's link, on a real chain."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from protocol import link
from protocol.bodies import json_of
from protocol.market_bodies import QuoteRequestBody, RequirementsBody, SignedOfferBody
from protocol.matching import Requirements
from protocol.signed import SignedOffer
from protocol.typed_data import sign
from protocol.units import UnitId, pack_name, to_hex
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle import oracle_worker as link_rig
from tests.integration.oracle.oracle_scene import Scene

CPU = Requirements("CPU", 1)


def signed(scene: Scene, price: int, signer: Any = None, **changes: Any) -> SignedOffer:
    offer = replace(scene.rental.offer, **{"price_per_hour": price, "salt": price, **changes})
    return SignedOffer(offer, sign(scene.rental.domain, offer, signer or scene.rental.provider))


def provider(scene: Scene) -> rig.Caller:
    return scene.caller(scene.rental.provider)


def post(caller: rig.Caller, offer: SignedOffer) -> Any:
    return caller("POST", "/v1/offers", json.dumps(json_of(SignedOfferBody.of(offer))).encode())


def book(scene: Scene, query: str = "") -> dict[str, Any]:
    """Signed offers by price, and whatever is listed."""
    answer = scene.http.get(f"{scene.oracle.url}/v1/offers?gpu_class=CPU{query}")
    assert answer.status_code == 200, answer.text
    return {body["offer"]["price_per_hour"]: body for body in answer.json()["offers"]}


def found(scene: Scene, offer: SignedOffer, query: str = "") -> Any:
    return scene.http.get(f"{scene.oracle.url}/v1/offers/{to_hex(offer.offer_hash)}{query}")


def taken_from(body: dict[str, Any]) -> SignedOffer:
    """What a renter opens a lease with."""
    return SignedOffer.from_json({"offer": body["offer"]["offer"], "signature": body["signature"]})


def test_post_offer__by_provider_and_worker__all_that_a_lease_needs_is_found(scene: Scene) -> None:
    offer = signed(scene, 100)
    answer = post(provider(scene), offer)
    assert (answer.status_code, answer.json()["created"]) == (201, True), answer.text
    again = post(scene.worker, offer)
    assert (again.status_code, again.json()["created"]) == (200, False)
    shown = book(scene)
    assert (shown["100"]["signed"], shown["100"]["listed"]) == (True, False)
    body = found(scene, offer, "?gpu_count=2&max_price_per_hour=99").json()
    assert taken_from(body) == offer
    assert body["refusals"] == ["gpu_count", "price"]


def test_post_offer__cancelled_by_salt__vanishes_and_does_not_come_back(scene: Scene) -> None:
    offer = signed(scene, 110)
    assert post(provider(scene), offer).status_code == 201
    assert "110" in book(scene)
    deployment = scene.rental.deployment
    deployment.anvil.send(scene.rental.provider, deployment.market.build_cancel_salt(offer.offer.salt))
    rig.until(lambda: "110" not in book(scene), "the cancelled offer is gone")
    assert found(scene, offer).json()["refusals"] == ["unlisted"]
    answer = post(provider(scene), offer)
    assert (answer.status_code, answer.json()["code"]) == (422, "offer_void")


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"valid_until": 1}, 422, "expired"),
    ({"unit_id": UnitId(b"\x01" * 32)}, 422, "unknown_unit"),
    ({"gpu_class": pack_name("RTX 4090")}, 422, "bad_input"),
    ({"gpu_count": 2}, 422, "bad_input"),
    ({"token": rig.parse_address("0x5FbDB2315678afecb367f032d93F642f64180aa3")}, 422, "token_not_allowed"),
    ({"salt": 1 << 232}, 422, "offer_void"),
    ({"bond": 10**23}, 422, "stake_short"),
    ({"weekly_hours": 0}, 422, "bad_input"),
    ({"max_seconds": 0, "min_seconds": 0}, 422, "bad_input"),
    ({"max_seconds": 401 * 24 * 3600}, 422, "bad_input"),
    ({"min_seconds": 9, "max_seconds": 8}, 422, "bad_input"),
]


@pytest.mark.parametrize(("changes", "status", "code"), REFUSED, ids=lambda value: str(value)[:24])
def test_post_offer__no_lease_could_be_opened__refused(
    scene: Scene, changes: dict[str, Any], status: int, code: str
) -> None:
    offer = replace(scene.rental.offer, **{"price_per_hour": 120, "salt": 120, **changes})
    answer = post(
        provider(scene), SignedOffer(offer, sign(scene.rental.domain, offer, scene.rental.provider))
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "120" not in book(scene)


def test_post_offer__not_signed_by_its_provider__refused(scene: Scene) -> None:
    forged = signed(scene, 130, signer=scene.rental.worker)
    answer = post(provider(scene), forged)
    assert (answer.status_code, answer.json()["code"]) == (403, "signature_invalid")


@pytest.mark.parametrize("caller", ["renter", "stranger"])
def test_post_offer__by_whom_it_was_shown_to__refused(scene: Scene, caller: str) -> None:
    answer = post(getattr(scene, caller), signed(scene, 140))
    assert (answer.status_code, answer.json()["code"]) == (403, "not_a_party")


def test_post_offer__too_many_of_a_provider__refused(scene: Scene) -> None:
    codes = [post(provider(scene), signed(scene, price)).status_code for price in range(150, 160)]
    assert codes.count(429) >= 2
    assert codes.index(429) + codes.count(429) == len(codes)


def test_list_offers__pages__each_once_in_order(scene: Scene) -> None:
    url, seen, cursor = f"{scene.oracle.url}/v1/offers?gpu_class=CPU&limit=2", [], ""
    while True:
        page = scene.http.get(url + cursor).json()
        seen += [int(body["offer"]["price_per_hour"]) for body in page["offers"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(set(seen))
    assert len(seen) > 2


@pytest.mark.parametrize(
    "query",
    [
        *(
            "gpu_count=0",
            "seconds=x",
            "kind=some",
            "weekly_hours=-1",
            f"weekly_hours={1 << 168}",
            "surplus=1",
        ),
        *("start=9&end=9", "cursor=1-2-3", f"cursor=1-2-{1 << 60}-{'0' * 64}", "min_bond=1e9"),
    ],
)
def test_list_offers__requirement_malformed__422(scene: Scene, query: str) -> None:
    answer = scene.http.get(f"{scene.oracle.url}/v1/offers?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")


def test_list_offers__free_hours_wanted__rented_unit_is_left_out(scene: Scene) -> None:
    assert book(scene) != {}
    assert book(scene, "&seconds=60") == {}


def ask(caller: rig.Caller, seconds: int = 20, wanted: Requirements = CPU) -> Any:
    body = QuoteRequestBody(requirements=RequirementsBody.of(wanted), deadline=int(time.time()) + seconds)
    return caller("POST", "/v1/quotes", json.dumps(json_of(body)).encode())


def read(caller: rig.Caller, asked: Any, wait_seconds: float = 0) -> Any:
    target = f"/v1/quotes/{asked.json()['request_id']}?wait_seconds={wait_seconds}"
    return caller("GET", target)


def bid(asked: Any, offer: SignedOffer | None) -> link.Quote:
    return link.Quote(
        request_id=asked.json()["request_id"], signed_offer=None if offer is None else offer.to_json()
    )


def test_quotes__worker_bids__its_renter_alone_sees_it(scene: Scene) -> None:
    offer = signed(scene, 200)
    with link_rig.connect_worker(scene.oracle, scene.rental, quotes=True) as worker:
        asked = ask(scene.renter)
        assert (asked.status_code, asked.json()["asked"], asked.json()["closed"]) == (201, 1, False)
        request = worker.expect(link.QuoteRequest)
        assert request.request_id == asked.json()["request_id"]
        assert RequirementsBody.model_validate(request.requirements).read() == CPU
        worker.send(bid(asked, offer))
        body = read(scene.renter, asked, wait_seconds=10).json()
        assert (body["closed"], body["answered"]) == (True, 1)
        (quote,) = body["quotes"]
        assert (
            SignedOffer.from_json({"offer": quote["offer"]["offer"], "signature": quote["signature"]})
            == offer
        )
        # A second word is not heard, and the bid is in no list.
        worker.send(bid(asked, signed(scene, 201)))
        worker.send(bid(asked, None))
        until_heard(scene, worker)
        assert read(scene.renter, asked).json() == body
    assert read(scene.stranger, asked).status_code == 404
    assert "200" not in book(scene)


def until_heard(scene: Scene, worker: link_rig.WorkerClient) -> None:
    """Reports are taken one after the other: once a later request is answered, all before it were."""
    asked = ask(scene.stranger)
    worker.expect(link.QuoteRequest)
    worker.send(bid(asked, None))
    assert read(scene.stranger, asked, wait_seconds=10).json()["closed"]


def test_quotes__too_late__ignored(scene: Scene) -> None:
    with link_rig.connect_worker(scene.oracle, scene.rental, quotes=True) as worker:
        asked = ask(scene.renter, seconds=1)
        worker.expect(link.QuoteRequest)
        ended = read(scene.renter, asked, wait_seconds=10).json()
        assert (ended["closed"], ended["answered"], ended["quotes"]) == (True, 0, [])
        assert time.time() > ended["deadline"]
        worker.send(bid(asked, signed(scene, 210)))
        until_heard(scene, worker)
        assert read(scene.renter, asked).json() == ended
        assert scene.oracle.lines("quote_ignored")[-1]["request_id"] == asked.json()["request_id"]


def other_unit(scene: Scene) -> SignedOffer:
    return signed(scene, 220, unit_id=UnitId(b"\x02" * 32))


def forged(scene: Scene) -> SignedOffer:
    return signed(scene, 221, signer=scene.rental.worker)


def too_dear(scene: Scene) -> SignedOffer:
    return signed(scene, 300)


@pytest.mark.parametrize("make", [other_unit, forged, too_dear])
def test_quotes__bid_that_does_not_hold__counts_as_none(scene: Scene, make: Any) -> None:
    with link_rig.connect_worker(scene.oracle, scene.rental, quotes=True) as worker:
        asked = ask(scene.renter, wanted=replace(CPU, max_price_per_hour=250))
        worker.expect(link.QuoteRequest)
        worker.send(bid(asked, make(scene)))
        body = read(scene.renter, asked, wait_seconds=10).json()
        assert (body["closed"], body["quotes"]) == (True, [])


def test_quotes__worker_that_bids_not_or_of_another_class__is_not_asked(scene: Scene) -> None:
    with link_rig.connect_worker(scene.oracle, scene.rental):
        asked = ask(scene.renter)
        assert (asked.json()["asked"], asked.json()["closed"]) == (0, True)
    with link_rig.connect_worker(scene.oracle, scene.rental, quotes=True):
        assert ask(scene.renter, wanted=Requirements("RTX 4090")).json()["asked"] == 0


def test_quotes__link_breaks_before_the_answer__asked_again(scene: Scene) -> None:
    with link_rig.connect_worker(scene.oracle, scene.rental, quotes=True) as worker:
        asked = ask(scene.stranger)
        worker.expect(link.QuoteRequest)
    with link_rig.connect_worker(scene.oracle, scene.rental, quotes=True) as worker:
        assert worker.expect(link.QuoteRequest).request_id == asked.json()["request_id"]
        worker.send(bid(asked, None))
        assert read(scene.stranger, asked, wait_seconds=10).json()["closed"]


@pytest.mark.parametrize(("seconds", "code"), [(-5, "expired"), (600, "bad_input")])
def test_quotes__deadline_past_or_far__refused(scene: Scene, seconds: int, code: str) -> None:
    answer = ask(scene.renter, seconds=seconds)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_quotes__too_many_at_a_time__refused(scene: Scene) -> None:
    caller = scene.caller(scene.rental.deployment.anvil.accounts[8])
    assert [ask(caller).status_code for _ in range(7)] == [201] * 6 + [429]
