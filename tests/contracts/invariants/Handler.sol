// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import { GpuAttestation } from "../../../contracts/libraries/Types.sol";
import { Outsiders } from "./Outsiders.sol";
import { Protocol, Shadows } from "./Shadows.sol";

/// @title Everybody who may call, doing what they may do and what they may not
/// @notice A call that ought to succeed and reverts, or ought to revert and succeeds or reverts otherwise, fails the
/// campaign: the handler predicts each from its shadows before it calls. Providers, renters, workers, arbiters, a verifier,
/// a failover's delegate, keepers, the owner and an attacker take part; disputes are fought in the real court; every
/// fourth step's calls are signed and relayed.
contract Handler is Outsiders {
    constructor(Protocol memory protocol, IERC20[] memory tokens_) Shadows(protocol, tokens_) {
        verifier = _account("verifier");
        delegate = _account("delegate");
        sponsor = _account("sponsor");
        _approveAll(KEEPER);
        for (uint256 i = 0; i < ACTORS; ++i) {
            string memory number = vm.toString(i);
            providers.push(_account(string.concat("provider ", number)));
            renters.push(_account(string.concat("renter ", number)));
            workers.push(_account(string.concat("worker ", number)));
            treasuries.push(makeAddr(string.concat("treasury ", number)));
            _approveAll(renters[i]);
            vm.prank(providers[i]);
            STAKE_TOKEN.approve(address(REGISTRY), type(uint256).max);
            _stake(providers[i], 4000e18);
            for (uint256 j = 0; j < UNITS; ++j) {
                units.push(_register(i * UNITS + j));
            }
        }
        for (uint256 i = 0; i < ARBITERS; ++i) {
            arbiters.push(_account(string.concat("arbiter ", vm.toString(i))));
            operators.push(makeAddr(string.concat("operator ", vm.toString(i))));
        }
    }

    /// Once the owner has added the arbiters as the quorum's members, and they are active: bonds, attested units.
    function prepare() external {
        _bondArbiters();
        for (uint256 i = 0; i < units.length; ++i) {
            _attest(i);
        }
    }

    function _keepAttested(bytes32 unitId) internal override {
        if (QUORUM.findingOf(unitId).expiresAt != 0) return;
        _bondArbiters();
        for (uint256 i = 0; i < units.length; ++i) {
            if (units[i] == unitId) _attest(i);
        }
    }

    /// For as long as a finding may hold.
    function _attest(uint256 unit) private {
        GpuAttestation memory attestation = GpuAttestation({
            unitId: units[unit],
            provider: providers[unit / UNITS],
            nodeId: bytes32(unit),
            gpuIds: _gpuIds(unit),
            gpuClass: GPU_CLASS,
            vramMiB: 24_564,
            measuredGops: 1,
            seedBlock: uint64(block.number - 1),
            seedBlockHash: blockhash(block.number - 1),
            reportDigest: 0,
            expiresAt: uint40(_now() + QUORUM.MAX_ATTESTATION_SECONDS())
        });
        QUORUM.recordAttestation(attestation, _quorumSigns(DIGESTS.hashGpuAttestation(attestation)));
    }
}
