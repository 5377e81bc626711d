"""Benchmarks: programs that check their own results before they print a figure."""
