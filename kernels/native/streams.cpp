// The random streams themselves, for the test that they are those of kernels/streams.py.
#include "streams.h"

namespace {

template <class T> void fill(int64_t n, const int64_t* seeds, int64_t step, int64_t position, int64_t limit,
                             uint32_t* integer, uint32_t* permuted, T* normal) {
  constexpr int L = kLanes<T>;
  for (int64_t start = 0; start < n; start += L) {
    Stream<T> stream;
    const int lanes = int(n - start < L ? n - start : L);
    for (int l = 0; l < L; l++) stream.seed(l, seeds[start + (l < lanes ? l : 0)]);
    Words<T> w[4];
    stream.block(uint32_t(position / 4), uint64_t(step), Purpose::kReplacement, w);
    const Words<T> chosen = integers<T>(w[position % 4], uint32_t(limit));
    Permutation<T> permutation{uint32_t(limit)};
    permutation.set_epoch(stream, uint64_t(step));
    const Words<T> sent = permutation(uint32_t(position % limit));
    stream.block(uint32_t(position / 4), uint64_t(step), Purpose::kGaussian, w);
    Vec<T> z[4];
    normals<T>(w[0], w[1], z[0], z[1]);
    normals<T>(w[2], w[3], z[2], z[3]);
    for (int l = 0; l < lanes; l++) {
      integer[start + l] = chosen[l];
      permuted[start + l] = sent[l];
      normal[start + l] = z[position % 4][l];
    }
  }
}

}  // namespace

// For each seed, at one step: the integer below `limit` drawn at `position`; where the permutation of epoch `step`
// sends position % limit; and the normal at `position`.
extern "C" void lmc_streams(int32_t is_double, int64_t n, const int64_t* seeds, int64_t step, int64_t position,
                            int64_t limit, uint32_t* integer, uint32_t* permuted, void* normal) {
  if (is_double) {
    fill(n, seeds, step, position, limit, integer, permuted, static_cast<double*>(normal));
  } else {
    fill(n, seeds, step, position, limit, integer, permuted, static_cast<float*>(normal));
  }
}
