"""Mutation testing of the contracts: how many small wrong changes do the tests notice?"""
