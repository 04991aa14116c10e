"""The search that the points of src/backend/cpu/isa/winograd_4x4.h come from.

    python3 tests/reference/winograd_points.py          needs numpy; half a minute

For pairs of points S < L it builds the matrices of F(4x4, 3x3) by Toom and Cook, convolves tiles of
64 channels in fp32, and prints the error (root of the mean square, of the values' own) of the best
pairs, of the customary 1 and 2, and of a direct sum in fp32, each against a sum in double.
"""

import itertools

import numpy as np

OUT, FILTER, IN = 4, 3, 6
CHANNELS, TILES = 64, 400
SMALL = (1 / 2, 3 / 5, 5 / 8, 2 / 3, 2**-0.5, 3 / 4, 4 / 5, 7 / 8, 1)
LARGE = (1, 9 / 8, 6 / 5, 5 / 4, 4 / 3, 2**0.5, 3 / 2, 7 / 4, 2)


def matrices(points):
    """A^T, G and B^T of a polynomial evaluated at the points and at infinity."""
    a = np.zeros((OUT, IN))
    g = np.zeros((IN, FILTER))
    b = np.zeros((IN, IN))
    for i, p in enumerate(points):
        others = [q for q in points if q != p]
        a[:, i] = [p**k for k in range(OUT)]
        g[i] = [p**k / np.prod([p - q for q in others]) for k in range(FILTER)]
        polynomial = np.poly1d(others, True).coeffs[::-1]
        b[i, :len(polynomial)] = polynomial
    a[OUT - 1, -1] = g[-1, FILTER - 1] = 1
    polynomial = np.poly1d(list(points), True).coeffs[::-1]
    b[-1, :len(polynomial)] = polynomial
    return a, g, b


def both_sides(matrix, tiles):
    """matrix @ tile @ matrix.T of each tile, in fp32."""
    half = np.einsum("ij,...jk->...ik", matrix, tiles).astype(np.float32)
    return np.einsum("...ik,lk->...il", half, matrix).astype(np.float32)


def winograd(points, tiles, filters):
    a, g, b = (m.astype(np.float32) for m in matrices(points))
    u, v = both_sides(g, filters), both_sides(b, tiles)
    products = np.zeros((TILES, IN, IN), np.float32)
    for c in range(CHANNELS):
        products += u[c] * v[:, c]
    return both_sides(a, products)


def direct(tiles, filters, dtype):
    sums = np.zeros((TILES, OUT, OUT), dtype)
    for c, y, x in itertools.product(range(CHANNELS), range(FILTER), range(FILTER)):
        sums += tiles[:, c, y:y + OUT, x:x + OUT].astype(dtype) * dtype(filters[c, y, x])
    return sums


def main():
    draw = np.random.default_rng(0)
    tiles = np.maximum(draw.standard_normal((TILES, CHANNELS, IN, IN)), 0).astype(np.float32)
    filters = draw.standard_normal((CHANNELS, FILTER, FILTER)) / np.sqrt(FILTER**2 * CHANNELS)
    filters = filters.astype(np.float32)
    exact = direct(tiles, filters, np.float64)

    def error(found):
        return np.sqrt(np.mean((found - exact)**2) / np.mean(exact**2))

    pairs = [(s, l) for s, l in itertools.product(SMALL, LARGE) if s < l]
    found = sorted((error(winograd((0, s, -s, l, -l), tiles, filters)), s, l) for s, l in pairs)
    for e, s, l in found[:5] + [f for f in found if f[1:] == (1, 2)]:
        print(f"+-{s:.4f} and +-{l:.4f}: {e:.3g}")
    print(f"direct sum: {error(direct(tiles, filters, np.float32)):.3g}")


if __name__ == "__main__":
    main()
