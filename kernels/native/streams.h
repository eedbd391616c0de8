// Philox 4x32-10 and what is made of its words, one stream per lane: kernels/streams.py in vectors, where each formula is explained.
#pragma once
#include "vector.h"

// The last counter word: what the numbers are for.
enum class Purpose : uint32_t { kPermutation = 3, kReplacement = 4, kGaussian = 5 };

template <class T> struct Stream {
  static constexpr int L = kLanes<T>;
  using U = Words<T>;
  using U64 = typename VectorOf<uint64_t, L>::type;
  U key_low;
  U key_high;

  void seed(int lane, int64_t value) {
    key_low[lane] = uint32_t(uint64_t(value));
    key_high[lane] = uint32_t(uint64_t(value) >> 32);
  }

  // The four words of block number `index` of the stream (purpose, seed, step).
  void block(uint32_t index, uint64_t step, Purpose purpose, U (&w)[4]) const {
    U c0 = index - U{};
    U c1 = uint32_t(step) - U{};
    U c2 = uint32_t(step >> 32) - U{};
    U c3 = uint32_t(purpose) - U{};
    U k0 = key_low;
    U k1 = key_high;
    for (int round = 0; round < 10; round++) {
      const U64 p0 = __builtin_convertvector(c0, U64) * uint64_t(0xD2511F53);
      const U64 p1 = __builtin_convertvector(c2, U64) * uint64_t(0xCD9E8D57);
      const U high0 = __builtin_convertvector(p0 >> 32, U);
      const U low0 = __builtin_convertvector(p0, U);
      const U high1 = __builtin_convertvector(p1 >> 32, U);
      const U low1 = __builtin_convertvector(p1, U);
      c0 = high1 ^ c1 ^ k0;
      c1 = low1;
      c2 = high0 ^ c3 ^ k1;
      c3 = low0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    w[0] = c0;
    w[1] = c1;
    w[2] = c2;
    w[3] = c3;
  }
};

// Words to whole numbers in [0, n): ⌊word · n / 2³²⌋.
template <class T> inline Words<T> integers(Words<T> word, uint32_t n) {
  using U64 = typename Stream<T>::U64;
  return __builtin_convertvector((__builtin_convertvector(word, U64) * uint64_t(n)) >> 32, Words<T>);
}

// The finaliser of MurmurHash3: every bit of h changes about half of the result's.
template <class U> inline U murmur(U h) {
  h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
  h = (h ^ (h >> 13)) * 0xC2B2AE35u;
  return h ^ (h >> 16);
}

// A keyed permutation of 0 … n − 1 for each lane and one epoch: a Feistel network on `low` and `bits − low` bits, walked along its
// cycle until the value is below n (kernels/streams.py, `permutation`).
template <class T> struct Permutation {
  using U = Words<T>;
  uint32_t n;
  int low;
  int rounds;
  uint32_t low_mask;
  uint32_t high_mask;
  U keys[32];  // one a round

  explicit Permutation(uint32_t n) : n(n) {
    int bits = 1;
    while (bits < 32 && (uint64_t(1) << bits) < n) bits++;
    low = bits - bits / 2;
    low_mask = uint32_t((uint64_t(1) << low) - 1);
    high_mask = uint32_t((uint64_t(1) << (bits - low)) - 1);
    rounds = n <= 8 ? 32 : 12;
  }

  void set_epoch(const Stream<T>& stream, uint64_t epoch) {
    for (int i = 0; i < rounds / 4; i++) {
      U w[4];
      stream.block(uint32_t(i), epoch, Purpose::kPermutation, w);
      for (int j = 0; j < 4; j++) keys[4 * i + j] = w[j];
    }
  }

  U encrypt(U v) const {
    U left = v >> low;
    U right = v & low_mask;
    for (int i = 0; i < rounds; i += 2) {
      left ^= murmur(right ^ keys[i]) & high_mask;
      right ^= murmur(left ^ keys[i + 1]) & low_mask;
    }
    return (left << low) | right;
  }

  // Where `position` is sent, in each lane.
  U operator()(uint32_t position) const {
    U v = encrypt(position - U{});
    for (;;) {
      auto outside = v >= n;
      bool any = false;
      for (int l = 0; l < kLanes<T>; l++) any |= outside[l] != 0;
      if (!any) return v;
      v = outside ? encrypt(v) : v;
    }
  }
};

// Two normals a lane from two words: r cos ϑ and r sin ϑ (Box & Muller 1958), to a few units in the last place.
template <class T> inline void normals(Words<T> a, Words<T> b, Vec<T>& first, Vec<T>& second) {
  constexpr T unit = T(1) / T(4294967296.0);
  // r = √(−2 ln u) with u = (a + ½)/2³². Where u is near 1, ln u = ln(1 − v) with v = 1 − u, which the complement of the word
  // gives without cancellation.
  Vec<T> u = (__builtin_convertvector(a, Vec<T>) + T(0.5)) * unit;
  Vec<T> v = (__builtin_convertvector(~a, Vec<T>) + T(0.5)) * unit;
  auto near_one = v < T(0.25);
  LogParts<T> l = log_parts<T>(u);
  Vec<T> n = near_one ? Vec<T>{} : l.n;
  Vec<T> f = near_one ? -v : l.f;
  Vec<T> log_u = from_log_parts<T>({n, f});
  Vec<T> radius = sqrt(-2 * log_u);
  // ϑ = 2π b/2³² = (quarter turns) π/2 + rest, |rest| ≤ π/4
  using S = typename VectorOf<int32_t, kLanes<T>>::type;
  Words<T> quarter = (b + (1u << 29)) >> 30;
  S rest = bits<S>(b - (quarter << 30));
  Vec<T> t = __builtin_convertvector(rest, Vec<T>) * (T(6.28318530717958647692) * unit);
  Vec<T> t2 = t * t;
  Vec<T> sine;
  Vec<T> cosine;
  if constexpr (sizeof(T) == 4) {
    constexpr T s[] = {1 / 362880.f, -1 / 5040.f, 1 / 120.f, -1 / 6.f};
    constexpr T c[] = {-1 / 3628800.f, 1 / 40320.f, -1 / 720.f, 1 / 24.f, -0.5f};
    sine = fma(t * t2, polynomial<T>(s, t2), t);
    cosine = fma(t2, polynomial<T>(c, t2), splat<T>(1));
  } else {
    constexpr T s[] = {1 / 355687428096000., -1 / 1307674368000., 1 / 6227020800., -1 / 39916800.,
                       1 / 362880.,          -1 / 5040.,          1 / 120.,        -1 / 6.};
    constexpr T c[] = {-1 / 6402373705728000., 1 / 20922789888000., -1 / 87178291200., 1 / 479001600., -1 / 3628800.,
                       1 / 40320.,             -1 / 720.,           1 / 24.,           -0.5};
    sine = fma(t * t2, polynomial<T>(s, t2), t);
    cosine = fma(t2, polynomial<T>(c, t2), splat<T>(1));
  }
  // turned by quarters: (c, s) → (−s, c) → (−c, −s) → (s, −c)
  IntVec<T> q = __builtin_convertvector(quarter, IntVec<T>);
  auto odd = (q & 1) != 0;
  Vec<T> cos_turned = odd ? sine : cosine;
  Vec<T> sin_turned = odd ? cosine : sine;
  cos_turned = ((q + 1) & 2) != 0 ? -cos_turned : cos_turned;
  sin_turned = (q & 2) != 0 ? -sin_turned : sin_turned;
  first = radius * cos_turned;
  second = radius * sin_turned;
}
