"""Linear assignment of many small matrices on the GPU: what aligning two networks' units comes to.

Shortest augmenting paths as in kernels/native/assignment.h, the same sums in the same order, so that permutations are
the same to the last choice between equals. A warp solves a matrix, whose columns lie across its lanes: what is known of
a column stays in registers, and there is no barrier (up to FULL columns).
"""

# mypy: ignore-errors

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.gpu import on

LANES = 32
WIDEST = 4096  # columns
FULL = 512  # columns of a warp, 16 a lane: what its registers hold; wider matrices take more warps
LOWEST = tl.constexpr(-(2**31))  # below the upper half of any number's bits
NOWHERE = tl.constexpr(2**31 - 1)


@triton.jit(do_not_specialize=("m",), do_not_specialize_on_alignment=("scores", "columns"))
def solve(scores, columns, m, SIZE: tl.constexpr):
    """The best column of each row, to columns int64 `[n, m]`, of scores float64 `[n, m, m]`; SIZE: m or more, a power
    of two.

    Rows and columns have prices: a place's score and the prices of its row and column are at most 0 in sum. Rows are
    added one by one. Each takes the best path of places, at prices, that ends in a free column, and the rows on that
    path move along it. (Of assignment.h, scores are minus the costs, and reach is minus the slack.)
    """
    matrix = tl.program_id(0).to(tl.int64)
    scores += matrix * m * m
    columns += matrix * m
    column = tl.arange(0, SIZE)
    column_price = tl.zeros([SIZE], tl.float64)
    row_price = tl.zeros([SIZE], tl.float64)  # of the row that a column has
    row_of = tl.full([SIZE], -1, tl.int32)  # of each column; −1 for none
    previous = tl.zeros([SIZE], tl.int32)  # of each column: the one before it on the path to it
    for new_row in range(m):
        reach = tl.full([SIZE], float("-inf"), tl.float64)  # of each column: the best path to it
        done = column >= m  # the best path is known
        price = tl.full((), 0.0, tl.float64)  # of the new row
        own = price  # of the row at hand
        row = new_row
        here = m  # the column that has this row; the new row waits in one outside
        while row >= 0:
            done = done | (column == here)
            score = tl.load(scores + (row * m + column), mask=column < m, other=0.0)
            longer = score + own + column_price
            better = (longer > reach) & ~done
            reach = tl.where(better, longer, reach)
            previous = tl.where(better, here, previous)
            best, here, row = largest(reach, done, column, row_of, SIZE)
            own = number_at(row_price, column == here)
            price -= best
            row_price = tl.where(done, row_price - best, row_price)
            column_price = tl.where(done, column_price + best, column_price)
            reach = tl.where(done, reach, reach - best)
        while here < m:  # every column on the path takes the row of the one before it
            before = integer_at(previous, column == here)
            taken = tl.where(before < m, integer_at(row_of, column == before), new_row)
            worth = tl.where(before < m, number_at(row_price, column == before), price)
            row_of = tl.where(column == here, taken, row_of)
            row_price = tl.where(column == here, worth, row_price)
            here = before
    tl.store(columns + row_of, column.to(tl.int64), mask=column < m)


@triton.jit
def largest(reach, done, column, row_of, SIZE: tl.constexpr):
    """The largest reach of the columns that are not done, the first of these columns, and its row.

    Maxima of whole numbers are one instruction of a warp each. So numbers are compared by the halves of their bits,
    which order as they do once a negative number's are turned round: reach is never −0, since a sum is only where all
    its terms are, and prices begin at +0.
    """
    order = ordered(reach.to(tl.int64, bitcast=True))
    upper = tl.where(done, LOWEST, (order >> 32).to(tl.int32))
    best_upper = tl.max(upper, 0)
    lower = tl.where(upper == best_upper, order.to(tl.uint32), 0)
    best_lower = tl.max(lower, 0)
    equal = (upper == best_upper) & (lower == best_lower)
    place = tl.min(tl.where(equal, column * (2 * SIZE) + row_of + 1, NOWHERE), 0)
    best = ordered((best_upper.to(tl.int64) << 32) | best_lower.to(tl.int64)).to(tl.float64, bitcast=True)
    return best, place // (2 * SIZE), place % (2 * SIZE) - 1


@triton.jit
def ordered(bits):
    """A float64's bits as an int64 that orders as the number does; and back."""
    return bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)


@triton.jit
def integer_at(values, here):
    """The one of `values` that is here, int32."""
    return tl.sum(tl.where(here, values, 0), 0)


@triton.jit
def number_at(values, here):
    """The one of `values` that is here, float64."""
    bits = values.to(tl.int64, bitcast=True)
    upper = integer_at((bits >> 32).to(tl.int32), here)
    lower = integer_at(bits.to(tl.int32), here)
    return ((upper.to(tl.int64) << 32) | (lower.to(tl.int64) & 0xFFFFFFFF)).to(tl.float64, bitcast=True)


def assign(scores: Tensor) -> Tensor:
    """What `kernels.assignment.assign` returns for finite float64 scores `[n, m, m]`, contiguous, m at most WIDEST."""
    n, m = scores.shape[:2]
    columns = torch.empty(n, m, dtype=torch.int64, device=scores.device)
    if columns.numel():
        with on(scores.device):
            solve[(n,)](**arguments(scores, columns))
    return columns


def arguments(scores: Tensor, columns: Tensor) -> dict[str, Tensor | int]:
    """What a launch is given, by name; to columns int64 `[n, m]`.

    >>> columns = torch.empty(2, 600, dtype=torch.int64)
    >>> given = arguments(torch.zeros(2, 600, 600, dtype=torch.float64), columns)
    >>> given["SIZE"], given["num_warps"]
    (1024, 2)
    """
    m = columns.shape[1]
    size = max(LANES, triton.next_power_of_2(m))
    return {
        "scores": scores,
        "columns": columns,
        "m": m,
        "SIZE": size,
        "num_warps": max(1, size // FULL),
        "enable_fp_fusion": False,  # there is nothing to fuse: all are sums
    }
