"""The errors that every component tells apart.

ProtocolError(code, message)
├── RejectedError                 the same call fails again: never retry
│   ├── BadInput                  malformed or out of range
│   ├── DigestMismatch            bytes are not those that were named
│   ├── SealBroken                a sealed artifact was altered, cut, or is for another reader
│   ├── SignatureInvalid          not signed by whom it must be, or malleable
│   ├── WrongChain                the node serves another chain
│   ├── NoCode                    no contract at the address
│   ├── UnknownEvent              a log that our contracts do not emit
│   ├── InvariantBroken           what must always hold does not: stop
│   │   └── StoreBroken           the database is damaged, or cannot be written
│   ├── TransactionReverted       the contract refused, with its reason
│   ├── Expired                   too late
│   ├── LimitExceeded             too large, too many
│   └── KeyContested              somebody else sends transactions with our key
└── RetryableError                may succeed later
    ├── ChainUnavailable          the node does not answer
    │   ├── AnswerTooLarge        it would, were less asked
    │   └── ChainTimeout          not in the time given
    ├── RpcError                  the node answers with an error
    ├── ServiceUnavailable        another service of ours does not answer
    ├── StoreUnavailable          the database does not answer, or is busy
    ├── DutyLost                  another process does this work by now
    ├── TransactionUnderpriced    the node wants a higher fee
    ├── TransactionPending        not mined in the time given
    └── InsufficientFunds         the account cannot pay for gas
"""

from collections.abc import Mapping
from typing import ClassVar


class ProtocolError(Exception):
    """Root of all. `code` is stable, in snake_case, and goes over the wire; the message is for people."""

    default_code: ClassVar[str] = "protocol_error"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class _CodedError(ProtocolError):
    """An error whose class decides its code unless a narrower one is given."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(code if code is not None else self.default_code, message)


class RejectedError(_CodedError):
    default_code = "rejected"


class BadInput(RejectedError):
    default_code = "bad_input"


class DigestMismatch(RejectedError):
    default_code = "digest_mismatch"


class SealBroken(RejectedError):
    default_code = "seal_broken"


class SignatureInvalid(RejectedError):
    default_code = "signature_invalid"


class WrongChain(RejectedError):
    default_code = "wrong_chain"


class NoCode(RejectedError):
    default_code = "no_code"


class UnknownEvent(RejectedError):
    default_code = "unknown_event"


class InvariantBroken(RejectedError):
    """InvariantBroken(expected, actual): `subject` says of what."""

    default_code = "invariant_broken"

    def __init__(self, expected: object, actual: object, *, subject: str = "invariant") -> None:
        super().__init__(f"{subject}: expected {expected}, got {actual}")
        self.subject = subject
        self.expected = expected
        self.actual = actual


class StoreBroken(InvariantBroken):
    default_code = "store_broken"

    def __init__(self, expected: object, actual: object, *, code: str = default_code) -> None:
        super().__init__(expected, actual, subject="store")
        self.code = code


class TransactionReverted(RejectedError):
    """`name` and `arguments` are those of the contract's custom error; `name` is "" where there is none."""

    default_code = "transaction_reverted"

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        arguments: Mapping[str, object] | None = None,
        transaction_hash: bytes | None = None,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.arguments: dict[str, object] = dict(arguments or {})
        self.transaction_hash = transaction_hash


class Expired(RejectedError):
    default_code = "expired"


class LimitExceeded(RejectedError):
    default_code = "limit_exceeded"


class KeyContested(RejectedError):
    default_code = "key_contested"


class RetryableError(_CodedError):
    default_code = "retryable"


class ChainUnavailable(RetryableError):
    default_code = "chain_unavailable"


class AnswerTooLarge(ChainUnavailable):
    default_code = "answer_too_large"


class ChainTimeout(ChainUnavailable):
    default_code = "chain_timeout"


class RpcError(RetryableError):
    """Error code, message and data (of a revert) as the node gave them."""

    default_code = "rpc_error"

    def __init__(self, method: str, rpc_code: int, rpc_message: str, data: object) -> None:
        super().__init__(f"{method}: {rpc_message}")
        self.rpc_code = rpc_code
        self.rpc_message = rpc_message
        self.data = data


class ServiceUnavailable(RetryableError):
    default_code = "service_unavailable"


class StoreUnavailable(RetryableError):
    default_code = "store_unavailable"


class DutyLost(RetryableError):
    default_code = "duty_lost"


class TransactionUnderpriced(RetryableError):
    default_code = "transaction_underpriced"


class TransactionPending(RetryableError):
    default_code = "transaction_pending"


class InsufficientFunds(RetryableError):
    default_code = "insufficient_funds"
