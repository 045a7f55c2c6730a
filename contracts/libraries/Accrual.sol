// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a lease's seconds cost, earn and owe, in base units of a token
/// @notice Rounded against the claimant. tests/contracts/symbolic proves what is said here for all inputs.
library Accrual {
    uint256 internal constant BPS = 10_000;

    /// ceil(price x scheduled / 3600): the end is always funded.
    function deposit(uint96 pricePerHour, uint32 scheduledSeconds) internal pure returns (uint256) {
        // 96 and 32 bits.
        unchecked {
            return (uint256(pricePerHour) * scheduledSeconds + (1 hours - 1)) / 1 hours;
        }
    }

    /// Pay and fee together for so many proven seconds since the start, rounded down: no more than the deposit.
    function gross(uint96 pricePerHour, uint32 provenSeconds) internal pure returns (uint256) {
        // 96 and 32 bits.
        unchecked {
            return uint256(pricePerHour) * provenSeconds / 1 hours;
        }
    }

    /// The treasury's part of a gross pay, rounded down.
    function fee(uint256 grossPay, uint16 feeBps) internal pure returns (uint256) {
        // What `gross` returns has 117 bits.
        unchecked {
            return grossPay * feeBps / BPS;
        }
    }

    /// What one settlement pays: differences of cumulative amounts, so that many settlements equal one.
    function split(uint256 grossBefore, uint256 grossNow, uint16 feeBps)
        internal
        pure
        returns (uint256 pay, uint256 fee_)
    {
        fee_ = fee(grossNow, feeBps) - fee(grossBefore, feeBps);
        pay = grossNow - grossBefore - fee_;
    }

    /// Of the bond, the share that the seconds not served have in those owed: no more than the bond.
    function compensation(uint96 bond, uint32 owedSeconds, uint32 unservedSeconds)
        internal
        pure
        returns (uint256)
    {
        // 96 and 32 bits; nothing owed divides by zero and reverts.
        unchecked {
            return uint256(bond) * unservedSeconds / owedSeconds;
        }
    }
}
