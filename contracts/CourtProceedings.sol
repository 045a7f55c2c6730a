// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CourtBook } from "./CourtBook.sol";
import { CourtJudgement } from "./CourtJudgement.sol";
import { CourtParameters, DisputeKey, Outcome, Phase } from "./interfaces/ICourtBook.sol";
import { ICourtProceedings } from "./interfaces/ICourtProceedings.sol";
import { ILeaseMarket } from "./interfaces/ILeaseMarket.sol";
import { IOracleQuorum } from "./interfaces/IOracleQuorum.sol";
import { IProviderRegistry } from "./interfaces/IProviderRegistry.sol";
import { Terms } from "./libraries/Types.sol";

/// @title How an open dispute goes on and ends
/// @dev Code for ComputeCourt, which delegates to it: at its own address there is nothing to take. Here
/// bisections time out; committees and judgement are inherited.
contract CourtProceedings is CourtJudgement {
    constructor(
        ILeaseMarket market,
        IProviderRegistry registry,
        IOracleQuorum quorum,
        CourtParameters memory parameters
    ) CourtBook(market, registry, quorum, parameters) { }

    /// @inheritdoc ICourtProceedings
    function claimTimeout(DisputeKey calldata key, Terms calldata terms) external override nonReentrant {
        bytes32 disputeId = _idOf(key);
        _requirePhase(disputeId, Phase.BISECTION);
        Bisection memory bisection = _bisections[disputeId];
        uint256 until = bisection.turnSince
            + uint256(bisection.challengersTurn ? bisection.challengerSeconds : bisection.providerSeconds);
        if (block.timestamp < until) revert TooEarly(until, block.timestamp);
        delete _bisections[disputeId];
        if (bisection.challengersTurn) {
            _endStanding(disputeId, key, terms, 0);
        } else {
            _endBreached(disputeId, key, terms, Outcome.WITHHELD, 0);
        }
    }
}
