// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A token that says false, or says nothing, or lies that it moved
contract LyingToken {
    enum Answer {
        TRUE_AND_MOVES,
        NOTHING_AND_MOVES,
        FALSE_AND_STAYS,
        TRUE_AND_STAYS
    }

    Answer public answer;
    mapping(address account => uint256) public balanceOf;

    function setAnswer(Answer answer_) external {
        answer = answer_;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        return _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        if (answer == Answer.TRUE_AND_MOVES || answer == Answer.NOTHING_AND_MOVES) {
            balanceOf[from] -= amount;
            balanceOf[to] += amount;
        }
        if (answer == Answer.NOTHING_AND_MOVES) {
            // USDT of the main net answers so.
            assembly ("memory-safe") {
                return(0, 0)
            }
        }
        return answer != Answer.FALSE_AND_STAYS;
    }
}
