"""Benchmarks of every step of the way, side by side in one run: `make bench`, or `python -m bench produce consume`."""
