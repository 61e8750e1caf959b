"""Benchmarks of fastrnn against its peers; see README.md beside this file."""
