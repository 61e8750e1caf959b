"""The gate: arguments are checked here, once, before any work.

NumPy only: the compiled functions and `fastrnn.reference` share it, so that their
messages are the same.
"""
