// Vectors of one number per network, and the functions that training needs of them.
//
// One vector fills a register of the machine compiled for: 16 floats or 8 doubles with AVX-512, half with AVX, a
// quarter on NEON and SSE. Contraction is off (-ffp-contract=off) and every fused multiply-add is written fma(), so
// that a lane's arithmetic is the same in every template instantiation and at every vector length.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T> constexpr int kLanes = kVectorBytes / int(sizeof(T));

template <class T, int N> struct VectorOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};
template <class T> using Vec = typename VectorOf<T, kLanes<T>>::type;
// whole numbers as wide as T: what a comparison of two Vec<T> gives, and what its bits are
template <class T> struct IntOf;
template <> struct IntOf<float> {
  using type = int32_t;
};
template <> struct IntOf<double> {
  using type = int64_t;
};
template <class T> using Int = typename IntOf<T>::type;
template <class T> using IntVec = typename VectorOf<Int<T>, kLanes<T>>::type;
template <class T> using Words = typename VectorOf<uint32_t, kLanes<T>>::type;    // one 32-bit word per lane
template <class T> using DoubleVec = typename VectorOf<double, kLanes<T>>::type;  // one double per lane

template <class T> inline Vec<T> splat(T value) { return value - Vec<T>{}; }

template <class To, class From> inline To bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

// Words as numbers, the nearest ones. In double they are the last bits of 2⁵² + word, since AVX2 converts none.
template <class T> inline Vec<T> number(Words<T> word) {
  if constexpr (sizeof(T) == 8 && kVectorBytes < 64) {
    const IntVec<T> wide = __builtin_convertvector(word, IntVec<T>);
    return bits<Vec<T>>(wide | bits<Int<T>>(T(0x1p52))) - T(0x1p52);
  }
  return __builtin_convertvector(word, Vec<T>);
}

// fma: a·b + c, rounded once; positive_part: max(0, a), and NaN for NaN; replace_nonzero: where `to` is not 0, it
// becomes a. One table a kind of machine.
#if defined(__AVX512F__) && defined(__AVX512DQ__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
inline Vec<float> sqrt(Vec<float> a) { return (Vec<float>)_mm512_sqrt_ps((__m512)a); }
inline Vec<double> sqrt(Vec<double> a) { return (Vec<double>)_mm512_sqrt_pd((__m512d)a); }
inline Vec<float> positive_part(Vec<float> a) { return (Vec<float>)_mm512_max_ps(_mm512_setzero_ps(), (__m512)a); }
inline Vec<double> positive_part(Vec<double> a) { return (Vec<double>)_mm512_max_pd(_mm512_setzero_pd(), (__m512d)a); }
inline void replace_nonzero(Vec<float>& to, Vec<float> a) {
  const __mmask16 nonzero = _mm512_cmp_ps_mask((__m512)to, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  _mm512_mask_store_ps(&to, nonzero, (__m512)a);
}
inline void replace_nonzero(Vec<double>& to, Vec<double> a) {
  const __mmask8 nonzero = _mm512_cmp_pd_mask((__m512d)to, _mm512_setzero_pd(), _CMP_NEQ_UQ);
  _mm512_mask_store_pd(&to, nonzero, (__m512d)a);
}
#elif defined(__AVX2__) && defined(__FMA__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
inline Vec<float> sqrt(Vec<float> a) { return (Vec<float>)_mm256_sqrt_ps((__m256)a); }
inline Vec<double> sqrt(Vec<double> a) { return (Vec<double>)_mm256_sqrt_pd((__m256d)a); }
inline Vec<float> positive_part(Vec<float> a) { return (Vec<float>)_mm256_max_ps(_mm256_setzero_ps(), (__m256)a); }
inline Vec<double> positive_part(Vec<double> a) { return (Vec<double>)_mm256_max_pd(_mm256_setzero_pd(), (__m256d)a); }
#elif defined(__ARM_NEON) && defined(__aarch64__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
inline Vec<float> sqrt(Vec<float> a) { return (Vec<float>)vsqrtq_f32((float32x4_t)a); }
inline Vec<double> sqrt(Vec<double> a) { return (Vec<double>)vsqrtq_f64((float64x2_t)a); }
template <class V> inline V positive_part(V a) { return a < 0 ? V{} : a; }
#else  // no fused multiply-add in hardware: rounded twice
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return a * b + c; }
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return a * b + c; }
template <class V> inline V positive_part(V a) { return a < 0 ? V{} : a; }
template <class V> inline V sqrt(V a) {
  for (unsigned i = 0; i < sizeof(a) / sizeof(a[0]); i++) a[i] = std::sqrt(a[i]);
  return a;
}
#endif
#if !defined(__AVX512F__) || !defined(__AVX512DQ__)
template <class V> inline void replace_nonzero(V& to, V a) { to = to != 0 ? a : to; }
#endif

// The lanes in which a comparison holds, as bits.
template <class T> inline uint32_t lanes_of(IntVec<T> holds) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  if constexpr (sizeof(T) == 4) return _mm512_movepi32_mask((__m512i)holds);
  if constexpr (sizeof(T) == 8) return _mm512_movepi64_mask((__m512i)holds);
#elif defined(__AVX2__) && defined(__FMA__)
  if constexpr (sizeof(T) == 4) return uint32_t(_mm256_movemask_ps((__m256)holds));
  if constexpr (sizeof(T) == 8) return uint32_t(_mm256_movemask_pd((__m256d)holds));
#endif
  uint32_t lanes = 0;
  for (int l = 0; l < kLanes<T>; l++) lanes |= uint32_t(holds[l] != 0) << l;
  return lanes;
}

// Numbers place(0), place(1), … of a and of b after it, places that are known when this is compiled.
template <class T, class Place, int... lane>
inline Vec<T> chosen(Vec<T> a, Vec<T> b, Place place, std::integer_sequence<int, lane...>) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, place(lane)...);
#else
  return __builtin_shuffle(a, b, IntVec<T>{place(lane)...});
#endif
}
template <class T> using EveryLane = std::make_integer_sequence<int, kLanes<T>>;

// The smallest lane of a vector without NaN.
template <class T, int Apart = kLanes<T> / 2> inline T smallest(Vec<T> a) {
  const Vec<T> other = chosen<T>(a, a, [](int lane) { return lane ^ Apart; }, EveryLane<T>{});
  a = other < a ? other : a;
  if constexpr (Apart > 1) return smallest<T, Apart / 2>(a);
  return a[0];
}

// Rows become columns: lane j of vector i is lane i of vector j after it. Blocks of more than `Apart` rows and columns
// are in place already.
template <class T, int Apart = kLanes<T> / 2> inline void transpose(Vec<T> (&rows)[kLanes<T>]) {
  constexpr int L = kLanes<T>;
  constexpr auto of_low = [](int lane) { return lane & Apart ? lane - Apart + L : lane; };
  constexpr auto of_high = [](int lane) { return lane & Apart ? lane + L : lane + Apart; };
#pragma GCC unroll 16
  for (int i = 0; i < L; i++) {  // swaps blocks of so many rows and columns
    if (i & Apart) continue;
    const Vec<T> low = rows[i];
    const Vec<T> high = rows[i + Apart];
    rows[i] = chosen<T>(low, high, of_low, EveryLane<T>{});
    rows[i + Apart] = chosen<T>(low, high, of_high, EveryLane<T>{});
  }
  if constexpr (Apart > 1) transpose<T, Apart / 2>(rows);
}

// The columns of L rows of L numbers that begin `stride` numbers apart.
template <class T> inline void columns_of(const T* rows, int64_t stride, Vec<T> (&columns)[kLanes<T>]) {
  constexpr int L = kLanes<T>;
#if defined(__AVX2__) && defined(__FMA__)  // loads swap the halves
  auto joined = [&](int i, int part) {
    const double* low = reinterpret_cast<const double*>(rows + i * stride + part);
    const double* high = reinterpret_cast<const double*>(rows + (i + L / 2) * stride + part);
#if defined(__AVX512F__) && defined(__AVX512DQ__)
    return (Vec<T>)_mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(low)), _mm256_loadu_pd(high), 1);
#else
    return (Vec<T>)_mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(low)), _mm_loadu_pd(high), 1);
#endif
  };
#pragma GCC unroll 8
  for (int i = 0; i < L / 2; i++) {
    columns[i] = joined(i, 0);
    columns[i + L / 2] = joined(i, L / 2);
  }
  transpose<T, L / 4>(columns);
#else
  for (int i = 0; i < L; i++) std::memcpy(&columns[i], rows + i * stride, sizeof columns[i]);
  transpose<T>(columns);
#endif
}

// Horner's rule over coefficients from the highest power down
template <class T, int N> inline Vec<T> polynomial(const T (&c)[N], Vec<T> x) {
  Vec<T> sum = splat<T>(c[0]);
  for (int i = 1; i < N; i++) sum = fma(sum, x, splat<T>(c[i]));
  return sum;
}

// The format of T, and constants that go with it.
template <class T> struct Ieee;
template <> struct Ieee<float> {
  static constexpr int mantissa = 23;
  static constexpr int bias = 127;
  static constexpr float round = 12582912.0f;      // 1.5·2²³: adding it rounds to a whole number
  static constexpr float ln2_high = 0.693145752f;  // the first 16 bits of ln 2, so that n · ln2_high is exact
  static constexpr float ln2_low = 1.42860677e-6f;
  static constexpr float exp_least = -87.0f;  // e to it is still a normal number
};
template <> struct Ieee<double> {
  static constexpr int mantissa = 52;
  static constexpr int bias = 1023;
  static constexpr double round = 6755399441055744.0;
  static constexpr double ln2_high = 0.693147180369123816490;
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr double exp_least = -708.0;
};

// e^x = 2^n (1 + p): n whole, p = e^r − 1 with |r| ≤ ln 2 / 2 by Taylor's series. x in [exp_least, ~80]; NaN stays NaN.
template <class T> struct ExpParts {
  Vec<T> scale;  // 2^n
  Vec<T> p;
};
template <class T> inline ExpParts<T> exp_parts(Vec<T> x) {
  constexpr T ln2_inverse = T(1.44269504088896340736);
  Vec<T> shifted = fma(x, splat<T>(ln2_inverse), splat<T>(Ieee<T>::round));
  Vec<T> n = shifted - Ieee<T>::round;
  Vec<T> r = fma(n, splat<T>(-Ieee<T>::ln2_high), x);
  r = fma(n, splat<T>(-Ieee<T>::ln2_low), r);
  Vec<T> q;
  if constexpr (sizeof(T) == 4) {
    constexpr T c[] = {1 / 5040.f, 1 / 720.f, 1 / 120.f, 1 / 24.f, 1 / 6.f, 0.5f};
    q = polynomial<T>(c, r);
  } else {
    constexpr T c[] = {1 / 6227020800., 1 / 479001600., 1 / 39916800., 1 / 3628800., 1 / 362880., 1 / 40320.,
                       1 / 5040.,       1 / 720.,       1 / 120.,      1 / 24.,      1 / 6.,      0.5};
    q = polynomial<T>(c, r);
  }
  IntVec<T> power = bits<IntVec<T>>(shifted) - bits<IntVec<T>>(splat<T>(Ieee<T>::round));
  Vec<T> scale = bits<Vec<T>>((power + Ieee<T>::bias) << Ieee<T>::mantissa);
  return {scale, fma(q * r, r, r)};
}

// e^x for x ≤ ~80; below exp_least it stays at e^exp_least (1e−38 in float, 3e−308 in double)
template <class T> inline Vec<T> exp(Vec<T> x) {
  x = x < Ieee<T>::exp_least ? splat<T>(Ieee<T>::exp_least) : x;
  ExpParts<T> e = exp_parts<T>(x);
  return fma(e.scale, e.p, e.scale);
}

template <class T> inline Vec<T> absolute(Vec<T> x) { return x < 0 ? -x : x; }
template <class T> inline Vec<T> with_sign(Vec<T> magnitude, Vec<T> x) { return x < 0 ? -magnitude : magnitude; }

// tanh x = t/(t + 2) with t = e^{2|x|} − 1, which keeps small x accurate
template <class T> inline Vec<T> tanh(Vec<T> x) {
  Vec<T> twice = 2 * absolute<T>(x);
  ExpParts<T> e = exp_parts<T>(twice > 44 ? splat<T>(44) : twice);
  Vec<T> t = fma(e.scale, e.p, e.scale - 1);
  return with_sign<T>(t / (t + 2), x);
}

// erf(a)/a from a², a ≤ 1: Maclaurin's series
template <class T> inline Vec<T> erf_series(Vec<T> square) {
  if constexpr (sizeof(T) == 4) {
    constexpr T c[] = {1.4807193e-8f, -1.6365845e-7f, 1.6462114e-6f,  -1.4925650e-5f,  1.2055333e-4f, -8.5483270e-4f,
                       5.2239776e-3f, -2.6866171e-2f, 1.12837917e-1f, -3.76126389e-1f, 1.12837917f};
    return polynomial<T>(c, square);
  } else {
    constexpr T c[] = {
        4.76334804051506812e-18, -9.06397084280867248e-17, 1.63426140953671519e-15, -2.78351620721092135e-14,
        4.46322426328647734e-13, -6.71136685516411038e-12, 9.42275906465041097e-11, -1.22905553017179274e-9,
        1.48071928158792172e-8,  -1.63658446912349243e-7,  1.64621143658892474e-6,  -1.4925650358406251e-5,
        1.20553329817896643e-4,  -8.54832702345085283e-4,  5.22397762544218784e-3,  -2.68661706451312518e-2,
        1.12837916709551257e-1,  -3.76126389031837525e-1,  1.12837916709551257};
    return polynomial<T>(c, square);
  }
}

// erfcx(a) = e^{a²} (1 − erf a) for 1 ≤ a ≤ 6.6: a Chebyshev fit in (a − 5/2)/(a + 5/2), which leaves an absolute error
// of erf of 3e−9 in float, 2e−17 in double
template <class T> inline Vec<T> erfcx_fit(Vec<T> a) {
  const Vec<T> u = (a - T(2.5)) / (a + T(2.5));
  if constexpr (sizeof(T) == 4) {
    constexpr T c[] = {8.46174062e-4f,  -2.55917545e-3f, -3.99321820e-3f, 3.99127988e-2f,
                       -1.25032853e-1f, 2.51713562e-1f,  -3.71736741e-1f, 2.10806362e-1f};
    return polynomial<T>(c, u);
  } else {
    constexpr T c[] = {
        1.91254520622344274e-7,  -1.54046620591677061e-6, -2.35532284859896432e-6, 7.47164823044991814e-6,
        1.8628063740388738e-5,   -3.41691577227643265e-5, -1.28878899637202426e-4, 2.28379204708843232e-4,
        8.75915569715617983e-4,  -2.64236590689563747e-3, -3.99370117012422002e-3, 3.99225390742026898e-2,
        -1.25033052378762396e-1, 2.51713193217462020e-1,  -3.71736733948973654e-1, 2.10806364061143561e-1};
    return polynomial<T>(c, u);
  }
}

// erf x: the series up to |x| = 1; beyond, 1 − e^{−x²} erfcx(|x|)
template <class T> inline Vec<T> erf(Vec<T> x) {
  Vec<T> a = absolute<T>(x);
  a = a > T(6.6) ? splat<T>(T(6.6)) : a;
  Vec<T> square = a * a;
  Vec<T> value = a < 1 ? a * erf_series<T>(square) : 1 - exp<T>(-square) * erfcx_fit<T>(a);
  value = x != x ? x : value;
  return with_sign<T>(value, x);
}

// 2 atanh(f/(2 + f)) = ln(1 + f) for |f| ≤ 0.42
template <class T> inline Vec<T> log1p_small(Vec<T> f) {
  Vec<T> s = f / (2 + f);
  Vec<T> s2 = s * s;
  Vec<T> series;
  if constexpr (sizeof(T) == 4) {
    constexpr T c[] = {2 / 11.f, 2 / 9.f, 2 / 7.f, 2 / 5.f, 2 / 3.f};
    series = polynomial<T>(c, s2);
  } else {
    constexpr T c[] = {2 / 23., 2 / 21., 2 / 19., 2 / 17., 2 / 15., 2 / 13., 2 / 11., 2 / 9., 2 / 7., 2 / 5., 2 / 3.};
    series = polynomial<T>(c, s2);
  }
  // ln(1+f) = 2s + s·s²·series, and 2s = f − s f
  return f - s * (f - s2 * series);
}

// ln x for normal x > 0, as n ln 2 + ln(1 + f) with √½ ≤ 1 + f < √2
template <class T> struct LogParts {
  Vec<T> n;
  Vec<T> f;
};
template <class T> inline LogParts<T> log_parts(Vec<T> x) {
  IntVec<T> raw = bits<IntVec<T>>(x);
  IntVec<T> offset = bits<IntVec<T>>(splat<T>(T(0.70710678118654752440)));
  IntVec<T> exponent = (raw - offset) >> Ieee<T>::mantissa;
  Vec<T> m = bits<Vec<T>>(raw - (exponent << Ieee<T>::mantissa));
  // as in exp_parts: the last bits of a number whose last place is 1
  Vec<T> n = bits<Vec<T>>(exponent + bits<Int<T>>(Ieee<T>::round)) - Ieee<T>::round;
  return {n, m - 1};
}
template <class T> inline Vec<T> from_log_parts(LogParts<T> l) {
  const Vec<T> low = fma(l.n, splat<T>(Ieee<T>::ln2_low), log1p_small<T>(l.f));
  return fma(l.n, splat<T>(Ieee<T>::ln2_high), low);
}
template <class T> inline Vec<T> log(Vec<T> x) {
  Vec<T> value = from_log_parts<T>(log_parts<T>(x));
  return x != x ? x : value;
}
