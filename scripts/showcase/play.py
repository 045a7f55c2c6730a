"""The acts of the demonstration, over a local network of real processes."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from protocol.bodies import JobBody, LeaseBody
from protocol.bundle import extract_bundle
from protocol.chain import connect, disconnect
from protocol.errors import ProtocolError, RetryableError
from protocol.logs import fetch_logs
from protocol.readers import renter_key
from protocol.structs import LeaseStatus, NoticeReason
from protocol.units import Address, JobId
from protocol.weekly_hours import rule_around
from scripts.audit.replay import Scope, replay
from scripts.audit.report import Report
from scripts.audit.sources import FolderSource
from scripts.client import renting
from scripts.client.api import OracleClient
from scripts.client.bundling import bundle_of
from scripts.client.chain import Tokens
from scripts.client.following import follow, has_succeeded
from scripts.client.reader_files import read_reader_key
from scripts.client.renting import Launch
from scripts.client.schedules import schedule_of
from scripts.client.unsealing import JobLog, Opener, download_artifact, opener_of
from scripts.client.withdrawals import withdraw_compensation, withdraw_credits, withdraw_fees
from scripts.localnet.anvil import PROJECT
from scripts.localnet.folder import NetworkFolder
from scripts.localnet.gas import GasUse, gas_by_function
from scripts.localnet.network import Network, Provider, ProviderPlan, open_network
from scripts.localnet.waiting import DeadlineExceeded, await_value
from scripts.task import load_task
from scripts.terminal.progress import Step, Steps

EXAMPLES = PROJECT / "examples"
# What the second provider offers, and what of it the renter takes, both from the hour that it is now on.
OFFERED_HOURS, TAKEN_HOURS = 12, 3
CALENDAR_SECONDS = 60
RENTER_MONEY = "100"
JOBS_SECONDS = 900.0
SETTLE_SECONDS = 90.0
MAX_OUTPUT_BYTES = 1 << 30
# What the runner of TRACED jobs prints at each leaf.
TRAINING_STEP = re.compile(r"step (\d+)/(\d+) ")
MAX_OUTPUT_FILES = 1000


@dataclass(frozen=True, slots=True)
class Payment:
    """What an account took out of the contracts."""

    who: str
    account: Address
    token: Address
    amount_units: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that the closing table shows."""

    folder: NetworkFolder
    tokens: Tokens
    lease: LeaseBody
    calendar: LeaseBody
    """The second one, on certain hours of the week."""
    jobs: tuple[JobBody, ...]
    accuracy: float
    payments: tuple[Payment, ...]
    gas: tuple[GasUse, ...]
    report: Report


class JobsFailed(ProtocolError):
    """Jobs of the demonstration ended otherwise than with success."""


def play(folder: NetworkFolder, steps: Steps) -> Outcome:
    """The whole path; afterwards nothing runs, results and logs are in the folder.

    ProcessFailed, with the end of its log, where a process is to blame.
    """
    with ExitStack() as stack:
        with steps.step("chain"):
            network = stack.enter_context(open_network(folder))
        try:
            return _act(network, steps)
        except RetryableError:
            # What did not answer in time may have ended, and then its log says why.
            network.supervisor.require_running()
            raise


def _act(network: Network, steps: Steps) -> Outcome:
    with steps.step("deploy") as step:
        network.deploy()
        step.detail(network.opened_chain.manifest.market)
    with steps.step("quorum"):
        network.open_quorum()
    with steps.step("oracle"):
        network.start_oracle()
    with steps.step("providers") as step:
        providers = _open_providers(network, step)
    with steps.step("workers"):
        for provider in providers:
            network.start_worker(provider)
        network.await_workers(len(providers))
    oracle = network.client("renter")
    with steps.step("digits") as step:
        digits = _rent_and_train(network, oracle, step)
    with steps.step("calendar") as step:
        evening = _rent_by_calendar(network, oracle, providers[1], step)
    with steps.step("sweep") as step:
        sweep = _sweep(network, oracle, digits, step)
    with steps.step("notice"):
        renting.give_notice(network.purse("renter"), digits.terms, NoticeReason.WORK_DONE)
    with steps.step("settle") as step:
        _finish(network, oracle, evening, step)
        for launch in (digits, evening):
            _await_close(network, launch, step)
    named = _named_jobs(digits, sweep, evening)
    accuracy = _download(network.folder, oracle, _opener(network, oracle), named)
    with steps.step("withdraw") as step:
        payments = _withdraw(network, providers, step)
    with steps.step("audit") as step:
        report = _audit(network, step)
    return Outcome(
        folder=network.folder,
        tokens=network.opened_chain.tokens,
        lease=_closed_lease(oracle, digits),
        calendar=_closed_lease(oracle, evening),
        jobs=tuple(oracle.job(job) for job in named.values()),
        accuracy=accuracy,
        payments=tuple(payments),
        gas=tuple(_gas(network)),
        report=report,
    )


def _open_providers(network: Network, step: Step) -> list[Provider]:
    """One is there at any hour, the other from the hour that it is now on, every week."""
    evening = rule_around(network.opened_chain.head().timestamp, OFFERED_HOURS)
    providers: list[Provider] = []
    for plan in (ProviderPlan("a", "3.60"), ProviderPlan("b", "7.20", hours=(evening,))):
        step.detail(f"provider {plan.name} at {plan.price} an hour, {' and '.join(plan.hours) or 'always'}")
        providers.append(network.open_provider(plan))
    return providers


def _rent_and_train(network: Network, oracle: OracleClient, step: Step) -> Launch:
    """One transaction opens the lease on the cheaper offer; its first order is the training."""
    purse = network.purse("renter")
    network.mint("renter", network.payment_token, RENTER_MONEY)
    task = load_task(EXAMPLES / "digits" / "task.yaml")
    with bundle_of(task) as bundle:
        proposal = renting.propose(network.opened_chain, oracle, task, bundle, None)
        launch = renting.draft_launch(purse, proposal)
        renting.send(purse, oracle, launch)
    _finish(network, oracle, launch, step)
    return launch


def _sweep(network: Network, oracle: OracleClient, lease: Launch, step: Step) -> Launch:
    task = load_task(EXAMPLES / "sweep" / "task.yaml")
    with bundle_of(task) as bundle:
        purse = network.purse("renter")
        launch = renting.launch_on_lease(purse, oracle, oracle.lease(lease.lease_id), task, bundle)
        renting.send(purse, oracle, launch)
    _finish(network, oracle, launch, step)
    return launch


def _rent_by_calendar(network: Network, oracle: OracleClient, provider: Provider, step: Step) -> Launch:
    """A lease on some hours of the week, of which this one is partly over; its job runs beside the sweep."""
    rule = rule_around(network.opened_chain.head().timestamp, TAKEN_HOURS)
    step.detail(f"{CALENDAR_SECONDS} s within {rule} (UTC)")
    task = load_task(EXAMPLES / "sweep" / "evening.yaml")
    schedule = schedule_of(CALENDAR_SECONDS, None, [rule])
    purse = network.purse("renter")
    with bundle_of(task) as bundle:
        proposal = renting.propose(purse.chain, oracle, task, bundle, provider.offer_hash, schedule)
        launch = renting.draft_launch(purse, proposal)
        renting.send(purse, oracle, launch)
    return launch


def _named_jobs(digits: Launch, sweep: Launch, evening: Launch) -> dict[str, JobId]:
    """By the names that their results have."""
    rows = {f"sweep-{index}": job for index, job in enumerate(sweep.job_ids, 1)}
    return {"digits": digits.job_ids[0], **rows, "evening": evening.job_ids[0]}


def _finish(network: Network, oracle: OracleClient, launch: Launch, step: Step) -> None:
    """Returns once every job has succeeded. JobsFailed, ProcessFailed, DeadlineExceeded."""
    count, done = len(launch.job_ids), 0
    deadline = time.monotonic() + JOBS_SECONDS

    def check() -> None:
        network.supervisor.require_running()
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{step.title}: expected within {JOBS_SECONDS:g} s, did not happen")

    def on_change(body: JobBody) -> None:
        if count > 1:
            step.advance_to(done, count, f"{done} of {count}, one is {body.state}")
        else:
            step.detail(body.state)

    def on_log(_: JobId, data: bytes) -> None:
        if count == 1:
            _show_line(step, data.decode("utf-8", "replace"))

    opener = _opener(network, oracle)
    for body in follow(oracle, launch.job_ids, on_change, on_log, opener, check):
        if not has_succeeded(body):
            raise JobsFailed(
                "jobs_failed", f"job {body.job_id} {body.state}: {_failure(oracle, opener, body)}"
            )
        done += 1
        step.advance_to(done, count)


def _show_line(step: Step, text: str) -> None:
    """The last line of a log; a bar where it says how many steps are done."""
    lines = text.strip().splitlines()
    found = TRAINING_STEP.match(lines[-1]) if lines else None
    if found is not None:
        step.advance_to(int(found[1]), int(found[2]), lines[-1])
    elif lines:
        step.detail(lines[-1])


def _opener(network: Network, oracle: OracleClient) -> Opener:
    """Reads what is sealed to the renter."""
    domain = network.opened_chain.domain
    return opener_of(domain, (renter_key(domain, network.purse("renter").account),), oracle)


def _failure(oracle: OracleClient, opener: Opener, body: JobBody) -> str:
    """Why a job did not succeed: its outcome and the end of its log."""
    outcome = body.detail if body.receipt is None else body.receipt.receipt.outcome.name.lower()
    data, _, _ = JobLog(oracle, body, opener).read(max(0, body.log_bytes - 2000))
    return f"{outcome}; the end of its log:\n{data.decode('utf-8', 'replace')}"


def _download(
    folder: NetworkFolder, oracle: OracleClient, opener: Opener, jobs: Mapping[str, JobId]
) -> float:
    """Every job's output into `results/`, deciphered, digests checked; the training's test accuracy."""
    results = folder.root / "results"
    for name, job in jobs.items():
        tar = results / f"{name}.tar"
        download_artifact(oracle, opener, oracle.job(job), "output", tar, MAX_OUTPUT_BYTES)
        with tar.open("rb") as source:
            extract_bundle(source, results / name, MAX_OUTPUT_BYTES, MAX_OUTPUT_FILES)
    metrics = json.loads((results / "digits" / "metrics.json").read_text())
    return float(metrics["test_accuracy"])


def _await_close(network: Network, launch: Launch, step: Step) -> None:
    """Returns once the lease is closed on chain: nobody here asks for it, worker and keeper do their part."""
    market = network.opened_chain.market

    def is_closed() -> bool:
        network.supervisor.require_running()
        state = market.lease_state(launch.lease_id)
        if state.status is LeaseStatus.CLOSED:
            return True
        if state.mature_offset:
            left = launch.terms.start + state.mature_offset - network.opened_chain.head().timestamp
            step.passing(f"{state.pending_seconds} s proven, matures in {max(0, left)} s")
        else:
            step.passing(f"{state.settled_seconds} s settled")
        return False

    await_value("the lease closes", is_closed, timeout_seconds=SETTLE_SECONDS, poll_seconds=0.5)


def _withdraw(network: Network, providers: Sequence[Provider], step: Step) -> list[Payment]:
    """Everybody takes out what the contracts owe."""
    names = [("renter", "renter"), *((f"provider {item.plan.name}", item.plan.wallet) for item in providers)]
    payments: list[Payment] = []
    token, stake_token = network.payment_token, network.opened_chain.manifest.stake_token
    for who, wallet in (*names, ("treasury", "treasury")):
        step.detail(who)
        purse = network.purse(wallet)
        taken = withdraw_credits(purse, [token], purse.address)
        if wallet == "treasury":
            taken |= withdraw_fees(purse, [token])
        payments += [Payment(who, purse.address, item, amount) for item, amount in taken.items()]
        compensation = withdraw_compensation(purse, purse.address)
        if compensation:
            payments.append(Payment(f"{who}, from the bond", purse.address, stake_token, compensation))
    return payments


def _audit(network: Network, step: Step) -> Report:
    """From logs and calls at one block, the evidence and the artifacts; the report is kept as a file.

    With the verifier's key, to which the TRACED job is sealed too; the others only renter and worker read.
    """
    manifest = network.opened_chain.manifest
    web3 = connect(network.anvil.rpc_url, manifest.chain_id)
    try:
        keys = (read_reader_key(network.folder.reader_key("verifier")),)
        scope = Scope(source=FolderSource(network.folder.artifacts), reader_keys=keys)
        report = replay(web3, manifest, scope, step.passing)
    finally:
        disconnect(web3)
    path = network.folder.root / "audit.json"
    path.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    return report


def _closed_lease(oracle: OracleClient, launch: Launch) -> LeaseBody:
    """The lease as the oracle shows it, once its index has the close."""

    def look() -> LeaseBody | None:
        body = oracle.lease(launch.lease_id)
        return body if body.status == "closed" else None

    return await_value("the oracle indexes the close", look, timeout_seconds=SETTLE_SECONDS)


def _gas(network: Network) -> list[GasUse]:
    manifest, chain = network.opened_chain.manifest, network.opened_chain
    logs = fetch_logs(chain.web3, manifest.contracts, manifest.block_number, chain.head().number)
    return gas_by_function(chain.web3, (log.position.transaction_hash for log in logs))
