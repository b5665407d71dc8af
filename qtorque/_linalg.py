"""Products and inverses of many small matrices at once.

For one or two rows the closed form beats a call of BLAS or LAPACK per matrix by an order of magnitude, and up to some
twenty rows a compiled kernel that inverts a group of matrices in step is still two to six times as fast.
"""

import numpy as np

from qtorque._linalg_kernels import LANES, inverses

LARGEST_IN_STEP = 24
"""Rows up to which a group of matrices worked on in step stays in the cache."""


def adjoint(a: np.ndarray) -> np.ndarray:
    """The Hermitian conjugate of every matrix."""
    return a.conj().swapaxes(-1, -2)


def multiply(*factors: np.ndarray) -> np.ndarray:
    """The product of the matrices, from the left, batches broadcast."""
    product = factors[0]
    for factor in factors[1:]:
        product = _multiply(product, factor)
    return product


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    size = a.shape[-1]
    if size == 1 and a.shape[-2] == b.shape[-1] == 1:
        return a * b
    if size == 2 and a.shape[-2] == b.shape[-1] == 2:
        product = np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), 2, 2), dtype=np.result_type(a, b))
        for i in range(2):
            for j in range(2):
                product[..., i, j] = a[..., i, 0] * b[..., 0, j] + a[..., i, 1] * b[..., 1, j]
        return product
    return a @ b


def inverse(a: np.ndarray) -> np.ndarray:
    """The inverse of every matrix, not finite where there is none."""
    size = a.shape[-1]
    if size == 1:
        return 1 / a
    if size == 2:
        result = np.empty_like(a)
        determinant = a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]
        scale = 1 / determinant
        result[..., 0, 0] = a[..., 1, 1] * scale
        result[..., 1, 1] = a[..., 0, 0] * scale
        result[..., 0, 1] = -a[..., 0, 1] * scale
        result[..., 1, 0] = -a[..., 1, 0] * scale
        return result
    matrices = a.reshape(-1, size, size).astype(complex, copy=False)
    if size <= LARGEST_IN_STEP and len(matrices) >= LANES // 4:
        return inverses(np.ascontiguousarray(matrices)).reshape(a.shape)
    try:
        return np.linalg.inv(a)
    except np.linalg.LinAlgError:
        result = np.full_like(matrices, np.nan)
        regular = np.isfinite(matrices).all(axis=(1, 2))
        regular[regular] = np.linalg.det(matrices[regular]) != 0
        result[regular] = np.linalg.inv(matrices[regular])
        return result.reshape(a.shape)


def identity_minus(a: np.ndarray) -> np.ndarray:
    """1 - a for every matrix."""
    result = -a
    diagonal = np.arange(a.shape[-1])
    result[..., diagonal, diagonal] += 1
    return result
