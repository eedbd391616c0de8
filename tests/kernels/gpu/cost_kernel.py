"""A kernel whose multiply-adds can be counted by eye."""

import triton
import triton.language as tl


@triton.jit
def rounds(out, n, N: tl.constexpr):
    lane = tl.arange(0, 32)
    x = lane.to(tl.float32)
    for _ in range(n):
        for _ in range(8):
            for _ in tl.static_range(N):
                x = x * x + 1.5
        tl.store(out + lane, x)
