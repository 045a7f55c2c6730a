"""The deployment itself: its chain, its code, its immutables, and what its owner has set."""

from web3 import Web3

from protocol.chain import rpc
from protocol.contracts import Market, Registry
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest
from scripts.audit.history import History
from scripts.audit.report import Section


def check_code(web3: Web3, manifest: DeploymentManifest, block: int, section: Section) -> None:
    """The chain is the manifest's, and each address carries the code that the manifest names."""
    section.compare("chain_id", "chain", manifest.chain_id, int(rpc(web3, "eth_chainId", []), 16))
    for address in (manifest.market, manifest.registry, manifest.stake_token):
        section.compare("code_unpinned", address, True, address in manifest.code_hashes)
    for address, expected in sorted(manifest.code_hashes.items()):
        code = bytes.fromhex(rpc(web3, "eth_getCode", [address, hex(block)])[2:])
        section.compare("code_hash", address, expected, keccak256(code))


def check_immutables(web3: Web3, manifest: DeploymentManifest, block: int, section: Section) -> None:
    """The contracts name each other, the stake token and the periods as the manifest does."""
    market, registry = Market(web3, manifest.market), Registry(web3, manifest.registry)
    periods = manifest.parameters
    for name, expected, actual in (
        ("REGISTRY", manifest.registry, market.registry(block)),
        ("MARKET", manifest.market, registry.market(block)),
        ("STAKE_TOKEN", manifest.stake_token, registry.stake_token(block)),
        ("CHALLENGE_SECONDS", periods.challenge_seconds, market.challenge_seconds(block)),
        ("PROOF_GRACE_SECONDS", periods.proof_grace_seconds, market.proof_grace_seconds(block)),
        ("UNBONDING_SECONDS", periods.unbonding_seconds, registry.unbonding_seconds(block)),
    ):
        section.compare("immutable", name, expected, actual)


def check_settings(web3: Web3, history: History, section: Section) -> None:
    """Owner, fee, treasury and allowed tokens are what the events say."""
    market, block = Market(web3, history.manifest.market), history.block.number
    parameters = history.state.parameters
    section.compare("setting", "owner", history.owner, market.owner(block))
    section.compare("setting", "feeBps", parameters.fee_bps, market.fee_bps(block))
    section.compare("setting", "treasury", parameters.treasury, market.treasury(block))
    for token in history.tokens:
        section.compare(
            "setting",
            f"tokenAllowed({token})",
            token in parameters.allowed_tokens,
            market.token_allowed(token, block),
        )
