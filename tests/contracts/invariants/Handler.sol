// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";
import { Vm } from "forge-std/Vm.sol";

import { Digests } from "../../../contracts/Digests.sol";
import { LeaseMarket } from "../../../contracts/LeaseMarket.sol";
import { ProviderRegistry } from "../../../contracts/ProviderRegistry.sol";
import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import {
    CompletionProof,
    LeaseState,
    LeaseStatus,
    NoticeReason,
    Offer,
    OfferKind,
    Terms,
    Unit
} from "../../../contracts/libraries/Types.sol";
import { DevToken } from "../../../contracts/test/DevToken.sol";

/// What a lease should have come to, kept apart from the contracts and fed by their events alone.
struct Shadow {
    Terms terms;
    bytes32 leaseId;
    uint256 deposit;
    uint256 paid;
    uint256 fees;
    uint256 refunded;
    uint256 compensated;
    uint32 settledSeconds;
    uint40 end;
    uint256 owedSeconds;
    LeaseStatus status;
    bool hoursHeld;
    CompletionProof lastProof;
}

/// @title Everybody who may call, doing what they may do and what they may not
/// @notice A call that ought to succeed and reverts, or ought to revert and succeeds, fails the campaign: the handler
/// predicts each from its shadows before it calls.
contract Handler is Test {
    uint256 public constant ACTORS = 3;
    uint256 private constant MAX_LEASES = 64;

    LeaseMarket public immutable MARKET;
    ProviderRegistry public immutable REGISTRY;
    DevToken public immutable STAKE_TOKEN;
    Digests private immutable DIGESTS;
    address private immutable OWNER;
    address public immutable ATTACKER = makeAddr("attacker");

    DevToken[] public tokens;
    address[] public providers;
    address[] public renters;
    address[] public workers;
    address[] public treasuries;
    bytes32[] public units;

    Shadow[] private _shadows;
    mapping(bytes32 leaseId => uint256 indexPlusOne) private _indexOf;
    mapping(address token => mapping(address account => uint256)) public credited;
    mapping(address token => mapping(address account => uint256)) public withdrawn;
    mapping(address account => uint256) public compensated;
    mapping(address account => uint256) public compensationWithdrawn;
    mapping(address provider => uint256) public staked;
    mapping(address provider => uint256) public unbonding;
    mapping(address provider => uint256) public unbondAt;
    mapping(address holder => mapping(address token => uint256)) public donated;
    mapping(string action => uint256) public calls;
    uint256 private _salt;

    constructor(
        LeaseMarket market,
        DevToken stakeToken,
        DevToken[] memory tokens_,
        Digests digests,
        address owner
    ) {
        MARKET = market;
        REGISTRY = ProviderRegistry(address(market.REGISTRY()));
        STAKE_TOKEN = stakeToken;
        DIGESTS = digests;
        OWNER = owner;
        tokens = tokens_;
        for (uint256 i = 0; i < ACTORS; ++i) {
            string memory number = vm.toString(i);
            providers.push(makeAddr(string.concat("provider ", number)));
            renters.push(makeAddr(string.concat("renter ", number)));
            workers.push(makeAddr(string.concat("worker ", number)));
            treasuries.push(makeAddr(string.concat("treasury ", number)));
            // Two units each.
            units.push(_register(i, 2 * i));
            units.push(_register(i, 2 * i + 1));
            for (uint256 j = 0; j < tokens.length; ++j) {
                vm.prank(renters[i]);
                tokens[j].approve(address(market), type(uint256).max);
            }
            vm.prank(providers[i]);
            stakeToken.approve(address(REGISTRY), type(uint256).max);
            _stake(providers[i], 1000e18);
        }
    }

    modifier counted(string memory action) {
        vm.recordLogs();
        _;
        _absorb(vm.getRecordedLogs());
        ++calls[action];
    }

    /// What a reverted call has logged never happened.
    modifier refused(string memory action) {
        _;
        ++calls[action];
    }

    // Providers

    function housekeeping(uint256 seed, uint96 amount) external {
        uint256 who = (seed >> 8) % ACTORS;
        address provider = providers[who];
        uint256 kind = seed % 7;
        if (kind == 0) _stakeMore(provider, uint96(bound(amount, 1, 5000e18)));
        if (kind == 1 && freeStakeOf(provider) != 0) {
            _startUnbonding(provider, uint96(bound(amount, 1, freeStakeOf(provider))));
        }
        if (kind == 2 && unbonding[provider] != 0) _cancelUnbonding(provider);
        if (kind == 3 && unbonding[provider] != 0) {
            if (vm.getBlockTimestamp() < unbondAt[provider]) _withdrawStakeTooEarly(provider);
            else _withdrawStake(provider);
        }
        if (kind == 4) _rotateWorker((seed >> 16) % units.length, workers[who]);
        uint256 unit = (seed >> 16) % units.length;
        if (kind == 5 && bookedHoursOf(units[unit]) == 0) _retireAndRegister(unit);
        if (kind == 6 && _shadows.length != 0) {
            Offer memory offer = _shadows[(seed >> 16) % _shadows.length].terms.offer;
            bytes32 offerHash = DIGESTS.hashOffer(offer);
            if (MARKET.listedBy(offerHash) != address(0)) _unlist(offer.provider, offerHash);
        }
    }

    // Renters

    function open(uint256 seed) external {
        if (_shadows.length == MAX_LEASES) return;
        Terms memory terms = _terms(seed);
        uint168 booked = bookedHoursOf(terms.offer.unitId);
        if (MARKET.scheduledSeconds(terms.weeklyHours, terms.start, terms.end) == 0) _openEmpty(terms);
        else if (booked & terms.weeklyHours != 0) _openBooked(terms, booked);
        else if (freeStakeOf(terms.offer.provider) < terms.offer.bond) _openUnbacked(terms);
        else _open(terms);
    }

    // Workers

    function postProof(uint256 pick, uint256 claim) external {
        (bool found, uint256 index) = _pickOpen(pick);
        if (!found) return;
        Shadow memory shadow = _shadows[index];
        uint256 now_ = vm.getBlockTimestamp();
        if (now_ < shadow.terms.start || now_ > shadow.end + MARKET.PROOF_GRACE_SECONDS()) return;
        LeaseState memory state = MARKET.leaseState(shadow.leaseId);
        uint256 scheduled = _scheduledSoFar(shadow);
        CompletionProof memory proof = CompletionProof({
            leaseId: shadow.leaseId,
            previousProof: state.proofHash,
            // Every other worker claims all it may.
            provenSeconds: uint32(claim % 2 == 0 ? scheduled : bound(claim, _proven(state), scheduled)),
            jobsCompleted: uint32(claim % 100),
            jobsRoot: bytes32(claim),
            availabilityRoot: bytes32(claim),
            energyJoules: uint64(claim)
        });
        if (state.matureOffset != 0 && now_ < shadow.terms.start + state.matureOffset) {
            _postOverPending(shadow, proof);
            return;
        }
        _overclaim(shadow, proof, scheduled, _proven(state));
        _post(index, proof);
    }

    // Anyone

    function settle(uint256 pick, uint256 caller) external {
        (bool found, uint256 index) = _pickOpen(pick);
        if (found) _settle(_shadows[index].terms, _anyone(caller));
    }

    function giveNotice(uint256 pick, bool byProvider) external {
        (bool found, uint256 index) = _pickOpen(pick);
        if (!found || vm.getBlockTimestamp() >= _shadows[index].end) return;
        if (byProvider) _noticeOfProvider(_shadows[index].terms);
        else _noticeOfRenter(_shadows[index].terms);
    }

    function releaseHours(uint256 pick, uint256 caller) external {
        (bool found, uint256 index) = _pickOpen(pick);
        if (!found) return;
        Shadow memory shadow = _shadows[index];
        if (!shadow.hoursHeld || vm.getBlockTimestamp() < shadow.end) return;
        _releaseHours(shadow.terms, _anyone(caller));
    }

    function close(uint256 pick, uint256 caller) external {
        (bool found, uint256 index) = _pickOpen(pick);
        if (!found) return;
        if (closable(index)) _close(_shadows[index].terms, _anyone(caller));
        else _closeTooEarly(_shadows[index].terms, _anyone(caller));
    }

    function withdraw(uint256 who, uint256 which) external {
        address account = _payee(who);
        address token = address(tokens[which % tokens.length]);
        if (credited[token][account] != withdrawn[token][account]) _withdraw(token, account);
        if (compensated[account] != compensationWithdrawn[account]) _withdrawCompensation(account);
    }

    function warp(uint32 duration) external counted("warp") {
        skip(bound(duration, 1, 8 hours));
    }

    /// To the start or the end of a lease, past the last time for its proofs, or past the unbonding of a stake.
    function warpTo(uint256 pick, uint256 which) external {
        (bool found, uint256 index) = _pickOpen(pick);
        uint256 target = unbondAt[providers[pick % ACTORS]];
        if (found && which % 8 < 2) target = _shadows[index].terms.start;
        else if (found && which % 8 < 5) target = _shadows[index].end;
        else if (found && which % 8 < 7) target = _shadows[index].end + MARKET.PROOF_GRACE_SECONDS() + 1;
        if (target > vm.getBlockTimestamp()) skip(target - vm.getBlockTimestamp());
        ++calls["warpTo"];
    }

    /// The owner, whose doings must leave leases and balances as they are; the attacker, who may do nothing at all;
    /// and somebody who gives money away.
    function others(uint256 seed, uint64 amount) external {
        if (seed % 3 == 0) {
            _donate((seed >> 8) % tokens.length, (seed >> 16) % 2 == 0, amount);
            return;
        }
        bytes32 before = everything();
        if (seed % 3 == 1) _ownerActs(seed >> 8);
        else _attack(seed >> 8);
        assertEq(everything(), before, "somebody touched what is not theirs");
    }

    // What the invariants read

    function shadowCount() external view returns (uint256) {
        return _shadows.length;
    }

    function shadowAt(uint256 index) external view returns (Shadow memory) {
        return _shadows[index];
    }

    function closable(uint256 index) public view returns (bool) {
        Shadow memory shadow = _shadows[index];
        LeaseState memory state = MARKET.leaseState(shadow.leaseId);
        uint256 now_ = vm.getBlockTimestamp();
        uint256 settled = state.settledSeconds;
        if (state.matureOffset != 0) {
            if (now_ < shadow.terms.start + state.matureOffset) return false;
            settled = state.pendingSeconds;
        }
        if (now_ > shadow.end + MARKET.PROOF_GRACE_SECONDS()) return true;
        uint256 scheduled = MARKET.scheduledSeconds(shadow.terms.weeklyHours, shadow.terms.start, shadow.end);
        return now_ >= shadow.end && settled == scheduled;
    }

    /// The bonds of a provider's leases that live.
    function lockedOf(address provider) public view returns (uint256 locked) {
        for (uint256 i = 0; i < _shadows.length; ++i) {
            Shadow storage shadow = _shadows[i];
            if (shadow.status == LeaseStatus.OPEN && shadow.terms.offer.provider == provider) {
                locked += shadow.terms.offer.bond;
            }
        }
    }

    function freeStakeOf(address provider) public view returns (uint256) {
        return staked[provider] - lockedOf(provider) - unbonding[provider];
    }

    /// The hours of a unit's leases that hold theirs.
    function bookedHoursOf(bytes32 unitId) public view returns (uint168 booked) {
        for (uint256 i = 0; i < _shadows.length; ++i) {
            Shadow storage shadow = _shadows[i];
            if (shadow.hoursHeld && shadow.terms.offer.unitId == unitId) {
                assertEq(booked & shadow.terms.weeklyHours, 0, "hours booked twice");
                booked |= shadow.terms.weeklyHours;
            }
        }
    }

    /// Everything that belongs to somebody, in one word.
    function everything() public view returns (bytes32 digest) {
        for (uint256 i = 0; i < _shadows.length; ++i) {
            digest = keccak256(abi.encode(digest, MARKET.leaseState(_shadows[i].leaseId)));
        }
        for (uint256 i = 0; i < ACTORS; ++i) {
            (IProviderRegistry.StakeAccount memory account, uint96 leaving) = REGISTRY.stakeOf(providers[i]);
            digest = keccak256(abi.encode(digest, account, leaving, REGISTRY.compensationOf(renters[i])));
            for (uint256 j = 0; j < tokens.length; ++j) {
                digest = keccak256(
                    abi.encode(
                        digest,
                        MARKET.creditOf(address(tokens[j]), providers[i]),
                        MARKET.creditOf(address(tokens[j]), renters[i]),
                        MARKET.creditOf(address(tokens[j]), treasuries[i]),
                        tokens[j].balanceOf(address(MARKET)),
                        tokens[j].balanceOf(address(REGISTRY)),
                        tokens[j].balanceOf(ATTACKER)
                    )
                );
            }
        }
        for (uint256 i = 0; i < units.length; ++i) {
            (Unit memory unit, uint168 booked) = REGISTRY.unitOf(units[i]);
            digest = keccak256(abi.encode(digest, unit, booked));
        }
    }

    // One call each

    function _stake(address provider, uint96 amount) private {
        STAKE_TOKEN.mint(provider, amount);
        vm.prank(provider);
        REGISTRY.stake(amount);
        staked[provider] += amount;
    }

    function _stakeMore(address provider, uint96 amount) private counted("stake") {
        _stake(provider, amount);
    }

    function _startUnbonding(address provider, uint96 amount) private counted("startUnbonding") {
        vm.prank(provider);
        REGISTRY.startUnbonding(amount);
        unbonding[provider] += amount;
        unbondAt[provider] = vm.getBlockTimestamp() + REGISTRY.UNBONDING_SECONDS();
    }

    function _cancelUnbonding(address provider) private counted("cancelUnbonding") {
        vm.prank(provider);
        REGISTRY.cancelUnbonding();
        unbonding[provider] = 0;
    }

    function _withdrawStake(address provider) private counted("withdrawStake") {
        vm.prank(provider);
        uint256 amount = REGISTRY.withdrawStake(provider);
        assertEq(amount, unbonding[provider]);
        staked[provider] -= amount;
        unbonding[provider] = 0;
    }

    function _withdrawStakeTooEarly(address provider) private refused("withdrawStakeTooEarly") {
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.StillUnbonding.selector, unbondAt[provider], vm.getBlockTimestamp()
            )
        );
        vm.prank(provider);
        REGISTRY.withdrawStake(provider);
    }

    function _rotateWorker(uint256 unit, address worker) private counted("rotateWorker") {
        vm.prank(providers[unit / 2]);
        REGISTRY.rotateWorker(units[unit], worker, bytes32(0));
    }

    function _unlist(address provider, bytes32 offerHash) private counted("unlist") {
        vm.prank(provider);
        MARKET.unlist(offerHash);
    }

    function _retireAndRegister(uint256 unit) private counted("retireAndRegister") {
        vm.prank(providers[unit / 2]);
        REGISTRY.retireUnit(units[unit], _gpuIds(unit));
        assertEq(_register(unit / 2, unit), units[unit]);
    }

    function _openBooked(Terms memory terms, uint168 booked) private refused("openBooked") {
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.HoursTaken.selector, terms.offer.unitId, booked, terms.weeklyHours
            )
        );
        vm.prank(terms.renter);
        MARKET.open(terms);
    }

    function _openEmpty(Terms memory terms) private refused("openEmpty") {
        vm.expectRevert(ILeaseMarket.NothingScheduled.selector);
        vm.prank(terms.renter);
        MARKET.open(terms);
    }

    function _openUnbacked(Terms memory terms) private refused("openUnbacked") {
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.InsufficientFreeStake.selector,
                terms.offer.bond,
                freeStakeOf(terms.offer.provider)
            )
        );
        vm.prank(terms.renter);
        MARKET.open(terms);
    }

    function _open(Terms memory terms) private counted("open") {
        vm.prank(terms.renter);
        MARKET.open(terms);
    }

    function _postOverPending(Shadow memory shadow, CompletionProof memory proof)
        private
        refused("postOverPending")
    {
        LeaseState memory state = MARKET.leaseState(shadow.leaseId);
        address worker = REGISTRY.workerOf(shadow.terms.offer.unitId);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILeaseMarket.ProofPending.selector,
                shadow.terms.start + state.matureOffset,
                vm.getBlockTimestamp()
            )
        );
        vm.prank(worker);
        MARKET.postProof(shadow.terms, proof);
    }

    function _overclaim(Shadow memory shadow, CompletionProof memory proof, uint256 scheduled, uint32 proven)
        private
        refused("overclaim")
    {
        address worker = REGISTRY.workerOf(shadow.terms.offer.unitId);
        uint32 honest = proof.provenSeconds;
        proof.provenSeconds = uint32(scheduled) + 1;
        vm.expectRevert(
            abi.encodeWithSelector(
                ILeaseMarket.ProvenSecondsOutOfRange.selector, proven, scheduled, proof.provenSeconds
            )
        );
        vm.prank(worker);
        MARKET.postProof(shadow.terms, proof);
        proof.provenSeconds = honest;
    }

    function _post(uint256 index, CompletionProof memory proof) private counted("postProof") {
        vm.prank(REGISTRY.workerOf(_shadows[index].terms.offer.unitId));
        MARKET.postProof(_shadows[index].terms, proof);
        _shadows[index].lastProof = proof;
    }

    function _settle(Terms memory terms, address caller) private counted("settle") {
        vm.prank(caller);
        MARKET.settle(terms);
    }

    function _noticeOfProvider(Terms memory terms) private counted("noticeOfProvider") {
        vm.prank(terms.offer.provider);
        MARKET.giveNotice(terms, NoticeReason.OWNER_RETURNS, bytes32(0));
    }

    function _noticeOfRenter(Terms memory terms) private counted("noticeOfRenter") {
        vm.prank(terms.renter);
        MARKET.giveNotice(terms, NoticeReason.WORK_DONE, bytes32(0));
    }

    function _releaseHours(Terms memory terms, address caller) private counted("releaseHours") {
        vm.prank(caller);
        MARKET.releaseHours(terms);
    }

    function _close(Terms memory terms, address caller) private counted("close") {
        vm.prank(caller);
        MARKET.close(terms);
    }

    function _closeTooEarly(Terms memory terms, address caller) private refused("closeTooEarly") {
        vm.prank(caller);
        (bool ok,) = address(MARKET).call(abi.encodeCall(MARKET.close, (terms)));
        assertFalse(ok, "closed too early");
    }

    function _withdraw(address token, address account) private counted("withdraw") {
        uint256 due = credited[token][account] - withdrawn[token][account];
        vm.prank(account);
        assertEq(MARKET.withdraw(token, account), due);
        withdrawn[token][account] += due;
    }

    function _withdrawCompensation(address renter) private counted("withdrawCompensation") {
        uint256 due = compensated[renter] - compensationWithdrawn[renter];
        vm.prank(renter);
        assertEq(REGISTRY.withdrawCompensation(renter), due);
        compensationWithdrawn[renter] += due;
    }

    function _donate(uint256 which, bool toRegistry, uint64 amount) private counted("donate") {
        address holder = toRegistry ? address(REGISTRY) : address(MARKET);
        tokens[which].mint(holder, amount);
        donated[holder][address(tokens[which])] += amount;
    }

    function _ownerActs(uint256 seed) private counted("ownerActs") {
        vm.startPrank(OWNER);
        MARKET.setFee(uint16(seed % (MARKET.MAX_FEE_BPS() + 1)));
        MARKET.setTreasury(treasuries[seed % ACTORS]);
        DevToken token = tokens[seed % tokens.length];
        MARKET.allowToken(address(token), false);
        MARKET.allowToken(address(token), true);
        vm.stopPrank();
    }

    function _attack(uint256 seed) private refused("attack") {
        vm.startPrank(ATTACKER);
        _attackOwner();
        _attackRegistry(seed);
        if (_shadows.length != 0) _attackLease(_shadows[seed % _shadows.length]);
        vm.stopPrank();
    }

    function _attackOwner() private {
        _mustFail(address(MARKET), abi.encodeCall(MARKET.setFee, (0)));
        _mustFail(address(MARKET), abi.encodeCall(MARKET.setTreasury, (ATTACKER)));
        _mustFail(address(MARKET), abi.encodeCall(MARKET.allowToken, (ATTACKER, true)));
        _mustFail(address(MARKET), abi.encodeCall(MARKET.transferOwnership, (ATTACKER)));
        _mustFail(address(MARKET), abi.encodeCall(MARKET.acceptOwnership, ()));
    }

    function _attackRegistry(uint256 seed) private {
        uint256 unit = seed % units.length;
        Offer memory offer;
        (offer.unitId, offer.provider) = (units[unit], providers[unit / 2]);
        _mustFail(address(REGISTRY), abi.encodeCall(REGISTRY.lock, (offer, 1)));
        _mustFail(address(REGISTRY), abi.encodeCall(REGISTRY.releaseHours, (units[unit], type(uint168).max)));
        _mustFail(
            address(REGISTRY), abi.encodeCall(REGISTRY.releaseBond, (providers[unit / 2], ATTACKER, 0, 1))
        );
        _mustFail(address(REGISTRY), abi.encodeCall(REGISTRY.rotateWorker, (units[unit], ATTACKER, 0)));
        _mustFail(address(REGISTRY), abi.encodeCall(REGISTRY.retireUnit, (units[unit], _gpuIds(unit))));
        _mustFail(address(REGISTRY), abi.encodeCall(REGISTRY.startUnbonding, (1)));
        _mustFail(address(REGISTRY), abi.encodeCall(REGISTRY.withdrawStake, (ATTACKER)));
        _mustFail(address(REGISTRY), abi.encodeCall(REGISTRY.withdrawCompensation, (ATTACKER)));
        _mustFail(
            address(MARKET),
            abi.encodeCall(MARKET.withdraw, (address(tokens[seed % tokens.length]), ATTACKER))
        );
    }

    function _attackLease(Shadow memory shadow) private {
        Terms memory terms = shadow.terms;
        _mustFail(address(MARKET), abi.encodeCall(MARKET.open, (terms)));
        _mustFail(address(MARKET), abi.encodeCall(MARKET.list, (terms.offer)));
        _mustFail(
            address(MARKET), abi.encodeCall(MARKET.giveNotice, (terms, NoticeReason.UNSPECIFIED, bytes32(0)))
        );
        _mustFail(address(MARKET), abi.encodeCall(MARKET.postProof, (terms, shadow.lastProof)));
        if (shadow.status == LeaseStatus.CLOSED) {
            _mustFail(address(MARKET), abi.encodeCall(MARKET.settle, (terms)));
            _mustFail(address(MARKET), abi.encodeCall(MARKET.close, (terms)));
            _mustFail(address(MARKET), abi.encodeCall(MARKET.releaseHours, (terms)));
        }
        _replay(shadow);
    }

    /// The renter opens the same terms once more, the worker posts the same proof once more.
    function _replay(Shadow memory shadow) private {
        vm.startPrank(shadow.terms.renter);
        _mustFail(address(MARKET), abi.encodeCall(MARKET.open, (shadow.terms)));
        if (shadow.lastProof.leaseId != 0) {
            vm.startPrank(REGISTRY.workerOf(shadow.terms.offer.unitId));
            _mustFail(address(MARKET), abi.encodeCall(MARKET.postProof, (shadow.terms, shadow.lastProof)));
        }
        vm.startPrank(ATTACKER);
    }

    function _mustFail(address target, bytes memory call_) private {
        (bool ok,) = target.call(call_);
        assertFalse(ok, "an attack succeeded");
    }

    // Shadows follow the events

    function _absorb(Vm.Log[] memory logs) private {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(MARKET)) continue;
            bytes32 topic = logs[i].topics[0];
            if (topic == ILeaseMarket.LeaseOpened.selector) _onOpened(logs[i]);
            else if (topic == ILeaseMarket.Settled.selector) _onSettled(logs[i]);
            else if (topic == ILeaseMarket.NoticeGiven.selector) _onNotice(logs[i]);
            else if (topic == ILeaseMarket.HoursReleased.selector) _shadowOf(logs[i]).hoursHeld = false;
            else if (topic == ILeaseMarket.LeaseClosed.selector) _onClosed(logs[i]);
        }
    }

    function _onOpened(Vm.Log memory entry) private {
        (Terms memory terms, uint96 deposit) = abi.decode(entry.data, (Terms, uint96));
        assertEq(_indexOf[entry.topics[1]], 0, "a lease opened twice");
        Shadow storage shadow = _shadows.push();
        _indexOf[entry.topics[1]] = _shadows.length;
        shadow.terms = terms;
        shadow.leaseId = entry.topics[1];
        shadow.deposit = deposit;
        shadow.end = terms.end;
        shadow.owedSeconds = MARKET.scheduledSeconds(terms.weeklyHours, terms.start, terms.end);
        shadow.status = LeaseStatus.OPEN;
        shadow.hoursHeld = true;
    }

    function _onSettled(Vm.Log memory entry) private {
        Shadow storage shadow = _shadowOf(entry);
        (uint32 settled, uint96 pay, uint96 fee) = abi.decode(entry.data, (uint32, uint96, uint96));
        assertEq(uint8(shadow.status), uint8(LeaseStatus.OPEN), "settled when not open");
        assertGe(settled, shadow.settledSeconds, "settled seconds went back");
        shadow.settledSeconds = settled;
        shadow.paid += pay;
        shadow.fees += fee;
        address token = shadow.terms.offer.token;
        credited[token][shadow.terms.offer.provider] += pay;
        credited[token][MARKET.treasury()] += fee;
        if (pay != 0) ++calls["settledWithPay"];
        if (fee != 0) ++calls["settledWithFee"];
    }

    function _onNotice(Vm.Log memory entry) private {
        Shadow storage shadow = _shadowOf(entry);
        (uint40 end,,,) = abi.decode(entry.data, (uint40, uint32, NoticeReason, bytes32));
        assertLe(end, shadow.end, "notice moved the end away");
        bool byProvider = address(uint160(uint256(entry.topics[2]))) == shadow.terms.offer.provider;
        uint256 cut = MARKET.scheduledSeconds(shadow.terms.weeklyHours, end, shadow.end);
        // Only what the renter cut off is owed no longer.
        if (!byProvider) shadow.owedSeconds -= cut;
        if (cut != 0) ++calls[byProvider ? "cutByProvider" : "cutByRenter"];
        if (end == shadow.terms.start) ++calls["cancelledBeforeStart"];
        shadow.end = end;
    }

    function _onClosed(Vm.Log memory entry) private {
        Shadow storage shadow = _shadowOf(entry);
        (uint32 settled, uint96 refund, uint96 compensation) =
            abi.decode(entry.data, (uint32, uint96, uint96));
        assertEq(uint8(shadow.status), uint8(LeaseStatus.OPEN), "closed twice");
        assertEq(settled, shadow.settledSeconds, "closed with other seconds than settled");
        shadow.status = LeaseStatus.CLOSED;
        shadow.hoursHeld = false;
        shadow.refunded = refund;
        shadow.compensated = compensation;
        credited[shadow.terms.offer.token][shadow.terms.renter] += refund;
        compensated[shadow.terms.renter] += compensation;
        staked[shadow.terms.offer.provider] -= compensation;
        if (shadow.paid != 0) ++calls["closedWithPay"];
        if (refund != 0 && shadow.paid != 0) ++calls["closedWithPayAndRefund"];
        if (compensation != 0) ++calls["closedWithCompensation"];
        if (settled == shadow.owedSeconds) ++calls["closedInFull"];
    }

    function _shadowOf(Vm.Log memory entry) private view returns (Shadow storage) {
        return _shadows[_indexOf[entry.topics[1]] - 1];
    }

    // Picks

    function _terms(uint256 seed) private returns (Terms memory terms) {
        uint256 unit = seed % units.length;
        uint168[5] memory masks = [
            type(uint168).max, 0x00ff, 0xff00, uint168(seed >> 32), 0xff0000ff0000ff0000ff0000ff0000ff0000ff
        ];
        uint168 offered = masks[(seed >> 8) % 5];
        uint40 duration = uint40(bound(seed >> 24, 1, 3 days));
        Offer memory offer = Offer({
            provider: providers[unit / 2],
            unitId: units[unit],
            gpuClass: "RTX 4090",
            gpuCount: 2,
            token: address(tokens[(seed >> 16) % tokens.length]),
            pricePerHour: uint96(seed >> 80) % 1e20,
            kind: OfferKind((seed >> 20) % 2),
            weeklyHours: offered,
            minSeconds: uint32((seed >> 28) % duration),
            maxSeconds: 3 days,
            noticeSeconds: uint32((seed >> 56) % 12 hours),
            bond: uint96(seed >> 96) % 800e18,
            validUntil: type(uint40).max,
            salt: ++_salt
        });
        vm.prank(offer.provider);
        MARKET.list(offer);
        uint40 start = uint40(vm.getBlockTimestamp() + ((seed >> 40) % 2 == 0 ? 0 : (seed >> 48) % 1 days));
        terms.offer = offer;
        terms.renter = renters[(seed >> 4) % ACTORS];
        terms.start = start;
        terms.end = start + duration;
        terms.maxEnd = start + duration;
        terms.weeklyHours = (seed >> 44) % 3 == 0 ? offered & uint168(seed >> 64) : offered;
        terms.feeBps = MARKET.feeBps();
        tokens[(seed >> 16) % tokens.length].mint(terms.renter, 1e22);
    }

    function _pickOpen(uint256 pick) private view returns (bool, uint256) {
        uint256 count = _shadows.length;
        for (uint256 i = 0; i < count; ++i) {
            uint256 index = (pick % count + i) % count;
            if (_shadows[index].status == LeaseStatus.OPEN) return (true, index);
        }
        return (false, 0);
    }

    function _anyone(uint256 caller) private view returns (address) {
        address[5] memory callers = [ATTACKER, OWNER, renters[0], providers[0], workers[0]];
        return callers[caller % 5];
    }

    function _payee(uint256 who) private view returns (address) {
        if (who % 3 == 0) return providers[who / 3 % ACTORS];
        if (who % 3 == 1) return renters[who / 3 % ACTORS];
        return treasuries[who / 3 % ACTORS];
    }

    /// Settled, or what will be before the next proof is posted.
    function _proven(LeaseState memory state) private pure returns (uint32) {
        return state.matureOffset == 0 ? state.settledSeconds : state.pendingSeconds;
    }

    function _scheduledSoFar(Shadow memory shadow) private view returns (uint256) {
        uint256 now_ = vm.getBlockTimestamp();
        uint40 until = now_ < shadow.end ? uint40(now_) : shadow.end;
        return MARKET.scheduledSeconds(shadow.terms.weeklyHours, shadow.terms.start, until);
    }

    function _register(uint256 provider, uint256 unit) private returns (bytes32) {
        vm.prank(providers[provider]);
        return REGISTRY.registerUnit(
            Unit({
                provider: providers[provider],
                worker: workers[provider],
                encryptionKey: 0,
                nodeId: bytes32(unit),
                gpuClass: "RTX 4090",
                gpuCount: 2,
                vramMiB: 24_564
            }),
            _gpuIds(unit)
        );
    }

    function _gpuIds(uint256 unit) private pure returns (bytes32[] memory ids) {
        ids = new bytes32[](2);
        (ids[0], ids[1]) = (bytes32(2 * unit + 1), bytes32(2 * unit + 2));
    }
}
