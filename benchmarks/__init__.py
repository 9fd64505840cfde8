"""Benchmarks. Each module with a `main` prints its figures, most with the machine they were measured on."""

import nst  # noqa: F401  # as in the program, it decides how threads wait before PyTorch is imported
