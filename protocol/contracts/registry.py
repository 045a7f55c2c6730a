"""ProviderRegistry."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from web3 import Web3

from protocol.calls import Call
from protocol.chain import BlockTag
from protocol.contracts.contract import Contract, PermitSignature
from protocol.structs import Unit
from protocol.units import Address, Seconds, UnitId, Units, UnixTime


@dataclass(frozen=True, slots=True)
class StakeAccount:
    """Base units of the stake token, locked + unbonding <= stake; `unbond_at` zero: nothing unbonds.

    `epoch` is the one in which the provider's offers hold.
    """

    stake_units: Units
    locked_units: Units
    unbonding_units: Units
    unbond_at: UnixTime
    epoch: int


class Registry(Contract):
    """ProviderRegistry."""

    def __init__(self, web3: Web3, address: Address) -> None:
        super().__init__(web3, address, "ProviderRegistry")

    def stake_token(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "STAKE_TOKEN")

    def market(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "MARKET")

    def unbonding_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "UNBONDING_SECONDS")

    def stake_of(self, provider: Address, block: BlockTag = "latest") -> StakeAccount:
        (stake, locked, unbond_at, epoch), unbonding = self._read(block, "stakeOf", provider)
        return StakeAccount(Units(stake), Units(locked), Units(unbonding), UnixTime(unbond_at), epoch)

    def free_stake_of(self, provider: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "freeStakeOf", provider)

    def quorum(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "QUORUM")

    def burned(self, block: BlockTag = "latest") -> Units:
        """Burned in the books and not swept."""
        return self._read(block, "burned")

    def compensation_of(self, account: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "compensationOf", account)

    def unit_of(self, unit_id: bytes, block: BlockTag = "latest") -> tuple[Unit, int]:
        """The unit, all zero where it is unknown, and the mask of its booked hours."""
        return self._read(block, "unitOf", unit_id)

    def worker_of(self, unit_id: bytes, block: BlockTag = "latest") -> Address:
        return self._read(block, "workerOf", unit_id)

    def unit_of_gpu(self, gpu_id: bytes, block: BlockTag = "latest") -> UnitId:
        """Zero where the GPU is in no unit."""
        return self._read(block, "unitOfGpu", gpu_id)

    def units_of(self, unit_ids: Iterable[bytes], block: BlockTag = "latest") -> list[tuple[Unit, int]]:
        """As `unit_of`, in their order."""
        return self._read_each(block, "unitOf", unit_ids)

    def workers_of(self, unit_ids: Iterable[bytes], block: BlockTag = "latest") -> list[Address]:
        return self._read_each(block, "workerOf", unit_ids)

    def units_of_gpus(self, gpu_ids: Iterable[bytes], block: BlockTag = "latest") -> list[UnitId]:
        """As `unit_of_gpu`, in their order."""
        return self._read_each(block, "unitOfGpu", gpu_ids)

    def build_stake(self, amount: int) -> Call:
        return self._build("stake", amount)

    def build_stake_with_permit(self, amount: int, permit: PermitSignature) -> Call:
        return self._build("stakeWithPermit", amount, permit.deadline, permit.v, permit.r, permit.s)

    def build_start_unbonding(self, amount: int) -> Call:
        return self._build("startUnbonding", amount)

    def build_cancel_unbonding(self) -> Call:
        return self._build("cancelUnbonding")

    def build_withdraw_stake(self, to: Address) -> Call:
        return self._build("withdrawStake", to)

    def build_register_unit(self, unit: Unit, gpu_ids: Sequence[bytes]) -> Call:
        return self._build("registerUnit", unit, list(gpu_ids))

    def build_retire_unit(self, unit_id: UnitId, gpu_ids: Sequence[bytes]) -> Call:
        return self._build("retireUnit", unit_id, list(gpu_ids))

    def build_rotate_worker(self, unit_id: UnitId, worker: Address, encryption_key: bytes) -> Call:
        return self._build("rotateWorker", unit_id, worker, encryption_key)

    def build_withdraw_compensation(self, to: Address) -> Call:
        return self._build("withdrawCompensation", to)

    def build_raise_epoch(self) -> Call:
        return self._build("raiseEpoch")

    def build_sweep_burned(self) -> Call:
        return self._build("sweepBurned")
