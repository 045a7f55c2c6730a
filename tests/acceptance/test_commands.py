"""The command line on a running network: what succeeds, and how what cannot succeed is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.accrual import ALWAYS
from protocol.manifest import TokenInfo, load, save
from protocol.structs import LeaseStatus
from protocol.units import JobId, hex_bytes, to_hex
from scripts.client import providing
from scripts.client.following import ENDED_STATES
from scripts.client.offers import read_signed_offer
from scripts.localnet.anvil import PROJECT
from scripts.localnet.services import child_environment
from scripts.localnet.waiting import await_value
from tests.acceptance.conftest import Running, Shown
from tests.acceptance.tasks import FAILING, HELLO, SLOW, write_task

REFUSED, UNAVAILABLE, FAILED = 2, 3, 1


@pytest.fixture(scope="session")
def lease_id(running: Running, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lease with one finished job."""
    task = write_task(
        tmp_path_factory.mktemp("task"), HELLO, "job.py first", envs="envs: {GREETING: ' hi'}\n"
    )
    launched = running.json("launch", str(task), "--yes")
    assert len(launched["jobs"]) == 1
    return launched["lease_id"]


def jobs_of(running: Running, lease_id: str) -> list[dict[str, object]]:
    return running.json("status", lease_id)["jobs"]


def test_offers__listed__shows_the_offer_with_its_price(running: Running, lease_id: str) -> None:
    shown = running.gpgpu("offers")
    assert shown.exit_code == 0
    assert "3.6 dUSD" in shown.output
    assert "1 x CPU" in shown.output
    (offer,) = running.json("offers")
    assert offer["offer_hash"] == to_hex(running.provider.offer_hash)
    assert running.json("offers", "--class", "RTX 4090") == []


def test_launch__plan__is_shown_and_no_sends_nothing(running: Running, tmp_path: Path) -> None:
    before = running.json("status")
    # The one unit may be rented by now; then the plan is refused before anything is asked.
    task = write_task(tmp_path, HELLO)
    result = running.gpgpu("launch", str(task), answer="n\n")
    assert result.exit_code in (FAILED, REFUSED)
    if result.exit_code == FAILED:
        assert "0.6 dUSD: the most you can pay" in result.output
        assert "every second that the provider does not prove" in result.output
        assert "Go on? [y/N]" in result.output
    else:
        assert "1 rented already" in result.output
    assert running.json("status") == before


def test_launch__job_done__log_status_and_output_are_there(
    running: Running, lease_id: str, tmp_path: Path
) -> None:
    (job,) = jobs_of(running, lease_id)
    job_id = str(job["job_id"])
    assert running.gpgpu("logs", job_id, "-f").stdout == "hello first\n"
    assert running.json("status", job_id)["job_id"] == job_id
    assert lease_id in running.gpgpu("status").output
    downloaded = running.gpgpu("download", job_id, str(tmp_path / "out"), "--all")
    assert downloaded.exit_code == 0, downloaded.output
    assert (tmp_path / "out" / "hello.txt").read_text() == "first hi\n"
    assert (tmp_path / "out" / ".gpgpu" / "log").read_bytes() == b"hello first\n"
    assert running.gpgpu("download", job_id, str(tmp_path / "out")).exit_code == REFUSED


def test_launch__on_a_lease_with_a_sweep__runs_every_row(
    running: Running, lease_id: str, tmp_path: Path
) -> None:
    task = write_task(tmp_path, HELLO, more="    sweep: [[one], [two]]\n")
    launched = running.json("launch", str(task), "--yes", "--lease", lease_id)
    assert launched["transaction"] is None
    assert [job["arguments"] for job in launched["jobs"]] == [["one"], ["two"]]
    logs = [running.gpgpu("logs", job["job_id"], "-f").stdout for job in launched["jobs"]]
    assert logs == ["hello one\n", "hello two\n"]


def test_launch__job_fails__exits_1(running: Running, lease_id: str, tmp_path: Path) -> None:
    task = write_task(tmp_path, FAILING)
    result = running.gpgpu("launch", str(task), "--yes", "--lease", lease_id)
    assert result.exit_code == FAILED
    assert "1 of 1 jobs did not succeed" in result.output
    assert "about to fail" in result.output


def test_launch__detached__returns_at_once(running: Running, lease_id: str, tmp_path: Path) -> None:
    task = write_task(tmp_path, HELLO, "job.py detached")
    result = running.gpgpu("launch", str(task), "-y", "-d", "--lease", lease_id)
    assert result.exit_code == 0, result.output
    assert "job   0x" in result.output
    job_id = result.stdout.split("job   ")[1].split()[0]
    assert running.gpgpu("logs", job_id, "-f").stdout == "hello detached\n"


def test_cancel__of_two_jobs__one_runs_first_and_the_other_ends(
    running: Running, lease_id: str, tmp_path: Path
) -> None:
    task = write_task(tmp_path, SLOW, "job.py 600")
    jobs = [
        running.gpgpu("launch", str(task), "-y", "-d", "--lease", lease_id)
        .stdout.split("job   ")[1]
        .split()[0]
        for _ in range(2)
    ]
    assert "priority 9" in running.gpgpu("priority", jobs[1], "9").output
    for job in jobs:
        result = running.gpgpu("cancel", job)
        assert result.exit_code == 0, result.output
    oracle = running.network.client("renter")
    ids = [JobId(hex_bytes(job, 32)) for job in jobs]
    await_value(
        "both have ended",
        lambda: all(oracle.job(job).state in ENDED_STATES for job in ids),
        timeout_seconds=30,
    )
    resumed = running.gpgpu("resume", lease_id, lease_id)
    assert (resumed.exit_code, resumed.stderr[:23]) == (0, "0 jobs taken over, 0 ma"), resumed.output


# Bad input: exit code 2, one clear line, nothing sent.


def refused(result: Shown, *words: str) -> None:
    assert result.exit_code == REFUSED, result.output
    for word in words:
        assert word in result.output
    assert "Traceback" not in result.output


def test_launch__unknown_field__is_refused(running: Running, tmp_path: Path) -> None:
    task = write_task(tmp_path, HELLO, more="    sede: 3\n")
    refused(running.gpgpu("launch", str(task)), "config.gpgpu.sede: unknown key")


def test_launch__script_missing__is_refused(running: Running, tmp_path: Path) -> None:
    task = write_task(tmp_path, HELLO, "other.py")
    refused(running.gpgpu("launch", str(task)), "expected other.py")


def test_launch__link_in_the_workdir__is_refused(running: Running, tmp_path: Path) -> None:
    task = write_task(tmp_path, HELLO)
    (tmp_path / "code" / "link").symlink_to("/etc/passwd")
    refused(running.gpgpu("launch", str(task)), "expected regular files only")


def second_offer(running: Running, valid_seconds: int = 3600) -> str:
    """Another offer of the provider's unit for other hours than the lease's; its hash."""
    network = running.network
    draft = providing.OfferDraft(
        unit_id=running.provider.unit_id,
        token=network.payment_token,
        price_per_hour=10_000_000_000,
        weekly_hours=ALWAYS,
        min_seconds=30,
        max_seconds=7200,
        notice_seconds=5,
        bond=10**18,
        valid_seconds=valid_seconds,
    )
    return to_hex(providing.list_offer(network.purse(running.provider.plan.wallet), draft))


def test_launch__expired_offer__is_refused(running: Running, tmp_path: Path) -> None:
    offer = second_offer(running, valid_seconds=2)
    head = running.network.opened_chain.head().timestamp
    await_value(
        "the offer expires",
        lambda: running.network.opened_chain.head().timestamp > head + 3,
        timeout_seconds=30,
    )
    task = write_task(tmp_path, HELLO)
    refused(running.gpgpu("launch", str(task), "--offer", offer), "valid until", "[expired]")


def test_launch__unknown_offer__is_refused(running: Running, tmp_path: Path) -> None:
    task = write_task(tmp_path, HELLO)
    refused(running.gpgpu("launch", str(task), "--offer", "0x" + "12" * 32), "unknown", "[no_offer]")


def test_launch__no_offer_fits__says_why(running: Running, tmp_path: Path) -> None:
    task = write_task(tmp_path, HELLO)
    task.write_text(task.read_text() + 'resources: {accelerators: "RTX 4090:8"}\n')
    refused(running.gpgpu("launch", str(task)), "no offer of 8 x RTX 4090 fits", "[no_offer]")


def test_launch__insufficient_funds__says_needed_and_available(
    running: Running, lease_id: str, tmp_path: Path
) -> None:
    network = running.network
    # A second unit, so that there is something free to rent.
    other = network.open_provider(replace_plan(running, "poor-test", "3600000"))
    worker = network.start_worker(other)
    network.await_workers(2)
    try:
        task = write_task(tmp_path, HELLO, lease_seconds=3600)
        network.mint("poor", network.payment_token, "1.5")
        offer = to_hex(other.offer_hash)
        result = running.gpgpu("launch", str(task), "-y", "--offer", offer, wallet="poor")
        refused(result, "needed 3600000 dUSD, available 1.5 dUSD", "[insufficient_funds]")
    finally:
        network.supervisor.stop(worker)


def replace_plan(running: Running, name: str, price: str) -> object:
    return replace(running.provider.plan, name=name, price=price)


def test_launch__lease_of_another__is_refused(running: Running, lease_id: str, tmp_path: Path) -> None:
    task = write_task(tmp_path, HELLO)
    result = running.gpgpu("launch", str(task), "-y", "--lease", lease_id, wallet="stranger")
    refused(result, "rented by")


def test_command__wrong_chain__is_refused(running: Running, tmp_path: Path) -> None:
    manifest = load(running.network.folder.manifest)
    save(replace(manifest, chain_id=1), tmp_path / "other.json")
    result = running.gpgpu("withdraw", GPGPU_MANIFEST=str(tmp_path / "other.json"))
    refused(result, "expected chain 1, got 31337", "[wrong_chain]")


def test_command__address_without_code__is_refused(running: Running, tmp_path: Path) -> None:
    manifest = load(running.network.folder.manifest)
    nobody = running.network.purse("renter").address
    tokens = {**manifest.tokens, "X": TokenInfo(nobody, 6)}
    save(replace(manifest, tokens=tokens), tmp_path / "other.json")
    result = running.gpgpu("withdraw", GPGPU_MANIFEST=str(tmp_path / "other.json"))
    refused(result, "expected a contract, got no code", "[no_code]")


def test_command__other_code__is_refused(running: Running, tmp_path: Path) -> None:
    manifest = load(running.network.folder.manifest)
    hashes = {**manifest.code_hashes, manifest.market: b"\x01" * 32}
    save(replace(manifest, code_hashes=hashes), tmp_path / "other.json")
    result = running.gpgpu("withdraw", GPGPU_MANIFEST=str(tmp_path / "other.json"))
    refused(result, "[digest_mismatch]")


def test_command__no_manifest__is_refused(running: Running, tmp_path: Path) -> None:
    refused(running.gpgpu("withdraw", GPGPU_MANIFEST=str(tmp_path / "none.json")), "cannot read")


def test_command__wrong_password__is_refused(running: Running, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("guess\n")
    result = running.gpgpu("withdraw", GPGPU_PASSWORD_FILE=str(tmp_path / "password"))
    refused(result, "cannot be unlocked")


def test_command__password_asked__is_taken_from_the_prompt(running: Running) -> None:
    environment = running.environment("empty")
    del environment["GPGPU_PASSWORD_FILE"]
    password = running.network.folder.password_file.read_text()
    result = running.gpgpu("withdraw", wallet="empty", answer=password, GPGPU_PASSWORD_FILE="")
    assert result.exit_code == FAILED, result.output
    assert "nothing to withdraw" in result.output


def test_command__node_away__exits_3(running: Running) -> None:
    result = running.gpgpu("withdraw", GPGPU_RPC_URL="http://127.0.0.1:9")
    assert result.exit_code == UNAVAILABLE
    assert "[chain_unavailable]" in result.output


def test_command__oracle_away__exits_3(running: Running) -> None:
    result = running.gpgpu("offers", GPGPU_ORACLE_URL="http://127.0.0.1:9")
    assert result.exit_code == UNAVAILABLE
    assert "[service_unavailable]" in result.output


@pytest.mark.parametrize("url", ["localhost", "ftp://x", "http://"])
def test_command__malformed_address__is_refused(running: Running, url: str) -> None:
    refused(running.gpgpu("offers", GPGPU_ORACLE_URL=url), "expected http://HOST:PORT")
    refused(running.gpgpu("withdraw", GPGPU_RPC_URL=url))


def test_download__artifact_altered_in_the_store__is_refused_and_leaves_nothing(
    running: Running, lease_id: str, tmp_path: Path
) -> None:
    job = next(job for job in jobs_of(running, lease_id) if job["receipt"] is not None)
    receipt = job["receipt"]
    assert isinstance(receipt, dict)
    digest = receipt["sealed"]["output"]
    path = running.network.folder.artifacts / "sha256" / digest[:2] / digest
    honest = path.read_bytes()
    path.write_bytes(honest[:600] + b"X" + honest[601:])
    try:
        result = running.gpgpu("download", str(job["job_id"]), str(tmp_path / "out"))
        refused(result, "[artifact_damaged]")
        assert not (tmp_path / "out").exists()
    finally:
        path.write_bytes(honest)


def test_status__nobody_knows_it__is_refused(running: Running) -> None:
    refused(running.gpgpu("status", "0x" + "77" * 32), "unknown_job")


def test_logs__of_another_wallet__is_refused(running: Running, lease_id: str) -> None:
    (first, *_) = jobs_of(running, lease_id)
    refused(running.gpgpu("logs", str(first["job_id"]), wallet="stranger"), "not_a_party")


# Signed offers, and what a renter does during a lease.


def test_publish__signed_offer__is_found_by_what_is_required_until_cancelled(
    running: Running, tmp_path: Path
) -> None:
    wallet, path = running.provider.plan.wallet, tmp_path / "offer.json"
    signing = running.gpgpu(
        *("provider", "list", "--unit", to_hex(running.provider.unit_id), "--price", "9", "--token", "dUSD"),
        *("--bond", "5", "--max-seconds", "7200", "--signed"),
        wallet=wallet,
    )
    path.write_text(signing.stdout)
    refused(running.gpgpu("provider", "publish", str(path)), "expected its provider or worker")
    for said in ("is in the book", "was in the book"):
        assert said in running.gpgpu("provider", "publish", str(path), wallet=wallet).stdout

    def prices(*filters: str) -> list[str]:
        # Other tests list dearer ones.
        found = running.json("offers", "--class", "CPU", "--token", "dUSD", "--max-price", "10", *filters)
        return [offer["offer"]["price_per_hour"] for offer in found]

    assert prices() == ["3600000", "9000000"]
    assert prices("--max-price", "3.6") == ["3600000"]
    assert prices("--count", "2") == prices("--kind", "idle") == prices("--tflops", "0.1") == []
    assert prices("--reputation", "1000000") == prices("--measured-within", "1") == []
    refused(running.gpgpu("offers", "--max-price", "1"), "expected --token beside it")
    refused(running.gpgpu("offers", "--hours", "mon 0-1"), "expected --seconds or --end")
    assert running.gpgpu("provider", "cancel", "--offer-file", str(path), wallet=wallet).exit_code == 0
    await_value("the cancelled offer is gone", lambda: prices() == ["3600000"], timeout_seconds=30)


def test_signed_offer__file__is_rented_paid_early_and_cancelled(running: Running, tmp_path: Path) -> None:
    network, market = running.network, running.network.opened_chain.market
    other = network.open_provider(replace_plan(running, "signed", "3600"))
    worker = network.start_worker(other)
    network.await_workers(2)
    wallet, path = other.plan.wallet, tmp_path / "offer.json"
    signing = running.gpgpu(
        *("provider", "list", "--unit", to_hex(other.unit_id), "--price", "1.80", "--token", "dUSD"),
        *("--bond", "5", "--notice-seconds", "5", "--signed"),
        wallet=wallet,
    )
    assert signing.exit_code == 0, signing.output
    path.write_text(signing.stdout)
    listed = running.json("provider", "status", wallet=wallet)["offers"]
    assert list(listed) == [to_hex(other.offer_hash)]
    assert to_hex(read_signed_offer(path).offer_hash) not in listed
    try:
        task = write_task(tmp_path, HELLO, "job.py signed", more="    max_lease_seconds: 900\n")
        launched = running.json("launch", str(task), "--yes", "--offer-file", str(path))
        lease = launched["lease_id"]
        assert running.gpgpu("logs", launched["jobs"][0]["job_id"], "-f").stdout == "hello signed\n"

        end = launched["end"]
        assert running.gpgpu("topup", lease, "300", wallet="renter").stdout.endswith(
            f"ends at {end + 300} (Unix seconds)\n"
        )
        refused(running.gpgpu("topup", lease, "1"), f"can be topped up until {end + 300}")
        assert running.gpgpu("extend", lease, "60").stdout.endswith(f"ends at {end + 360} (Unix seconds)\n")

        refused(running.gpgpu("accept", lease, wallet="stranger"), "[no_proof]")
        await_value(
            "a proof is pending",
            lambda: market.lease_state(hex_bytes(lease, 32)).mature_offset != 0,
            timeout_seconds=120,
        )
        accepted = running.gpgpu("accept", lease)
        assert accepted.exit_code == 0, accepted.output
        assert "dUSD paid" in accepted.stdout
        assert running.gpgpu("notice", lease).exit_code == 0

        cancelled = running.gpgpu("provider", "cancel", "--offer-file", str(path), wallet=wallet)
        assert cancelled.exit_code == 0, cancelled.output
        again = running.gpgpu("launch", str(task), "--yes", "--offer-file", str(path))
        refused(again, "its provider has cancelled it", "[no_offer]")
        assert "before epoch 1" in running.gpgpu("provider", "cancel", "--all", wallet=wallet).stdout
        assert running.json("provider", "status", wallet=wallet)["offers"] == {}
        refused(running.gpgpu("provider", "cancel", wallet=wallet), "expected one of")
        await_value(
            "the lease closes",
            lambda: market.lease_state(hex_bytes(lease, 32)).status is LeaseStatus.CLOSED,
            timeout_seconds=120,
        )
    finally:
        network.supervisor.stop(worker)


def test_launch__offer_file_altered__is_refused(running: Running, tmp_path: Path) -> None:
    wallet, path = running.provider.plan.wallet, tmp_path / "offer.json"
    unit = to_hex(running.provider.unit_id)
    signing = running.gpgpu(
        *("provider", "list", "--unit", unit, "--price", "1", "--token", "dUSD", "--bond", "5", "--signed"),
        wallet=wallet,
    )
    path.write_text(signing.stdout.replace('"1000000"', '"1"'))
    task = write_task(tmp_path, HELLO)
    refused(running.gpgpu("launch", str(task), "--offer-file", str(path)), "signature")
    refused(
        running.gpgpu("launch", str(task), "--offer-file", str(path), "--offer", unit), "expected one of them"
    )
    refused(
        running.gpgpu("launch", str(task), "--lease", unit, "--hours", "mon 0-1"), "the lease has its own"
    )
    refused(running.gpgpu("launch", str(task), "--hours", "mon"), "hours: expected")


# The provider's side, and the end of a lease.


def test_provider__status__shows_stake_and_unit(running: Running, lease_id: str) -> None:
    wallet = running.provider.plan.wallet
    document = running.json("provider", "status", wallet=wallet)
    assert document["stake_units"] == str(1000 * 10**18)
    assert document["locked_units"] == str(50 * 10**18)
    assert list(document["units"]) == [to_hex(running.provider.unit_id)]
    assert to_hex(running.provider.offer_hash) in document["offers"]
    assert "1000 GPU" in running.gpgpu("provider", "status", wallet=wallet).output


def test_provider__stake_and_unstake__move_the_stake(running: Running) -> None:
    wallet = running.provider.plan.wallet
    network = running.network
    network.mint(wallet, network.opened_chain.manifest.stake_token, "5")
    assert running.gpgpu("provider", "stake", "5", wallet=wallet).stdout == "stake 1005 GPU\n"
    refused(running.gpgpu("provider", "stake", "5", wallet=wallet), "available 0 GPU")
    refused(running.gpgpu("provider", "stake", "five", wallet=wallet), "expected a decimal")
    unbonding = running.gpgpu("provider", "unstake", "5", wallet=wallet)
    assert "5 GPU can leave at" in unbonding.output
    too_early = running.gpgpu("provider", "unstake", wallet=wallet)
    refused(too_early, "StillUnbonding")
    leaves_at = network.opened_chain.registry.stake_of(network.purse(wallet).address).unbond_at
    await_value(
        "the stake unbonds",
        lambda: network.opened_chain.head().timestamp >= leaves_at,
        timeout_seconds=60,
    )
    assert "5 GPU to" in running.gpgpu("provider", "unstake", wallet=wallet).output
    assert running.gpgpu("provider", "unstake", wallet=wallet).exit_code == FAILED


def test_provider__register_list_unlist__make_and_take_back_an_offer(
    running: Running, tmp_path: Path
) -> None:
    wallet = "provider-new"
    network = running.network
    network.mint(wallet, network.opened_chain.manifest.stake_token, "10")
    assert running.gpgpu("provider", "stake", "10", wallet=wallet).exit_code == 0
    inventory = tmp_path / "inventory.json"
    gpu = {"id": "0x" + "ab" * 32, "uuid": "x", "name": "NVIDIA GeForce RTX 4090", "vram_mib": 24_564}
    inventory.write_text(json.dumps({"device": "cuda", "gpus": [gpu], "cpu_count": 8}))
    worker = network.make_key("worker-new")
    registered = running.gpgpu(
        *("provider", "register", "--worker", worker, "--inventory", str(inventory), "--node", "n1"),
        wallet=wallet,
    )
    assert registered.exit_code == 0, registered.output
    unit = registered.stdout.strip()
    listed = running.gpgpu(
        *("provider", "list", "--unit", unit, "--price", "0.25", "--token", "dUSD", "--bond", "1"),
        *("--hours", "mon-fri 18-24", "--hours", "sat-sun 0-24"),
        wallet=wallet,
    )
    assert listed.exit_code == 0, listed.output
    offer = listed.stdout.strip()
    document = running.json("provider", "status", wallet=wallet)
    assert document["offers"][offer]["price_per_hour"] == "250000"
    assert int(document["offers"][offer]["weekly_hours"]).bit_count() == 5 * 6 + 2 * 24
    assert "RTX 4090" in running.gpgpu("provider", "status", wallet=wallet).output
    assert running.gpgpu("provider", "unlist", offer, wallet=wallet).exit_code == 0
    assert running.json("provider", "status", wallet=wallet)["offers"] == {}
    refused(running.gpgpu("provider", "unlist", offer, wallet=wallet), "OfferNotListed")


def test_register__inventory_malformed__is_refused(running: Running, tmp_path: Path) -> None:
    path = tmp_path / "inventory.json"
    path.write_text('{"gpus": [{"id": 3}]}')
    worker = running.network.purse("renter").address
    result = running.gpgpu(
        "provider", "register", "--worker", worker, "--inventory", str(path), "--node", "x"
    )
    refused(result, "worker identify --json")


def test_notice__given__lease_closes_and_both_are_paid(running: Running, lease_id: str) -> None:
    network = running.network
    noticed = running.gpgpu("notice", lease_id)
    assert noticed.exit_code == 0, noticed.output
    market = network.opened_chain.market
    identity = hex_bytes(lease_id, 32)
    await_value(
        "the lease closes",
        lambda: market.lease_state(identity).status is LeaseStatus.CLOSED,
        timeout_seconds=120,
    )
    paid = running.gpgpu("provider", "withdraw", wallet=running.provider.plan.wallet)
    assert paid.exit_code == 0, paid.output
    assert "dUSD to" in paid.output
    refunded = running.gpgpu("withdraw")
    assert refunded.exit_code == 0, refunded.output
    assert running.gpgpu("withdraw").exit_code == FAILED
    refused(running.gpgpu("notice", lease_id), "LeaseNotOpen")


def test_audit__whole_history__is_clean(running: Running, lease_id: str) -> None:
    folder = running.network.folder
    shown = running.gpgpu("audit", "replay", "--artifacts", str(folder.artifacts))
    assert shown.exit_code == 0, shown.output
    assert "Verdict: CLEAN: 0 differences" in shown.output
    document = running.json("audit", "replay", "--artifacts", str(folder.artifacts))
    assert document["verdict"] == "clean"
    assert document["not_checked"] == []


def test_audit__without_a_reader_s_key__says_what_it_could_not_read(running: Running, lease_id: str) -> None:
    folder = running.network.folder
    shown = running.gpgpu(
        "audit", "replay", "--artifacts", str(folder.artifacts), "--json", GPGPU_KEYSTORE=""
    )
    assert shown.exit_code == 0, shown.output
    ((unread,), verdict) = (json.loads(shown.stdout)[name] for name in ("not_checked", "verdict"))
    assert verdict == "clean"
    assert unread["what"].startswith("contents of ") and "no key of their readers" in unread["reason"]


def test_audit__artifact_altered__exits_1_and_names_it(running: Running, lease_id: str) -> None:
    folder = running.network.folder
    job = next(job for job in jobs_of(running, lease_id) if job["state"] == "proven")
    receipt = job["receipt"]
    assert isinstance(receipt, dict)
    digest = receipt["sealed"]["output"]
    path = folder.artifacts / "sha256" / digest[:2] / digest
    honest = path.read_bytes()
    path.write_bytes(honest + b"!")
    try:
        shown = running.gpgpu("audit", "replay", "--artifacts", str(folder.artifacts))
        document = running.gpgpu("audit", "replay", "--artifacts", str(folder.artifacts), "--json")
    finally:
        path.write_bytes(honest)
    assert (shown.exit_code, document.exit_code) == (FAILED, FAILED)
    assert "artifact_digest" in shown.stdout
    assert "Verdict: 1 DIFFERENCES" in shown.stdout
    assert [item["code"] for item in json.loads(document.stdout)["differences"]] == ["artifact_digest"]


def test_audit__through_the_oracle__sees_all_that_a_renter_may(running: Running, lease_id: str) -> None:
    document = running.json("audit", "replay")
    assert document["verdict"] == "clean"
    assert document["counts"]["artifacts"] > 0
    without_key = running.gpgpu("audit", "replay", "--json", GPGPU_KEYSTORE="")
    assert without_key.exit_code == 0, without_key.output
    assert [item["what"] for item in json.loads(without_key.stdout)["not_checked"]] == ["artifacts"]


def test_audit_sources__code_on_chain__is_what_they_compile_to(running: Running, tmp_path: Path) -> None:
    shown = running.gpgpu("audit", "sources", "--project", str(PROJECT))
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.endswith("comparisons of code with sources, 0 differences\n")
    refused(running.gpgpu("audit", "sources", "--project", str(tmp_path)), "expected forge")


def test_child_environment__settings_of_other_commands__are_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GPGPU_ORACLE_PORT", "1")
    assert not [name for name in child_environment() if name.startswith("GPGPU_")]
