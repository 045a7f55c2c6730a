"""The deployment itself: its chain, its code, its immutables, and what its owner has set."""

from collections.abc import Mapping
from dataclasses import asdict

from web3 import Web3

from protocol.abi_bytes import abi_encode
from protocol.chain import rpc
from protocol.contracts import Market, Quorum
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest
from protocol.units import ZERO_ADDRESS, Address
from scripts.audit.history import History
from scripts.audit.reading import Reader
from scripts.audit.report import Section
from scripts.deployment.plan import dispute_seconds

# Parts of a contract answer by its ABI.
ABI_OF = {
    "LeaseAmendments": "LeaseMarket",
    "LeaseSuccession": "LeaseMarket",
    "CourtProceedings": "ComputeCourt",
}
COURT_PARAMETERS = (
    *("challenge_bond", "absence_penalty", "committee_size", "draw_delay_blocks", "draw_seconds"),
    *("data_seconds", "commit_seconds", "reveal_seconds", "clock_seconds"),
)


def check_code(web3: Web3, manifest: DeploymentManifest, block: int, section: Section) -> None:
    """The chain is the manifest's, and each address carries the code that the manifest names."""
    section.compare("chain_id", "chain", manifest.chain_id, int(rpc(web3, "eth_chainId", []), 16))
    parts = (manifest.amendments, manifest.succession, manifest.proceedings)
    others = (manifest.timelock, manifest.wrapped_native)
    for address in (*manifest.contracts, *parts, manifest.stake_token, *others):
        if address != ZERO_ADDRESS:
            section.compare("code_unpinned", address, True, address in manifest.code_hashes)
    for address, expected in sorted(manifest.code_hashes.items()):
        code = bytes.fromhex(rpc(web3, "eth_getCode", [address, hex(block)])[2:])
        section.compare("code_hash", address, expected, keccak256(code))


def check_immutables(web3: Web3, manifest: DeploymentManifest, block: int, section: Section) -> None:
    """The contracts name each other, the stake token, periods and amounts as the manifest does.

    Immutables lie in the code of each part of a contract: each is asked for its own.
    """
    for (name, address), expected in immutables_of(manifest).items():
        reader = Reader(web3, address, ABI_OF.get(name, name))
        for immutable, value in expected.items():
            actual = reader.get(immutable, block)
            section.compare("immutable", f"{immutable} of {name}", value, actual)


def immutables_of(manifest: DeploymentManifest) -> Mapping[tuple[str, Address], Mapping[str, object]]:
    """What each contract's getters must say, by the names of the contract and of the getter."""
    parameters = manifest.parameters
    leases: dict[str, object] = {
        "REGISTRY": manifest.registry,
        "COURT": manifest.court,
        "QUORUM": manifest.quorum,
        "WRAPPED_NATIVE": manifest.wrapped_native,
        "CHALLENGE_SECONDS": parameters.challenge_seconds,
        "PROOF_GRACE_SECONDS": parameters.proof_grace_seconds,
        "ANSWER_SECONDS": parameters.answer_seconds,
        "PARAMETERS_HASH": market_parameters_hash(manifest),
    }
    court: dict[str, object] = {
        "MARKET": manifest.market,
        "REGISTRY": manifest.registry,
        "QUORUM": manifest.quorum,
        "STAKE_TOKEN": manifest.stake_token,
        "DISPUTE_MAX_SECONDS": dispute_seconds(asdict(parameters)),
        **{name.upper(): getattr(parameters, name) for name in COURT_PARAMETERS},
    }
    return {
        ("LeaseMarket", manifest.market): {**leases, "AMENDMENTS": manifest.amendments},
        ("LeaseAmendments", manifest.amendments): {**leases, "SUCCESSION": manifest.succession},
        ("LeaseSuccession", manifest.succession): leases,
        ("ProviderRegistry", manifest.registry): {
            "STAKE_TOKEN": manifest.stake_token,
            "MARKET": manifest.market,
            "QUORUM": manifest.quorum,
            "UNBONDING_SECONDS": parameters.unbonding_seconds,
        },
        ("OracleQuorum", manifest.quorum): {
            "STAKE_TOKEN": manifest.stake_token,
            "COURT": manifest.court,
            "MEMBER_BOND": parameters.member_bond,
            "ROTATION_SECONDS": parameters.rotation_seconds,
            "EXIT_SECONDS": parameters.exit_seconds,
        },
        ("ComputeCourt", manifest.court): {**court, "PROCEEDINGS": manifest.proceedings},
        ("CourtProceedings", manifest.proceedings): court,
    }


def market_parameters_hash(manifest: DeploymentManifest) -> bytes:
    """keccak-256 of MarketParameters, in which the three parts of the market must agree."""
    parameters = manifest.parameters
    values = (
        *(manifest.registry, manifest.court, manifest.quorum, manifest.wrapped_native),
        *(manifest.owner, manifest.treasury),
        *(parameters.challenge_seconds, parameters.proof_grace_seconds, parameters.answer_seconds),
    )
    return keccak256(abi_encode((*["address"] * 6, *["uint32"] * 3), values))


def check_settings(web3: Web3, history: History, section: Section) -> None:
    """Owners, treasury, fees and allowed tokens are what the events say."""
    market, block = Market(web3, history.manifest.market), history.block.number
    quorum, parameters = Quorum(web3, history.manifest.quorum), history.state.parameters
    section.compare("setting", "owner", history.owners.get("LeaseMarket"), market.owner(block))
    section.compare("setting", "owner of the quorum", history.owners.get("OracleQuorum"), quorum.owner(block))
    section.compare("setting", "treasury", parameters.treasury, market.treasury(block))
    for token in history.tokens:
        expected, actual = parameters.token_fees.get(token), market.token_terms(token, block)
        section.compare("setting", f"tokenAllowed({token})", expected is not None, actual.allowed)
        if expected is not None:
            section.compare("setting", f"feeBps({token})", expected, actual.fee_bps)
