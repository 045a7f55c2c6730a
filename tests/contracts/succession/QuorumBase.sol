// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { QuorumSignature } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { FailureProof } from "../../../contracts/interfaces/ILeaseSuccession.sol";
import { GpuAttestation, Outage, Terms, Yield } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

/// @title The protocol with a quorum of three bonded members, of whom two decide
abstract contract QuorumBase is Base {
    address internal immutable DELEGATE = makeAddr("delegate");
    address internal immutable NEXT_PROVIDER;
    uint256 internal immutable NEXT_PROVIDER_KEY;
    address internal immutable NEXT_WORKER;
    uint256 internal immutable NEXT_WORKER_KEY;

    uint256[3] internal memberKeys;
    bytes32 internal nextUnitId;

    constructor() {
        (NEXT_PROVIDER, NEXT_PROVIDER_KEY) = makeAddrAndKey("next provider");
        (NEXT_WORKER, NEXT_WORKER_KEY) = makeAddrAndKey("next worker");
    }

    function setUp() public virtual override {
        super.setUp();
        vm.roll(1000);
        stakeToken.mint(address(this), 3 * MEMBER_BOND);
        stakeToken.approve(address(quorum), 3 * MEMBER_BOND);
        for (uint256 i = 0; i < 3; ++i) {
            (address signer, uint256 key) = makeAddrAndKey(string.concat("member ", vm.toString(i)));
            memberKeys[i] = key;
            vm.prank(OWNER);
            uint8 member = quorum.addMember(signer, makeAddr("operator"));
            assertEq(member, i);
            quorum.depositBond(member, MEMBER_BOND);
        }
        skip(ROTATION_SECONDS);
        vm.prank(OWNER);
        quorum.setThreshold(2);
        skip(ROTATION_SECONDS);

        stakeAs(NEXT_PROVIDER, STAKE);
        nextUnitId = registerUnitAs(NEXT_PROVIDER, NEXT_WORKER, "next node", gpuIdsOf("next", 2));
        attest(NEXT_PROVIDER, "next node", gpuIdsOf("next", 2), "RTX 4090");
    }

    /// As the default ones, ten hours from now on.
    function currentTerms() internal view returns (Terms memory terms) {
        terms = defaultTerms();
        terms.offer.validUntil = uint40(vm.getBlockTimestamp()) + 2 days;
    }

    /// Two members' finding, good for a week.
    function attest(address provider, bytes32 nodeId, bytes32[] memory gpuIds, bytes32 gpuClass) internal {
        uint64 seedBlock = uint64(vm.getBlockNumber() - 1);
        GpuAttestation memory attestation = GpuAttestation({
            unitId: keccak256(abi.encode(provider, nodeId, gpuIds)),
            provider: provider,
            nodeId: nodeId,
            gpuIds: gpuIds,
            gpuClass: gpuClass,
            vramMiB: 24_564,
            measuredGops: 80_000,
            seedBlock: seedBlock,
            seedBlockHash: blockhash(seedBlock),
            reportDigest: keccak256("report"),
            expiresAt: uint40(vm.getBlockTimestamp()) + 7 days
        });
        quorum.recordAttestation(attestation, quorumSigns(digests.hashGpuAttestation(attestation)));
    }

    /// By members 0 and 2.
    function quorumSigns(bytes32 structHash) internal view returns (QuorumSignature[] memory signatures) {
        signatures = new QuorumSignature[](2);
        signatures[0] = memberSigns(0, structHash);
        signatures[1] = memberSigns(2, structHash);
    }

    function memberSigns(uint8 member, bytes32 structHash) internal view returns (QuorumSignature memory) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", quorum.domainSeparator(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(memberKeys[member], digest);
        return QuorumSignature(member, abi.encodePacked(r, s, v));
    }

    function noProof() internal pure returns (FailureProof memory failure) { }

    function yieldProof(bytes32 leaseId, uint256 since) internal view returns (FailureProof memory failure) {
        failure.yielded = Yield(leaseId, uint40(since));
        failure.workerSignature = signAs(WORKER_KEY, digests.hashYield(failure.yielded));
    }

    function outageProof(bytes32 leaseId, uint256 since) internal view returns (FailureProof memory failure) {
        failure.outage = Outage(leaseId, uint40(since));
        failure.quorumSignatures = quorumSigns(digests.hashOutage(failure.outage));
    }
}
