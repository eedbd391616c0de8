// Exponentials, logarithms and the error function, a vector of numbers at a time and to a few units in the last place:
// what training, drawing and theory's twins need of them.
#pragma once
#include "vector.h"

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
