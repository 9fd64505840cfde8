"""Benchmarks. Each module with a `main` prints its figures, most with the machine they were measured on."""
