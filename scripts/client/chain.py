"""The deployment on its chain, opened once and checked: contracts, tokens, the signing domain."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from web3 import Web3

from protocol.chain import Block, check_deployment, connect, disconnect, read_block
from protocol.contracts import Market, Quorum, Registry, Token
from protocol.errors import BadInput
from protocol.manifest import DeploymentManifest, TokenInfo
from protocol.manifest import load as load_manifest
from protocol.typed_data import Domain
from protocol.units import Address, parse_address
from scripts.client.amounts import format_amount, parse_amount

RPC_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """The deployment's tokens, by symbol or address."""

    manifest: DeploymentManifest

    def address_of(self, name: str) -> Address:
        """A token named by its symbol or address. BadInput names those that there are."""
        info = self.manifest.tokens.get(name)
        if info is not None:
            return info.address
        for known in self.manifest.tokens.values():
            if known.address == name:
                return known.address
        raise BadInput(f"token: expected one of {', '.join(sorted(self.manifest.tokens))}, got {name}")

    def info_of(self, address: Address) -> TokenInfo:
        for known in self.manifest.tokens.values():
            if known.address == address:
                return known
        raise BadInput(f"token {address}: expected one of the manifest's")

    def parse(self, address: Address, text: str) -> int:
        """Base units of a decimal amount."""
        return parse_amount(text, self.info_of(address).decimals)

    def show(self, address: Address, units: int) -> str:
        """Such as "1.25 dUSD"; tokens that the manifest does not know are shown in base units."""
        symbol = self.manifest.token_symbol(address)
        if symbol == address:
            return f"{units} base units of {address}"
        return f"{format_amount(units, self.manifest.tokens[symbol].decimals)} {symbol}"


@dataclass(frozen=True, slots=True)
class Chain:
    """A node that serves the manifest's chain, with the manifest's code at its addresses."""

    web3: Web3
    manifest: DeploymentManifest
    market: Market
    registry: Registry
    quorum: Quorum
    domain: Domain
    tokens: Tokens

    def token(self, address: Address) -> Token:
        return Token(self.web3, address)

    def close(self) -> None:
        disconnect(self.web3)

    def head(self) -> Block:
        return read_block(self.web3, "latest")


def open_chain(manifest_path: Path, rpc_url: str) -> Chain:
    """Ready to read and send. BadInput, WrongChain, NoCode, DigestMismatch, ChainUnavailable."""
    return chain_of(load_manifest(manifest_path), rpc_url)


def chain_of(manifest: DeploymentManifest, rpc_url: str) -> Chain:
    """As `open_chain`, for a manifest at hand."""
    parsed = urlsplit(rpc_url)
    if parsed.scheme not in ("http", "https") or not parsed.hostname:
        raise BadInput(f"RPC address: expected http://HOST:PORT, got {rpc_url!r}")
    web3 = connect(rpc_url, manifest.chain_id, RPC_TIMEOUT_SECONDS)
    check_deployment(web3, manifest)
    return Chain(
        web3=web3,
        manifest=manifest,
        market=Market(web3, manifest.market),
        registry=Registry(web3, manifest.registry),
        quorum=Quorum(web3, manifest.quorum),
        domain=Domain(manifest.chain_id, manifest.market),
        tokens=Tokens(manifest),
    )


def payment_tokens(manifest: DeploymentManifest) -> tuple[Address, ...]:
    """The manifest's tokens but for the stake token, unless it is the only one; wrapped native coin last."""
    addresses = sorted(
        (info.address for info in manifest.tokens.values()), key=lambda name: name == manifest.wrapped_native
    )
    others = [address for address in addresses if address != manifest.stake_token]
    return tuple(others) or (parse_address(manifest.stake_token),)
