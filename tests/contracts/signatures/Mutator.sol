// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { RelayBase } from "./RelayBase.sol";

/// @title Signatures that look like a genuine one and are not
abstract contract Mutator is RelayBase {
    struct Domain {
        string name;
        string version;
        uint256 chainId;
        address verifyingContract;
    }

    /// Of a kind's tries in one run: 256 runs make more than ten thousand.
    uint256 internal constant TRIES = 40;
    uint256 private constant KINDS = 19;
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function separatorOf(Domain memory domain) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256(bytes(domain.name)),
                keccak256(bytes(domain.version)),
                domain.chainId,
                domain.verifyingContract
            )
        );
    }

    function marketDomain() internal view returns (Domain memory) {
        return Domain("GPGPU", "1", block.chainid, address(market));
    }

    function signIn(Domain memory domain, uint256 key, bytes32 structHash)
        internal
        pure
        returns (bytes memory)
    {
        return signDigest(key, keccak256(abi.encodePacked(hex"1901", separatorOf(domain), structHash)));
    }

    function signDigest(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// One of another chain, contract, struct or signer, or with bits, length or encoding changed; never empty.
    function mutated(Domain memory domain, uint256 key, bytes32 structHash, uint256 seed)
        internal
        view
        returns (bytes memory)
    {
        uint256 kind = seed % KINDS;
        uint256 noise = uint256(keccak256(abi.encode(seed)));
        if (kind < 9) return _signedOtherwise(domain, key, structHash, kind, noise);
        return _spoilt(signIn(domain, key, structHash), kind, noise);
    }

    /// As `mutated`, of 65 bytes.
    function mutatedWhole(Domain memory domain, uint256 key, bytes32 structHash, uint256 seed)
        internal
        view
        returns (bytes memory signature)
    {
        while (true) {
            signature = mutated(domain, key, structHash, seed);
            if (signature.length == 65) return signature;
            seed = uint256(keccak256(abi.encode(seed)));
        }
    }

    function _signedOtherwise(
        Domain memory domain,
        uint256 key,
        bytes32 structHash,
        uint256 kind,
        uint256 noise
    ) private view returns (bytes memory) {
        if (kind == 0) {
            domain.chainId = _other(domain.chainId, noise);
        } else if (kind == 1) {
            domain.verifyingContract = address(uint160(noise));
        } else if (kind == 2) {
            domain.verifyingContract = address(registry);
        } else if (kind == 3) {
            domain.version = "2";
        } else if (kind == 4) {
            domain.name = "GPGPU ";
        } else if (kind == 5) {
            key = bound(noise, 1, ORDER - 1);
        } else if (kind == 6) {
            structHash = bytes32(uint256(structHash) ^ (uint256(1) << (noise % 256)));
        } else if (kind == 7) {
            return signDigest(key, structHash);
        }
        // What a wallet makes of a message that is no typed data.
        else {
            return signDigest(key, _personal(domain, structHash));
        }
        return signIn(domain, key, structHash);
    }

    function _spoilt(bytes memory signature, uint256 kind, uint256 noise)
        private
        pure
        returns (bytes memory)
    {
        (bytes32 r, bytes32 s, uint8 v) = partsOf(signature);
        bytes32 highS = bytes32(ORDER - uint256(s));
        // The same point, the other way round: what a forger of second signatures would use.
        if (kind == 9) return abi.encodePacked(r, highS, v ^ 7);
        if (kind == 10) return abi.encodePacked(r, highS, v);
        if (kind == 11) return abi.encodePacked(bytes32(0), s, v);
        if (kind == 12) return abi.encodePacked(r, bytes32(0), v);
        if (kind == 13) return abi.encodePacked(r, s, uint8(_other(v, noise & 0xff)));
        if (kind == 14) return abi.encodePacked(r, s, v - 27);
        if (kind == 15) return _cut(signature, bound(noise, 1, 64));
        if (kind == 16) return abi.encodePacked(signature, bytes32(noise));
        if (kind == 17) return abi.encodePacked(r, uint256(s) | (uint256(v - 27) << 255));
        signature[noise % 64] ^= bytes1(uint8(1 << ((noise >> 8) % 8)));
        return signature;
    }

    function partsOf(bytes memory signature) internal pure returns (bytes32 r, bytes32 s, uint8 v) {
        (r, s) = abi.decode(signature, (bytes32, bytes32));
        v = uint8(signature[64]);
    }

    function _personal(Domain memory domain, bytes32 structHash) private pure returns (bytes32) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", separatorOf(domain), structHash));
        return keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", digest));
    }

    function _cut(bytes memory signature, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            part[i] = signature[i];
        }
    }

    function _other(uint256 value, uint256 noise) private pure returns (uint256) {
        return noise == value ? noise ^ 1 : noise;
    }
}
