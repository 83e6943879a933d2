"""Contracts: what a dataset is, and what each target makes of it. The core knows no engine."""
