// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";

import { Accrual } from "../../../contracts/libraries/Accrual.sol";

/// @title How a lease's money is rounded, for all prices, seconds and fees
/// @notice An assumption beside the name of a check is an instance of what that check proves.
contract AccrualIntegers is Test {
    uint256 private constant MAX_FEE_BPS = 300;

    function check_ProductsAreMonotone(uint128 a, uint128 b, uint128 c) external pure {
        vm.assume(b <= c);
        unchecked {
            assert(uint256(a) * b <= uint256(a) * c);
        }
    }

    function check_ProductsFit(uint128 a, uint16 b) external pure {
        unchecked {
            assert(uint256(a) * b < 1 << 144);
        }
    }

    function check_ProductsOfAStep(uint128 before, uint128 later, uint16 feeBps) external pure {
        vm.assume(before <= later);
        unchecked {
            uint256 earned = uint256(later) - before;
            uint256 added = uint256(later) * feeBps - uint256(before) * feeBps;
            vm.assume(earned * feeBps == added); // check_ProductsDistribute
            vm.assume(earned * feeBps <= earned * Accrual.BPS); // check_ProductsAreMonotone
            assert(added <= earned * Accrual.BPS);
        }
    }

    function check_QuotientsAreMonotone(uint160 a, uint160 b) external pure {
        vm.assume(a <= b);
        assert(a / Accrual.BPS <= b / Accrual.BPS);
    }

    function check_QuotientOfASum(uint160 a, uint128 b) external pure {
        unchecked {
            assert((a + b * Accrual.BPS) / Accrual.BPS == a / Accrual.BPS + b);
        }
    }

    function check_DepositIsCeiling(uint96 price, uint32 scheduled) external pure {
        unchecked {
            uint256 cost = uint256(price) * scheduled;
            uint256 funded = Accrual.deposit(price, scheduled) * 3600;
            assert(funded >= cost);
            assert(funded < cost + 3600);
        }
    }

    function check_GrossIsFloor(uint96 price, uint32 proven) external pure {
        unchecked {
            uint256 earned = uint256(price) * proven;
            uint256 paid = Accrual.gross(price, proven) * 3600;
            assert(paid <= earned);
            assert(paid + 3600 > earned);
        }
    }

    function check_GrossIsMonotone(uint96 price, uint32 settled, uint32 later) external pure {
        vm.assume(settled <= later);
        assert(Accrual.gross(price, settled) <= Accrual.gross(price, later));
    }

    /// With check_GrossIsMonotone: what is settled, no more than what was scheduled, was deposited.
    function check_EndIsFunded(uint96 price, uint32 scheduled) external pure {
        assert(Accrual.gross(price, scheduled) <= Accrual.deposit(price, scheduled));
    }

    function check_FeeIsCapped(uint128 gross, uint16 feeBps) external pure {
        vm.assume(feeBps <= MAX_FEE_BPS);
        unchecked {
            uint256 cap = uint256(gross) * MAX_FEE_BPS;
            vm.assume(uint256(gross) * feeBps <= cap); // check_ProductsAreMonotone
            assert(Accrual.fee(gross, feeBps) * Accrual.BPS <= cap);
        }
    }

    /// The share of the bond is the floor of the exact one, and never more than the bond.
    function check_CompensationIsAtMostTheBond(uint96 bond, uint32 owed, uint32 unserved) external pure {
        vm.assume(owed != 0);
        vm.assume(unserved <= owed);
        unchecked {
            uint256 share = Accrual.compensation(bond, owed, unserved);
            // Both check_ProductsAreMonotone.
            vm.assume(uint256(bond) * unserved <= uint256(bond) * owed);
            vm.assume(share <= bond || uint256(owed) * (uint256(bond) + 1) <= owed * share);
            assert(share <= bond);
        }
    }
}

contract AccrualBits is Test {
    function check_ProductsDistribute(uint256 a, uint256 b, uint256 c) external pure {
        unchecked {
            assert((a + b) * c == a * c + b * c);
        }
    }

    /// The fee of a settlement is neither negative nor more than what the settlement earned.
    function check_FeeOfAStep(uint128 before, uint128 later, uint16 feeBps) external pure {
        vm.assume(before <= later && feeBps <= Accrual.BPS);
        unchecked {
            uint256 earned = later - before;
            uint256 product = uint256(before) * feeBps;
            uint256 productLater = uint256(later) * feeBps;
            uint256 bound = product + earned * Accrual.BPS;
            vm.assume(product < 1 << 144); // check_ProductsFit
            vm.assume(product <= productLater); // check_ProductsAreMonotone
            vm.assume(productLater - product <= earned * Accrual.BPS); // check_ProductsOfAStep
            assert(productLater <= bound);
            // check_QuotientsAreMonotone, twice, and check_QuotientOfASum
            vm.assume(product / Accrual.BPS <= productLater / Accrual.BPS);
            vm.assume(productLater / Accrual.BPS <= bound / Accrual.BPS);
            vm.assume(bound / Accrual.BPS == product / Accrual.BPS + earned);
            uint256 feeBefore = Accrual.fee(before, feeBps);
            uint256 feeLater = Accrual.fee(later, feeBps);
            assert(feeBefore <= feeLater);
            assert(feeLater - feeBefore <= earned);
        }
    }

    /// Pay and fee are all that a settlement earned.
    function check_SplitIsAllThatIsEarned(uint128 before, uint128 later, uint16 feeBps) external pure {
        unchecked {
            uint256 fee = Accrual.fee(later, feeBps) - Accrual.fee(before, feeBps);
            vm.assume(before <= later); // check_GrossIsMonotone
            vm.assume(Accrual.fee(before, feeBps) <= Accrual.fee(later, feeBps)); // check_FeeOfAStep
            vm.assume(fee <= later - before); // check_FeeOfAStep
            (uint256 pay, uint256 taken) = Accrual.split(before, later, feeBps);
            assert(taken == fee);
            assert(pay == later - before - fee);
        }
    }
}
