"""Every endpoint and every role against a running oracle, as the access matrix says; and signing in."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from eth_account.signers.local import LocalAccount
from websockets.exceptions import ConnectionClosed

from oracle.api.access import (
    ACCOUNTS,
    RULE_OF,
    RULES,
    UNAUTHENTICATED,
    Refusal,
    Role,
    Rule,
    Sight,
    Way,
)
from oracle.api.application import ROOMS
from protocol import link
from protocol.bodies import OrderBody, OrdersBody, QueuedOrderBody
from protocol.market_bodies import QuoteRequestBody, RequirementsBody, SignedOfferBody
from protocol.signed import SignedOffer
from protocol.typed_data import hash_struct, sign
from protocol.units import address_of, to_hex
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle import oracle_worker as link_rig
from tests.integration.oracle.oracle_tus import PIECE_TYPE, TUS, begin_headers, create
from tests.integration.oracle.oracle_world import (
    METRICS_TOKEN,
    World,
    make_world,
    message_of,
    sign_in,
    sign_message,
    signed_message,
)

OTHER_RENTER = {Role.RENTER: Role.FORMER_RENTER, Role.FORMER_RENTER: Role.RENTER}
UPLOAD = "/v1/uploads/{upload_id}"
SESSION_INVALID = Refusal(401, "session_invalid")
NOT_SIGNED = Refusal(401, "signature_invalid")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("world")) as made:
        yield made
        assert made.oracle.terminate() == 0
        assert not made.oracle.lines("request_failed")


@dataclass(frozen=True, slots=True)
class Ask:
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Check:
    """One endpoint, asked by one role in one way. `expected` None: it is served."""

    rule: Rule
    role: Role
    way: Way
    ask: Ask
    expected: Refusal | None


def asks(world: World, rule: Rule, owner: Role) -> Ask:
    """What is asked of the endpoint where it is about things of `owner`'s."""
    if rule.path == UPLOAD:
        return ask_of_upload(world, owner)
    if rule.path.startswith(("/v1/offers", "/v1/quotes")):
        return ask_of_market(world, rule, owner)
    if rule.path.startswith("/v1/orders"):
        return ask_of_orders(world, rule, owner)
    job, lease = to_hex(world.job(owner)), to_hex(world.lease)
    bundle = world.bundles[owner]
    proof_hash, evidence = world.empty_evidence()
    match rule.path:
        case "/v1/artifacts/{digest}" if rule.method == "PUT":
            body = secrets.token_bytes(16)
            return Ask(f"/v1/artifacts/{rig.sha256(body).hex()}", body)
        case "/v1/uploads":
            return Ask(rule.path, headers=begin_headers(secrets.token_bytes(16)))
        case "/v1/sessions" if rule.method == "POST":
            text, signature = signed_message(world.http, world.oracle.url, world.account(owner))
            return Ask("/v1/sessions", json.dumps({"message": text, "signature": signature}).encode())
        case "/v1/quorum/findings":
            assert world.finding is not None
            return Ask(rule.path, world.finding.model_dump_json().encode())
        case "/v1/jobs/{job_id}/priority":
            return Ask(f"/v1/jobs/{job}/priority", b'{"priority": 9}')
        case "/v1/proofs/{proof_hash}/evidence":
            return Ask(f"/v1/proofs/{to_hex(proof_hash)}/evidence", evidence if rule.method == "PUT" else b"")
        case path:
            filled = path.format(job_id=job, lease_id=lease, digest=rig.sha256(bundle).hex(), proof_hash="")
            return Ask(filled)


def ask_of_orders(world: World, rule: Rule, owner: Role) -> Ask:
    order = world.as_renter(owner).order(world.terms, secrets.randbits(40), world.bundles[owner])
    if rule.path == "/v1/orders":
        return Ask(rule.path, OrderBody.of(world.terms, order).model_dump_json().encode())
    orders = OrdersBody(terms=world.terms, orders=(QueuedOrderBody.of(order),))
    return Ask(rule.path, orders.model_dump_json().encode())


def ask_of_market(world: World, rule: Rule, owner: Role) -> Ask:
    match rule.path:
        case "/v1/offers" if rule.method == "POST":
            return Ask("/v1/offers", signed_offer(world, price=secrets.randbits(40)))
        case "/v1/offers/{offer_hash}":
            return Ask(f"/v1/offers/{to_hex(hash_struct(world.rental.offer))}")
        case "/v1/quotes":
            return Ask("/v1/quotes", quote_request())
        case "/v1/quotes/{request_id}":
            return Ask(f"/v1/quotes/{world.quote_request(owner, quote_request())}")
        case path:
            return Ask(path)


def signed_offer(world: World, price: int) -> bytes:
    offer = rig.replace(world.rental.offer, price_per_hour=price, salt=price)
    signature = sign(world.rental.domain, offer, world.account(Role.PROVIDER))
    return SignedOfferBody.of(SignedOffer(offer, signature)).model_dump_json().encode()


def quote_request() -> bytes:
    """Over soon: each account has so many open at a time."""
    body = QuoteRequestBody(requirements=RequirementsBody(), deadline=int(time.time()) + 1)
    return body.model_dump_json().encode()


def ask_of_upload(world: World, owner: Role) -> Ask:
    """Begun by `owner`, or found again where it is under way."""
    begun = create(world.caller(owner), owner.encode())
    headers = {**TUS, "Upload-Offset": begun.headers["Upload-Offset"], "Content-Type": PIECE_TYPE}
    return Ask(begun.headers["Location"], headers=headers)


def checks_of(world: World, rule: Rule, role: Role) -> Iterator[Check]:
    ways = {Way.ACCOUNT: (Way.TOKEN, Way.SIGNATURE), Way.TOKEN: (Way.TOKEN, Way.SIGNATURE)}
    for way in ways.get(rule.way, (rule.way,)):
        of_upload = rule.path == UPLOAD and role in ACCOUNTS
        owner = role if role in OTHER_RENTER or of_upload else Role.RENTER
        sight = rule.roles.get(role)
        served = None if sight is not None else _refusal(rule, role)
        if rule.way is Way.TOKEN and way is Way.SIGNATURE and role in ACCOUNTS:
            served = rule.refusal
        yield Check(rule, role, way, asks(world, rule, owner), served)
        whole_lease = rule.path.startswith("/v1/leases/{lease_id}/")
        of_one = rule.method == "GET" and "{" in rule.path and not whole_lease
        if of_one and sight is Sight.OWN and role in OTHER_RENTER:
            yield Check(rule, role, way, asks(world, rule, OTHER_RENTER[role]), rule.refusal)
        if of_upload:
            yield Check(rule, role, way, asks(world, rule, OTHER_RENTER.get(role, Role.RENTER)), rule.refusal)


def _refusal(rule: Rule, role: Role) -> Refusal | None:
    if rule.way is Way.OPERATOR or role in ACCOUNTS:
        return rule.refusal
    if role is Role.ANONYMOUS:
        return UNAUTHENTICATED
    return NOT_SIGNED if rule.way is Way.SIGNATURE else SESSION_INVALID


def answer(world: World, check: Check) -> Refusal | None:
    """None: served."""
    headers = {**check.ask.headers, **_authorization(world, check)}
    with world.http.stream(
        check.rule.method, world.oracle.url + check.ask.target, content=check.ask.body, headers=headers
    ) as response:
        if response.status_code < 400:
            return None
        content = response.read()
        if check.rule.method == "HEAD":  # which has no body to say why
            assert check.expected is not None
            return Refusal(response.status_code, check.expected.code)
        return Refusal(response.status_code, json.loads(content)["code"])


def _authorization(world: World, check: Check) -> dict[str, str]:
    digest = {"X-Content-SHA256": rig.sha256(check.ask.body).hex()}
    if check.role is Role.ANONYMOUS or check.way is Way.OPEN:
        return digest
    if check.role is Role.OPERATOR:
        return {"Authorization": f"Bearer {METRICS_TOKEN}", **digest}
    if check.way is Way.SIGNATURE:
        return world.caller(check.role).sign(check.rule.method, check.ask.target, check.ask.body)
    if check.rule.method == "DELETE":
        world.tokens.pop(check.role, None)  # the last one was signed out
    return {"Authorization": f"Bearer {world.token(check.role)}", **digest}


def hello_answer(world: World, role: Role) -> Refusal | None:
    key = world.account(role) if role in ACCOUNTS else None
    with link_rig.open_link(world.oracle) as socket:
        client = link_rig.WorkerClient(world.rental, socket)
        nonce = bytes.fromhex(client.expect(link.Challenge).nonce[2:])
        rental = rig.replace(world.rental, worker=key or world.rental.worker)
        hello = link_rig.make_hello(rental, nonce if key else bytes(32))
        client.send(hello)
        message = client.receive()
        if isinstance(message, link.Welcome):
            return None
        with pytest.raises(ConnectionClosed) as closed:
            client.receive()
        assert closed.value.rcvd is not None
        return Refusal(closed.value.rcvd.code, message.code)


def walk(world: World) -> tuple[int, list[tuple[Check, Refusal | None]]]:
    """How many checks were made, and those that were answered otherwise than the matrix says."""
    checks = 0
    wrong: list[tuple[Check, Refusal | None]] = []
    # The evidence that is read was put there by its worker first; sessions last.
    for rule in sorted(RULES, key=lambda rule: (rule.method == "DELETE", rule.method != "PUT")):
        for role in Role:
            if rule.way is Way.LINK:
                expected = None if role in rule.roles else rule.refusal
                found = [(Check(rule, role, rule.way, Ask(rule.path), expected), hello_answer(world, role))]
            else:
                found = [(check, answer(world, check)) for check in checks_of(world, rule, role)]
            checks += len(found)
            wrong += [(check, got) for check, got in found if got != check.expected]
    world.tokens.clear()  # all are signed out
    return checks, wrong


def test_matrix__every_endpoint__is_in_it_and_no_other() -> None:
    routes = [route for room in ROOMS for route in room.router.routes]
    found = {
        (method, route.path) for route in routes for method in getattr(route, "methods", None) or {"LINK"}
    }
    assert found | {("GET", "/v1/openapi.json")} == set(RULE_OF)


def test_matrix__walked__every_answer_as_it_says(world: World) -> None:
    checks, wrong = walk(world)
    assert not wrong, [(c.rule.method, c.rule.path, c.role, c.way, c.expected, got) for c, got in wrong]
    assert checks >= len(RULES) * len(Role)


def test_jobs_of_a_lease__passed_on__each_renter_sees_its_own_and_the_worker_all(world: World) -> None:
    target = f"/v1/leases/{to_hex(world.lease)}/jobs"

    def seen(role: Role) -> list[str]:
        return [job["spec"]["bundle_digest"] for job in world.signed_in(role, "GET", target).json()["jobs"]]

    bundles = {role: to_hex(rig.sha256(bundle)) for role, bundle in world.bundles.items()}
    assert set(seen(Role.RENTER)) == {bundles[Role.RENTER]}
    assert set(seen(Role.FORMER_RENTER)) == {bundles[Role.FORMER_RENTER]}
    assert set(seen(Role.WORKER)) == set(bundles.values())


def test_openapi__of_the_running_oracle__has_every_endpoint_with_its_security(world: World) -> None:
    description = world.http.get(world.oracle.url + "/v1/openapi.json").json()
    for rule in RULES:
        if rule.way is not Way.LINK and rule.path != "/v1/openapi.json":
            operation = description["paths"][rule.path][rule.method.lower()]
            assert bool(operation["security"]) == (rule.way is not Way.OPEN)
            assert rule.why in operation["description"]


def refused(world: World, account: LocalAccount, code: str, **changes: str) -> None:
    response = sign_in(world.http, world.oracle.url, account, **changes)
    assert (response.status_code, response.json()["code"]) == (401, code), response.text


def stamp(shift_seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + shift_seconds))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"domain": "evil.example"}, "wrong_message"),
        ({"uri": "http://evil.example"}, "wrong_message"),
        ({"uri": "http://127.0.0.1"}, "wrong_message"),
        ({"chain": "1"}, "wrong_message"),
        ({"nonce": "0123456789abcdef01234567"}, "nonce_invalid"),
        ({"version": "2"}, "malformed_message"),
        ({"issued": "yesterday"}, "malformed_message"),
        ({"issued": "2026-11-25T10:00:00"}, "malformed_message"),
        ({"issued": "0001-01-01T00:00:00+14:00"}, "expired"),
        ({"more": "\nExpiration Time: 9999-12-31T23:59:59-14:00"}, ""),
        ({"more": "\nSurplus: x"}, "malformed_message"),
    ],
)
def test_sign_in__message_for_something_else__refused(
    world: World, changes: dict[str, str], code: str
) -> None:
    account = world.account(Role.STRANGER)
    if code:
        refused(world, account, code, **changes)
    else:
        assert sign_in(world.http, world.oracle.url, account, **changes).status_code == 201


def test_sign_in__too_early_or_late__refused(world: World) -> None:
    account = world.account(Role.STRANGER)
    refused(world, account, "expired", issued=stamp(-600))
    refused(world, account, "expired", issued=stamp(600))
    refused(world, account, "expired", more=f"\nExpiration Time: {stamp(-1)}")
    refused(world, account, "expired", more=f"\nNot Before: {stamp(600)}")


def test_sign_in__nonce_twice__the_second_refused(world: World) -> None:
    account, url = world.account(Role.STRANGER), world.oracle.url
    text, signature = signed_message(world.http, url, account)
    body = {"message": text, "signature": signature}
    assert world.http.post(f"{url}/v1/sessions", json=body).status_code == 201
    again = world.http.post(f"{url}/v1/sessions", json=body)
    assert (again.status_code, again.json()["code"]) == (401, "nonce_invalid")


def test_sign_in__signed_by_another_key__refused(world: World) -> None:
    url, account = world.oracle.url, world.account(Role.STRANGER)
    text = message_of(world.http.post(f"{url}/v1/nonces").json(), account.address, time.time())
    for signature in (sign_message(world.account(Role.RENTER), text), "0x", "0x" + "ff" * 65, "0x00"):
        response = world.http.post(f"{url}/v1/sessions", json={"message": text, "signature": signature})
        assert (response.status_code, response.json()["code"]) == (401, "signature_invalid")


def test_sign_in__account_that_is_a_contract__asked_by_eip_1271(world: World) -> None:
    anvil, url = world.rental.deployment.anvil, world.oracle.url
    yes = bytes.fromhex("7f1626ba7e") + bytes(28) + bytes.fromhex("60005260206000f3")
    address = address_of(bytes.fromhex("c0de" * 10))
    for code, status in ((yes, 201), (bytes.fromhex("60006000fd"), 401)):
        anvil.call("anvil_setCode", address, to_hex(code))
        text = message_of(world.http.post(f"{url}/v1/nonces").json(), address, time.time())
        response = world.http.post(f"{url}/v1/sessions", json={"message": text, "signature": "0x1234"})
        assert response.status_code == status, response.text


def test_session__signed_out__token_good_for_nothing(world: World) -> None:
    account = world.account(Role.STRANGER)
    tokens = [sign_in(world.http, world.oracle.url, account).json()["token"] for _ in range(3)]

    def who(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return world.http.get(f"{world.oracle.url}/v1/sessions/current", headers=headers).status_code

    assert [who(token) for token in tokens] == [200] * 3
    headers = {"Authorization": f"Bearer {tokens[0]}"}
    assert world.http.delete(f"{world.oracle.url}/v1/sessions/current", headers=headers).status_code == 204
    assert [who(token) for token in tokens] == [401, 200, 200]
    assert world.caller(Role.STRANGER)("DELETE", "/v1/sessions").status_code == 204
    assert [who(token) for token in tokens] == [401] * 3


def test_secrets__after_all_of_it__not_in_the_log_nor_the_store(world: World) -> None:
    token = world.token(Role.RENTER)
    target = f"/v1/jobs/{to_hex(world.job(Role.RENTER))}"
    headers = world.caller(Role.RENTER).sign("GET", target)
    assert world.http.get(world.oracle.url + target, headers=headers).status_code == 200
    assert world.signed_in(Role.RENTER, "GET", target).status_code == 200
    signature = headers["Authorization"].rpartition("signature=0x")[2]
    log = world.oracle.log_path.read_text()
    assert world.oracle.lines("request")
    stored = b"".join(path.read_bytes() for path in (world.oracle.folder / "data").glob("store.sqlite*"))
    for secret in (token, signature, METRICS_TOKEN):
        assert secret not in log
        assert secret.encode() not in stored
