// Vectors of one number per network, and how their lanes are moved; functions.h has exponentials and the like.
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
