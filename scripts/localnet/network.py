"""A running local network: chain, contracts, oracle, and providers with their workers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from protocol.json_text import canonical_json
from protocol.outbox import Receipt
from protocol.readers import ReaderRole, sign_reader_key
from protocol.sealing import public_bytes
from protocol.units import Address, OfferHash, UnitId
from protocol.weekly_hours import parse_hours
from scripts.client import judging, providing
from scripts.client.api import Identity, OracleClient
from scripts.client.chain import Chain, open_chain, payment_tokens
from scripts.client.purse import Purse, fresh_intent
from scripts.client.reader_files import open_reader_key
from scripts.client.wallet import address_of_keystore, unlock
from scripts.localnet import services
from scripts.localnet.anvil import Anvil, free_port, rpc, start_anvil
from scripts.localnet.folder import NetworkFolder
from scripts.localnet.processes import Process, Supervisor
from scripts.localnet.waiting import await_value

WEI_EACH = 100 * 10**18
DAY_SECONDS = 86_400
SERVICE_KEYS = ("keeper", "treasury", "verifier")
MEMBERS = ("member-0", "member-1", "member-2")
ROTATION_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """A provider with one unit on this host's processors; money as people write it."""

    name: str
    price: str
    stake: str = "1000"
    bond: str = "50"
    hours: tuple[str, ...] = ()

    @property
    def wallet(self) -> str:
        return f"provider-{self.name}"

    @property
    def worker(self) -> str:
        return f"worker-{self.name}"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider whose unit is listed."""

    plan: ProviderPlan
    address: Address
    unit_id: UnitId
    offer_hash: OfferHash


@dataclass(slots=True)
class Network:
    """What runs, and how to reach it."""

    folder: NetworkFolder
    supervisor: Supervisor
    anvil: Anvil
    oracle_port: int
    stack: ExitStack
    chain: Chain | None = None
    purses: dict[str, Purse] = field(default_factory=dict[str, Purse])
    on_receipt: Callable[[str, Receipt], None] | None = None

    @property
    def oracle_url(self) -> str:
        return f"http://127.0.0.1:{self.oracle_port}"

    @property
    def opened_chain(self) -> Chain:
        """The deployment, once it is there."""
        if self.chain is None:
            self.chain = open_chain(self.folder.manifest, self.anvil.rpc_url)
            self.stack.callback(self.chain.close)
        return self.chain

    @property
    def treasury(self) -> Address:
        return address_of_keystore(self.folder.keystore("treasury"))

    @property
    def payment_token(self) -> Address:
        return payment_tokens(self.opened_chain.manifest)[0]

    def deploy(self) -> None:
        """Afterwards the contracts are there; `open_quorum` makes the members of the quorum active."""
        members = [address_of_keystore(self.folder.keystore(name)) for name in MEMBERS]
        services.deploy_contracts(self.supervisor, self.folder, self.anvil, self.treasury, members)

    def open_quorum(self) -> None:
        """Deposits the bond of every member; returns once all are active."""
        chain, purse = self.opened_chain, self.purse(MEMBERS[0])
        quorum, bond = chain.quorum, chain.manifest.parameters.member_bond
        mint = chain.token(chain.manifest.stake_token).build_mint(purse.address, len(MEMBERS) * bond)
        purse.send(fresh_intent("mint"), mint)
        judging.deposit_bonds(purse, range(len(MEMBERS)), bond)
        everybody = (1 << len(MEMBERS)) - 1
        await_value(
            f"{len(MEMBERS)} members of the quorum are active",
            lambda: quorum.active_members() == everybody,
            timeout_seconds=ROTATION_SECONDS,
        )

    def publish_readers(self) -> None:
        """The oracle will show keys of a verifier and of the quorum's members, to seal jobs to."""
        domain = self.opened_chain.domain
        readers: list[Any] = []
        for name in ("verifier", *MEMBERS):
            role = ReaderRole.VERIFIER if name == "verifier" else ReaderRole.COMMITTEE
            key = public_bytes(open_reader_key(self.folder.reader_key(name)))
            account = unlock(self.folder.keystore(name), self.folder.password_file, str)
            readers.append(sign_reader_key(domain, role, key, account).to_json())
        self.folder.readers_file.write_bytes(canonical_json(readers))

    def start_oracle(self) -> Process:
        self.publish_readers()
        process = services.start_oracle(self.supervisor, self.folder, self.anvil, self.oracle_port)
        services.await_oracle(process, self.oracle_url)
        return process

    def start_worker(self, provider: Provider) -> Process:
        plan = services.WorkerPlan(provider.plan.worker, provider.unit_id, provider.plan.name)
        return services.start_worker(self.supervisor, self.folder, self.anvil, self.oracle_url, plan)

    def await_workers(self, count: int) -> None:
        services.await_workers(self.supervisor, self.oracle_url, count)

    def purse(self, name: str) -> Purse:
        """The wallet of this name: made, and given coins for gas, when it is first asked for."""
        if name not in self.purses:
            if not self.folder.keystore(name).exists():
                self.make_key(name)
            account = unlock(self.folder.keystore(name), self.folder.password_file, str)
            purse = Purse(self.opened_chain, account, self.folder.data_dir("wallets") / name, self.on_receipt)
            self.stack.callback(purse.close)
            self.purses[name] = purse
        return self.purses[name]

    def make_key(self, name: str) -> Address:
        address = self.folder.make_key(name)
        rpc(self.anvil.rpc_url, "anvil_setBalance", [address, hex(WEI_EACH)])
        return address

    def client(self, name: str) -> OracleClient:
        """The oracle's API in the name of a wallet."""
        purse = self.purse(name)
        client = OracleClient(self.oracle_url, Identity(self.opened_chain.domain, purse.account))
        self.stack.callback(client.close)
        return client

    def mint(self, name: str, token: Address, amount: str) -> int:
        """Development tokens for a wallet; anybody may make them."""
        purse = self.purse(name)
        units = purse.chain.tokens.parse(token, amount)
        purse.send(fresh_intent("mint"), purse.chain.token(token).build_mint(purse.address, units))
        return units

    def open_provider(self, plan: ProviderPlan) -> Provider:
        """Stake, register this host's processors under the provider's name, list them."""
        purse, tokens = self.purse(plan.wallet), self.opened_chain.tokens
        stake_token = self.opened_chain.manifest.stake_token
        worker = self.make_key(plan.worker)
        providing.stake(purse, self.mint(plan.wallet, stake_token, plan.stake))
        devices = providing.read_devices(services.identify_devices(self.folder, plan.name, plan.worker))
        unit_id = providing.register_unit(purse, worker, devices, f"host of {plan.name}")
        draft = providing.OfferDraft(
            unit_id=unit_id,
            token=self.payment_token,
            price_per_hour=tokens.parse(self.payment_token, plan.price),
            weekly_hours=parse_hours(plan.hours),
            min_seconds=30,
            max_seconds=DAY_SECONDS,
            notice_seconds=5,
            bond=tokens.parse(stake_token, plan.bond),
            valid_seconds=30 * DAY_SECONDS,
        )
        return Provider(plan, purse.address, unit_id, providing.list_offer(purse, draft))


@contextmanager
def open_network(
    folder: NetworkFolder, port: int | None = None, oracle_port: int | None = None
) -> Iterator[Network]:
    """A chain with funded service keys; everything that is started on it ends with the block."""
    with ExitStack() as stack, Supervisor(folder.logs) as supervisor:
        anvil = start_anvil(supervisor, folder.root, port)
        network = Network(folder, supervisor, anvil, oracle_port or free_port(), stack)
        for name in (*SERVICE_KEYS, *MEMBERS):
            network.make_key(name)
        yield network
