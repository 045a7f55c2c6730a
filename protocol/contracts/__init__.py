"""Thin typed wrappers of our contracts: reads take a block, writes give calls to send."""

from protocol.calls import Call
from protocol.contracts.contract import Contract, PermitSignature
from protocol.contracts.court import Committee, Court, Dispute
from protocol.contracts.market import Market, TokenTerms
from protocol.contracts.quorum import Finding, Member, Quorum
from protocol.contracts.registry import Registry, StakeAccount
from protocol.contracts.token import Token

__all__ = [
    "Call",
    "Committee",
    "Contract",
    "Court",
    "Dispute",
    "Finding",
    "Market",
    "Member",
    "PermitSignature",
    "Quorum",
    "Registry",
    "StakeAccount",
    "Token",
    "TokenTerms",
]
