"""Linear algebra on batches of matrices and vectors."""

import torch
from torch import Tensor


def matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    """The product of each matrix with its vector: `(B, M, N)` and `(B, N)` -> `(B, M)`."""
    product: Tensor = torch.einsum("bmn,bn->bm", matrix, vector)
    return product
