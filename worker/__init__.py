"""The provider's daemon: it runs renters' jobs in a sandbox, signs what was done and claims the pay
on-chain.
"""
