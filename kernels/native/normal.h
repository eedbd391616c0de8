// One and two Gaussian variables: what the moments of activations are made of, a vector of pairs at a time.
#pragma once
#include "functions.h"

using V = Vec<double>;
using I = IntVec<double>;
constexpr int kPairLanes = kLanes<double>;
constexpr double kPi = 3.14159265358979323846;
constexpr double kFarthest = 40;  // standard deviations: φ beyond is 0 in double

inline V at(const double* from) {
  V vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}
inline double sum_of(V vector) {
  double sum = 0;
  for (int l = 0; l < kPairLanes; l++) sum += vector[l];
  return sum;
}
inline V larger(V a, V b) { return a > b ? a : b; }
inline V smaller(V a, V b) { return a < b ? a : b; }

// a·b + c, rounded once on every machine.
inline V exact_fma(V a, V b, V c) {
#if (defined(__x86_64__) && !defined(__FMA__))
  for (int l = 0; l < kPairLanes; l++) c[l] = std::fma(a[l], b[l], c[l]);
  return c;
#else
  return fma(a, b, c);
#endif
}

// a b − c d to a few units in the last place of the result (Kahan).
inline V difference_of_products(V a, V b, V c, V d) {
  const V second = c * d;
  const V lost = exact_fma(-c, d, second);
  return exact_fma(a, b, -second) + lost;
}

// a/b; where b is 0 the sign of a times as much as no Gaussian reaches (0 for the sign 0).
inline V ratio(V a, V b) {
  const V limit = a > 0 ? splat(2 * kFarthest) : (a < 0 ? splat(-2 * kFarthest) : V{});
  return b == 0 ? limit : a / b;
}
// The same within ±kFarthest, beyond which no distribution function moves.
inline V standardised(V a, V b) { return larger(smaller(ratio(a, b), splat(kFarthest)), splat(-kFarthest)); }

// atan(y/x) in [0, π] for y ≥ 0, of x < 0 too; 0 for x = y = 0 (Cephes).
inline V half_plane_angle(V y, V x) {
  constexpr double top[] = {-8.750608600031904122785e-1, -1.615753718733365076637e1, -7.500855792314704667340e1,
                            -1.228866684490136173410e2, -6.485021904942025371773e1};
  constexpr double bottom[] = {1,
                               2.485846490142306297962e1,
                               1.650270098316988542046e2,
                               4.328810604912902668951e2,
                               4.853903996359136964868e2,
                               1.945506571482613964425e2};
  const V size = absolute<double>(x);
  const I steep = y > size;
  const V low = steep ? size : y;
  const V high = steep ? y : size;
  const I upper = low > 0.66 * high;  // then by atan t = π/4 + atan((t − 1)/(t + 1))
  const V above = upper ? low - high : low;
  const V below = upper ? low + high : high;
  const V t = below > 0 ? above / below : V{};
  const V square = t * t;
  V angle = fma(t * square, polynomial<double>(top, square) / polynomial<double>(bottom, square), t);
  angle = upper ? angle + kPi / 4 : angle;
  angle = steep ? kPi / 2 - angle : angle;
  return x < 0 ? kPi - angle : angle;
}

// φ(x) for |x| ≤ kFarthest.
inline V normal_density(V x) {
  constexpr double scale = 0.39894228040143267794;
  return scale * exp<double>(-0.5 * x * x);
}

// 1 − Φ(|x|), from x and φ(x).
inline V normal_tail(V x, V density) {
  const V a = smaller(absolute<double>(x) * 0.70710678118654752440, splat(6.6));
  const V near = 0.5 - 0.5 * a * erf_series<double>(a * a);
  const V far = 1.25331413731550025121 * density * erfcx_fit<double>(a);  // √(π/2) φ(x) = ½ e^{−a²}
  return a < 1 ? near : far;
}

// Owen's T(h, t/h) (Owen 1956), from |h|, |t| and the densities and tails of both; even in h, odd in t, T(0, ±∞) = ±¼.
// With p the larger of |h| and |t|, and a ≤ 1 their ratio, T is ∫_0^a e^{−p²(1+x²)/2}/(1+x²) dx/2π, or what is missing
// of ½(Q(h) + Q(t)) − Q(h) Q(t), Q = 1 − Φ. Above a = ½ the rest up to T(p, 1) = ½ Φ(p) Q(p) is integrated:
// Gauss–Legendre of 8 points is exact to 1.3e−16 on intervals of that length.
struct OwenSide {
  V size;
  V density;
  V tail;
};
inline V owens_t(const OwenSide& h, const OwenSide& t) {
  constexpr double nodes[] = {0.96028985649753623168, 0.79666647741362673959, 0.52553240991632898582,
                              0.18343464249564980494};
  constexpr double weights[] = {0.10122853629037625915, 0.22238103445337447054, 0.31370664587788728734,
                                0.36268378337836198297};
  const I turned = t.size > h.size;
  const V p = turned ? t.size : h.size;
  const V q = turned ? h.size : t.size;
  const V density = turned ? t.density : h.density;
  const V tail = turned ? t.tail : h.tail;
  const V a = p > 0 ? q / p : V{};
  const I wide = a > 0.5;
  const V middle = 0.5 * (wide ? a + 1 : a);
  const V half = 0.5 * (wide ? 1 - a : a);
  const V scale = -0.5 * p * p;
  V sum{};
#pragma GCC unroll 4
  for (int k = 0; k < 4; k++) {  // nodes in pairs, which share a division
    const V left = fma(half, splat(-nodes[k]), middle);
    const V right = fma(half, splat(nodes[k]), middle);
    const V below_left = fma(left, left, splat(1.0));
    const V below_right = fma(right, right, splat(1.0));
    const V of_left = exp<double>(scale * (left * left)) * below_right;
    const V of_right = exp<double>(scale * (right * right)) * below_left;
    sum += weights[k] * (of_left + of_right) / (below_left * below_right);
  }
  constexpr double share = 0.39894228040143267794;  // e^{−p²/2}/2π = φ(p)/√2π
  const V integral = share * density * half * sum;
  const V within = wide ? 0.5 * tail * (1 - tail) - integral : integral;
  return turned ? 0.5 * (h.tail + t.tail) - h.tail * t.tail - within : within;
}
