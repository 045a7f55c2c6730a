// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { LeaseTerms, Terms } from "../../../contracts/libraries/Types.sol";
import { QuorumBase } from "./QuorumBase.sol";

/// @title Leases of one gang: the first is of the provider's unit, the others of the next provider's
abstract contract GangBase is QuorumBase {
    /// Names the gang in all of them; offers are listed.
    function gangOf(uint256 count) internal returns (Terms[] memory gang) {
        gang = new Terms[](count);
        for (uint256 i = 0; i < count; ++i) {
            gang[i] = currentTerms();
            gang[i].offer.salt = i;
            gang[i].offer.bond = 10e18;
            if (i != 0) {
                string memory host = vm.toString(i);
                gang[i].offer.provider = NEXT_PROVIDER;
                gang[i].offer.unitId =
                    registerUnitAs(NEXT_PROVIDER, NEXT_WORKER, bytes32(bytes(host)), gpuIdsOf(host, 2));
            }
            listOffer(gang[i].offer);
        }
        nameGang(gang);
    }

    function nameGang(Terms[] memory gang) internal view {
        bytes32 gangId = gangIdOf(gang);
        for (uint256 i = 0; i < gang.length; ++i) {
            gang[i].gangId = gangId;
        }
    }

    function gangIdOf(Terms[] memory gang) internal view returns (bytes32) {
        bytes32[] memory offerHashes = new bytes32[](gang.length);
        for (uint256 i = 0; i < gang.length; ++i) {
            offerHashes[i] = digests.hashOffer(gang[i].offer);
        }
        LeaseTerms memory first = leaseTermsOf(gang[0]);
        first.gangId = 0;
        return keccak256(abi.encode(offerHashes, gang[0].renter, first));
    }

    /// All are listed: nobody need sign.
    function openGang(Terms[] memory gang) internal returns (bytes32[] memory) {
        vm.prank(RENTER);
        return succession.openGang(gang, new bytes[](gang.length));
    }
}
