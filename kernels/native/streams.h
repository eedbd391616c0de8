// Philox 4x32-10 and what is made of its words, one stream per lane: kernels/streams.py in vectors, where each formula
// is explained.
#pragma once
#include "functions.h"

// The last counter word: what the numbers are for.
enum class Purpose : uint32_t { kSeed = 1, kInitial = 2, kPermutation = 3, kReplacement = 4, kGaussian = 5 };

template <int Bytes> using Wide = typename VectorOf<uint64_t, Bytes / 8>::type;

// The 64-bit products of a's words with b, as two words each. x86 multiplies every other word at a time; GCC does not
// find that by itself.
#if defined(__AVX512F__)
inline Wide<64> products(Wide<64> a, uint32_t b) {
  return (Wide<64>)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
}
#endif
#if defined(__AVX2__)
inline Wide<32> products(Wide<32> a, uint32_t b) {
  return (Wide<32>)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
}
#endif
#if defined(__x86_64__)
inline Wide<16> products(Wide<16> a, uint32_t b) { return (Wide<16>)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b)); }
constexpr int kSmallestProducts = 16;  // bytes
#else
constexpr int kSmallestProducts = 1 << 20;
#endif
template <class U> inline void multiply(U a, uint32_t b, U& high, U& low) {
  constexpr int bytes = int(sizeof(U));
  if constexpr (bytes >= kSmallestProducts) {
    const Wide<bytes> even = products(bits<Wide<bytes>>(a), b);
    const Wide<bytes> odd = products(bits<Wide<bytes>>(a) >> 32, b);
#if defined(__AVX2__) && !defined(__AVX512F__)
    if constexpr (bytes == 32) {  // one operation instead of the two that only AVX-512 does as one
      high = (U)_mm256_blend_epi32((__m256i)(even >> 32), (__m256i)odd, 0b10101010);
      low = (U)_mm256_blend_epi32((__m256i)even, (__m256i)(odd << 32), 0b10101010);
      return;
    }
#endif
    constexpr uint64_t upper = 0xFFFFFFFF00000000u;
    high = bits<U>((even >> 32) | (odd & upper));
    low = bits<U>((even & ~upper) | (odd << 32));
  } else {
    using U64 = typename VectorOf<uint64_t, bytes / 4>::type;
    const U64 product = __builtin_convertvector(a, U64) * uint64_t(b);
    high = __builtin_convertvector(product >> 32, U);
    low = __builtin_convertvector(product, U);
  }
}

// Philox 4x32-10: the words of the counters w and keys (k0, k1), in the counters' place.
template <class U> inline void philox(U (&w)[4], U k0, U k1) {
  for (int round = 0; round < 10; round++) {
    U high0;
    U low0;
    U high1;
    U low1;
    multiply(w[0], 0xD2511F53u, high0, low0);
    multiply(w[2], 0xCD9E8D57u, high1, low1);
    w[0] = high1 ^ w[1] ^ k0;
    w[1] = low1;
    w[2] = high0 ^ w[3] ^ k1;
    w[3] = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

template <class T> struct Stream {
  using U = Words<T>;
  U key_low;
  U key_high;

  void seed(int lane, int64_t value) {
    key_low[lane] = uint32_t(uint64_t(value));
    key_high[lane] = uint32_t(uint64_t(value) >> 32);
  }

  // The four words of block number `index`, which may differ between lanes, of the stream (purpose, seed, step).
  void block(uint32_t index, uint64_t step, Purpose purpose, U (&w)[4]) const {
    block(index - U{}, step, purpose, w);
  }
  void block(U index, uint64_t step, Purpose purpose, U (&w)[4]) const {
    w[0] = index;
    w[1] = uint32_t(step) - U{};
    w[2] = uint32_t(step >> 32) - U{};
    w[3] = uint32_t(purpose) - U{};
    philox(w, key_low, key_high);
  }
};

// Words to whole numbers in [0, n): ⌊word · n / 2³²⌋.
template <class T> inline Words<T> integers(Words<T> word, uint32_t n) {
  Words<T> high;
  Words<T> low;
  multiply(word, n, high, low);
  return high;
}

// The finaliser of MurmurHash3: every bit of h changes about half of the result's.
template <class U> inline U murmur(U h) {
  h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
  h = (h ^ (h >> 13)) * 0xC2B2AE35u;
  return h ^ (h >> 16);
}

// A keyed permutation of 0 … n − 1 for each lane and one epoch: a Feistel network on `low` and `bits − low` bits,
// walked along its cycle until the value is below n (kernels/streams.py, `permutation`).
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

  // Where `position`, below n, is sent in each lane.
  U operator()(uint32_t position) const { return (*this)(position - U{}); }
  U operator()(U position) const {
    U v = encrypt(position);
    for (;;) {
      auto outside = v >= n;
      bool any = false;
      for (int l = 0; l < kLanes<T>; l++) any |= outside[l] != 0;
      if (!any) return v;
      v = outside ? encrypt(v) : v;
    }
  }
};

// r = √(−2 ln u) with u = (a + ½)/2³². Where u is near 1, ln u = ln(1 − v) with v = 1 − u, which the complement of the
// word gives without cancellation.
template <class T> inline Vec<T> radius(Words<T> a) {
  constexpr T unit = T(1) / T(4294967296.0);
  Vec<T> u = (number<T>(a) + T(0.5)) * unit;
  Vec<T> v = (number<T>(~a) + T(0.5)) * unit;
  auto near_one = v < T(0.25);
  LogParts<T> l = log_parts<T>(u);
  Vec<T> n = near_one ? Vec<T>{} : l.n;
  Vec<T> f = near_one ? -v : l.f;
  Vec<T> log_u = from_log_parts<T>({n, f});
  return sqrt(-2 * log_u);
}

// The cosine and sine of t and so many quarter turns; |t| ≤ π/4.
template <class T> inline void cosine_and_sine(Vec<T> t, Words<T> quarters, Vec<T>& cosine, Vec<T>& sine) {
  Vec<T> t2 = t * t;
  Vec<T> cosine_t;
  Vec<T> sine_t;
  if constexpr (sizeof(T) == 4) {
    constexpr T s[] = {1 / 362880.f, -1 / 5040.f, 1 / 120.f, -1 / 6.f};
    constexpr T c[] = {-1 / 3628800.f, 1 / 40320.f, -1 / 720.f, 1 / 24.f, -0.5f};
    sine_t = fma(t * t2, polynomial<T>(s, t2), t);
    cosine_t = fma(t2, polynomial<T>(c, t2), splat<T>(1));
  } else {
    constexpr T s[] = {1 / 355687428096000., -1 / 1307674368000., 1 / 6227020800., -1 / 39916800.,
                       1 / 362880.,          -1 / 5040.,          1 / 120.,        -1 / 6.};
    constexpr T c[] = {-1 / 6402373705728000.,
                       1 / 20922789888000.,
                       -1 / 87178291200.,
                       1 / 479001600.,
                       -1 / 3628800.,
                       1 / 40320.,
                       -1 / 720.,
                       1 / 24.,
                       -0.5};
    sine_t = fma(t * t2, polynomial<T>(s, t2), t);
    cosine_t = fma(t2, polynomial<T>(c, t2), splat<T>(1));
  }
  // turned by quarters: (c, s) → (−s, c) → (−c, −s) → (s, −c)
  IntVec<T> q = __builtin_convertvector(quarters, IntVec<T>);
  const auto even = (q & 1) == 0;
  cosine = even ? cosine_t : sine_t;
  sine = even ? sine_t : cosine_t;
  constexpr int to_sign = 8 * sizeof(T) - 2;
  cosine = bits<Vec<T>>(bits<IntVec<T>>(cosine) ^ (((q + 1) & 2) << to_sign));
  sine = bits<Vec<T>>(bits<IntVec<T>>(sine) ^ ((q & 2) << to_sign));
}

// Two normals a lane from two words: r cos ϑ and r sin ϑ (Box & Muller 1958), to a few units in the last place.
template <class T> inline void normals(Words<T> a, Words<T> b, Vec<T>& first, Vec<T>& second) {
  constexpr T unit = T(1) / T(4294967296.0);
  // ϑ = 2π b/2³² = (quarter turns) π/2 + rest, |rest| ≤ π/4
  using S = typename VectorOf<int32_t, kLanes<T>>::type;
  Words<T> quarters = (b + (1u << 29)) >> 30;
  S rest = bits<S>(b - (quarters << 30));
  Vec<T> t = __builtin_convertvector(rest, Vec<T>) * (T(6.28318530717958647692) * unit);
  Vec<T> cosine;
  Vec<T> sine;
  cosine_and_sine<T>(t, quarters, cosine, sine);
  const Vec<T> r = radius<T>(a);
  first = r * cosine;
  second = r * sine;
}
