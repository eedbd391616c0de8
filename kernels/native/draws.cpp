// Seeds of networks, and initial parameters to the bits of kernels/initialisation.py.
//
// There a normal number is numpy's, in double: r cos ϑ and r sin ϑ of two words, from its logarithm, cosine and sine,
// whose last bits differ between machines. Here it is computed to a few units in the last place of double, and its
// product with a deviation rounded to float: the same float, unless the product lies next to the middle between two
// floats. Where it does, the network is marked, and numpy draws it. Uniform numbers are exact in double, and need no
// mark.
#include "group.h"
#include "streams.h"

struct DrawSpec {  // mirrored by kernels/native/structures.py
  int64_t n;
  int64_t n_parameters;
  int64_t threads;
  int32_t is_double;         // T below is double, else float
  int32_t uniform;           // numbers are uniform in (−1, 1), else normal; normal ones are drawn for float alone
  const int64_t* seeds;      // [n]
  const double* deviations;  // [n_parameters]
  void* params;              // [n][n_parameters], T
  uint8_t* in_doubt;         // [n]: 1 where a float may be another than numpy's
  Monitor* monitor;
};

namespace {

using D = Vec<double>;
constexpr int L = kLanes<double>;

// Units in the last place of double by which numpy's product and this one may differ together; they do by about ten.
constexpr int64_t kMargin = 64;

// Two normals a lane, as numpy makes them: ϑ is the double next to 2π b/2³². `doubt` is set where one is so near 0 that
// the distance between ϑ and 2π b/2³² would count.
__attribute__((always_inline)) inline void normals_of_numpy(Words<double> a, Words<double> b, D& first, D& second,
                                                            IntVec<double>& doubt) {
  const D r = radius<double>(a);
  constexpr double high = 1.57079632673412561417;     // π/2 to 33 bits, so that its multiples are exact
  constexpr double low = 6.07710050650619224932e-11;  // what is left of π/2
  const D angle = number<double>(b) * (2 * 3.14159265358979323846 / 4294967296.0);
  const Words<double> quarters = (b >> 30) + ((b >> 29) & 1);
  const D turns = number<double>(quarters);
  const D t = fma(turns, splat<double>(-low), angle - turns * high);
  D cosine;
  D sine;
  cosine_and_sine<double>(t, quarters, cosine, sine);
  first = r * cosine;
  second = r * sine;
  doubt |= absolute<double>(t) < 1e-9;
}

// Whether a rounding error of the double could change the float next to it: in lanes −1, else 0.
IntVec<double> near_another(D product, double deviation) {
  constexpr int64_t middle = int64_t(1) << 28;  // of the 29 bits that float has not
  const IntVec<double> dropped = bits<IntVec<double>>(product) & (2 * middle - 1);
  const D size = absolute<double>(product);
  const IntVec<double> normal = (size > 0x1p-100) & (size < 0x1p100);
  const IntVec<double> far = (dropped < middle - kMargin) | (dropped > middle + kMargin);
  return deviation == 0 ? IntVec<double>{} : ~(normal & far);
}

template <class T> void draw(const DrawSpec& spec, int64_t group) {
  const int lanes = int(std::min<int64_t>(L, spec.n - group * L));
  Stream<double> stream;
  for (int l = 0; l < L; l++) stream.seed(l, spec.seeds[group * L + std::min(l, lanes - 1)]);
  T* rows = static_cast<T*>(spec.params) + group * L * spec.n_parameters;
  IntVec<double> doubt{};
  for (int64_t p = 0; p < spec.n_parameters; p += 4) {
    Words<double> w[4];
    stream.block(uint32_t(p / 4), 0, Purpose::kInitial, w);
    D values[4];
    if (spec.uniform) {
      for (int k = 0; k < 4; k++) values[k] = (number<double>(w[k]) + 0.5) * 0x1p-31 - 1.0;
    } else {
      normals_of_numpy(w[0], w[1], values[0], values[1], doubt);
      normals_of_numpy(w[2], w[3], values[2], values[3], doubt);
    }
    const int count = int(std::min<int64_t>(4, spec.n_parameters - p));
    alignas(64) T drawn[4][L];
    for (int k = 0; k < count; k++) {
      const D product = spec.deviations[p + k] * values[k];
      if (!spec.uniform) doubt |= near_another(product, spec.deviations[p + k]);
      const auto rounded = __builtin_convertvector(product, typename VectorOf<T, L>::type);
      std::memcpy(drawn[k], &rounded, sizeof rounded);
    }
    for (int l = 0; l < lanes; l++)
      for (int k = 0; k < count; k++) rows[l * spec.n_parameters + p + k] = drawn[k][l];
  }
  for (int l = 0; l < lanes; l++) spec.in_doubt[group * L + l] = doubt[l] != 0;
}

}  // namespace

extern "C" int64_t lmc_draw_bytes() { return sizeof(DrawSpec); }

extern "C" int lmc_draw(const DrawSpec* spec) {
  return run_groups((spec->n + L - 1) / L, spec->threads, spec->monitor, [&](auto take) {
    for (int64_t group; (group = take()) >= 0;)
      spec->is_double ? draw<double>(*spec, group) : draw<float>(*spec, group);
  });
}

// Seeds [n] of networks 0 … n − 1, from one: the first 63 bits of the stream (kSeed, seed, network) of each.
extern "C" void lmc_seeds(int64_t n, int64_t seed, int64_t* seeds) {
  using U = Words<double>;
  for (int64_t start = 0; start < n; start += L) {
    U words[4] = {U{}, U{}, U{}, uint32_t(Purpose::kSeed) - U{}};
    for (int l = 0; l < L; l++) {
      words[1][l] = uint32_t(uint64_t(start + l));
      words[2][l] = uint32_t(uint64_t(start + l) >> 32);
    }
    philox(words, uint32_t(uint64_t(seed)) - U{}, uint32_t(uint64_t(seed) >> 32) - U{});
    const int lanes = int(std::min<int64_t>(L, n - start));
    for (int l = 0; l < lanes; l++) seeds[start + l] = int64_t((words[0][l] | uint64_t(words[1][l]) << 32) >> 1);
  }
}

// For the test of the numbers next to multiples of a quarter turn and to 0, which no seed that can be found draws: the
// normals [n][2] of the words [n][2], n a multiple of eight, and where they are in doubt [n].
extern "C" void lmc_normals_of_numpy(int64_t n, const uint32_t* words, double* normals, uint8_t* in_doubt) {
  for (int64_t start = 0; start < n; start += L) {
    Words<double> a;
    Words<double> b;
    for (int l = 0; l < L; l++) {
      a[l] = words[2 * (start + l)];
      b[l] = words[2 * (start + l) + 1];
    }
    D first;
    D second;
    IntVec<double> doubt{};
    normals_of_numpy(a, b, first, second, doubt);
    for (int l = 0; l < L; l++) {
      normals[2 * (start + l)] = first[l];
      normals[2 * (start + l) + 1] = second[l];
      in_doubt[start + l] = doubt[l] != 0;
    }
  }
}
