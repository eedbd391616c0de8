// Moments E σ(u) τ(w) of Gaussian pre-activations, with their derivatives: the formulas of theory/population, a vector
// of pairs of units at a time.
#pragma once
#include "hermite.h"

// What is known of one unit, or of a vector of units; u of mean μ and variance c.
struct Unit1 {
  V mean;
  V variance;
  V spread;   // √c, for erf √(1 + c): erf(u/√2) = 2 P(z ≤ u) − 1
  V h;        // μ/spread, at most kFarthest
  V density;  // φ(h)
  V tail;     // 1 − Φ(|h|)
  V below() const { return h < 0 ? tail : 1 - tail; }
  OwenSide side() const { return {absolute<double>(h), density, tail}; }
};

// E σ(u) τ(w), and its derivatives by log c₁₁, c₁₂, log c₂₂, μ_u and μ_w.
struct Moment {
  V value;
  V log_u;
  V c12;
  V log_w;
  V mean_u;
  V mean_w;
};

// A standardised conditional mean, and the distribution function there.
struct Conditional {
  OwenSide side;
  I negative;
  explicit Conditional(V t) {
    const V density = normal_density(t);
    side = {absolute<double>(t), density, normal_tail(t, density)};
    negative = t < 0;
  }
  V below() const { return negative ? side.tail : 1 - side.tail; }
};

// P(u > 0, w > 0) for standardised means h and k, by Owen's T; root is √δ, δ = c₁₁ c₂₂ − c₁₂².
inline V both_positive(const Unit1& u, const Unit1& w, const Conditional& of_w, const Conditional& of_u, V root,
                       V c12) {
  const V first = owens_t(u.side(), of_w.side);
  const V second = owens_t(w.side(), of_u.side);
  const I u_negative = u.h < 0;
  const I w_negative = w.h < 0;
  const V halves = u.below() + w.below() - ((u_negative != w_negative) ? splat(1.0) : V{});
  V probability = 0.5 * halves - ((u_negative != of_w.negative) ? -first : first);
  probability -= (w_negative != of_u.negative) ? -second : second;
  const I centred = (u.h == 0) & (w.h == 0);
  probability = centred ? half_plane_angle(root, -c12) / (2 * kPi) : probability;
  return larger(probability, V{});
}

// (Leaky) relus of these slopes below 0 at zero means: the arc-cosine kernel (Cho & Saul 2009); slope 1 is the
// identity.
template <bool rates> Moment centred_linear(double slope_u, double slope_w, V c11, V c12, V c22) {
  const double bent = (1 - slope_u) * (1 - slope_w) / (2 * kPi);
  const double straight = (slope_u + slope_w) / 2;
  const V root = sqrt(larger(c11 * c22 - c12 * c12, V{}));
  const V angle = half_plane_angle(root, -c12);
  Moment moment{};
  moment.value = bent * (root + angle * c12) + straight * c12;
  if (rates) {
    moment.log_u = moment.log_w = bent / 2 * root;
    moment.c12 = bent * angle + straight;
  }
  return moment;
}

// The same with means: the truncated bivariate normal (Rosenbaum 1961), and Stein's lemma for the parts without a kink.
template <bool rates> Moment linear(double slope_u, double slope_w, const Unit1& u, const Unit1& w, V c12) {
  const V delta = difference_of_products(u.variance, w.variance, c12, c12);
  const V root = sqrt(larger(delta, V{}));
  // rounding may leave δ ≤ 0 where u and w are proportional; c₁₂ = ±√(c₁₁ c₂₂) then
  const V sign = c12 < 0 ? splat(-1.0) : splat(1.0);
  const V lead = w.mean * u.spread - sign * (u.mean * w.spread);
  const I spans = delta > 0;
  const V along_w = spans ? difference_of_products(w.mean, u.variance, c12, u.mean) : u.spread * lead;
  const V along_u = spans ? difference_of_products(u.mean, w.variance, c12, w.mean) : -sign * w.spread * lead;
  const Conditional of_w(standardised(along_w, u.spread * root));
  const Conditional of_u(standardised(along_u, w.spread * root));
  const V both = both_positive(u, w, of_w, of_u, root, c12);
  const V a = u.spread * u.density * of_w.below();
  const V b = w.spread * w.density * of_u.below();
  const V d = root * u.density * of_w.side.density;
  Moment moment{};
  moment.value = (u.mean * w.mean + c12) * both + w.mean * a + u.mean * b + d;
  const V by_u = u.spread > 0 ? 1 / u.spread : V{};
  const V by_w = w.spread > 0 ? 1 / w.spread : V{};
  if (rates) {
    moment.log_u = 0.5 * u.density * (along_w * by_u * of_w.below() + root * of_w.side.density);
    moment.log_w = 0.5 * w.density * (along_u * by_w * of_u.below() + root * of_u.side.density);
    moment.c12 = both;
    moment.mean_u = w.mean * both + b + c12 * by_u * u.density * of_w.below();
    moment.mean_w = u.mean * both + a + c12 * by_w * w.density * of_u.below();
  }
  if (slope_u == 0 && slope_w == 0) return moment;
  const V relu_u = u.mean * u.below() + u.spread * u.density;
  const V relu_w = w.mean * w.below() + w.spread * w.density;
  const double bent = (1 - slope_u) * (1 - slope_w);
  const double straight = slope_u * slope_w;
  const double u_straight = slope_u * (1 - slope_w);
  const double w_straight = (1 - slope_u) * slope_w;
  moment.value = bent * moment.value + straight * (u.mean * w.mean + c12) +
                 u_straight * (u.mean * relu_w + c12 * w.below()) + w_straight * (w.mean * relu_u + c12 * u.below());
  if (rates) {
    moment.c12 = bent * moment.c12 + straight + u_straight * w.below() + w_straight * u.below();
    moment.log_u = bent * moment.log_u + 0.5 * w_straight * u.density * (w.mean * u.spread - c12 * u.h);
    moment.log_w = bent * moment.log_w + 0.5 * u_straight * w.density * (u.mean * w.spread - c12 * w.h);
    moment.mean_u = bent * moment.mean_u + straight * w.mean + u_straight * relu_w +
                    w_straight * (w.mean * u.below() + c12 * by_u * u.density);
    moment.mean_w = bent * moment.mean_w + straight * u.mean + w_straight * relu_u +
                    u_straight * (u.mean * w.below() + c12 * by_w * w.density);
  }
  return moment;
}

// erf(u/√2) with erf(w/√2): the arcsine kernel (Williams 1997) at zero means, else the bivariate normal distribution.
template <bool rates> Moment of_erf(bool centred, const Unit1& u, const Unit1& w, V c12) {
  const V a = 1 + u.variance;
  const V b = 1 + w.variance;
  Moment moment{};
  if (centred) {
    const V root = sqrt(a + w.variance + larger(u.variance * w.variance - c12 * c12, V{}));  // of a b − c12²
    const V angle = half_plane_angle(absolute<double>(c12), root);
    moment.value = with_sign<double>(2 / kPi * angle, c12);
    if (rates) {
      moment.c12 = 2 / kPi / root;
      moment.log_u = -0.5 * moment.c12 * c12 * u.variance / a;
      moment.log_w = -0.5 * moment.c12 * c12 * w.variance / b;
    }
    return moment;
  }
  const V delta = difference_of_products(u.variance, w.variance, c12, c12);
  const V root = sqrt(a + w.variance + larger(delta, V{}));
  const Conditional of_w(standardised(difference_of_products(w.mean, a, c12, u.mean), u.spread * root));
  const Conditional of_u(standardised(difference_of_products(u.mean, b, c12, w.mean), w.spread * root));
  moment.value = 4 * both_positive(u, w, of_w, of_u, root, c12) - 2 * u.below() - 2 * w.below() + 1;
  if (rates) {
    moment.mean_u = 2 * u.density * (2 * of_w.below() - 1) / u.spread;
    moment.mean_w = 2 * w.density * (2 * of_u.below() - 1) / w.spread;
    moment.c12 = 4 * u.density * of_w.side.density / root;
    moment.log_u = -0.5 * u.variance / a * (u.mean * moment.mean_u + c12 * moment.c12);
    moment.log_w = -0.5 * w.variance / b * (w.mean * moment.mean_w + c12 * moment.c12);
  }
  return moment;
}

// Any two activations as a Hermite series Σ ρ^k a_k b_k (Mehler 1866) of kTerms terms; a(k) and b(k) give coefficients
// of two more, for the derivatives. odd: both activations are, and means are zero, so that only odd coefficients are
// not.
template <bool rates, class LoadU, class LoadW>
Moment series(bool odd, const LoadU& a, const LoadW& b, V c11, V c12, V c22) {
  const V root_u = sqrt(larger(c11, splat(kSmallestVariance)));
  const V root_w = sqrt(larger(c22, splat(kSmallestVariance)));
  const V scale = 1 / (root_u * root_w);
  const V rho = larger(smaller(c12 * scale, splat(1.0)), splat(-1.0));
  const int every = odd ? 2 : 1;
  const V step = odd ? rho * rho : rho;
  Moment sum{};
  for (int k = kTerms - 1; k >= 0; k -= every) sum.value = fma(sum.value, step, a(k) * b(k));
  if (odd) sum.value *= rho;
  if (!rates) return sum;
  for (int k = kTerms - 1; k >= 0; k -= every) {  // of odd activations k = 63, 61, … 1, and k + 1 of those is even
    const double twice = std::sqrt(double((k + 1) * (k + 2))) / 2;
    sum.log_u = fma(sum.log_u, step, twice * a(k + 2) * b(k));
    sum.log_w = fma(sum.log_w, step, twice * b(k + 2) * a(k));
  }
  for (int k = kTerms - every; k >= 0; k -= every) sum.c12 = fma(sum.c12, step, (k + 1) * a(k + 1) * b(k + 1));
  sum.c12 *= scale;
  if (odd) {
    sum.log_u *= rho;
    sum.log_w *= rho;
    return sum;  // means are zero
  }
  for (int k = kTerms - 1; k >= 0; k--) {
    const double once = std::sqrt(double(k + 1));
    sum.mean_u = fma(sum.mean_u, step, once * a(k + 1) * b(k));
    sum.mean_w = fma(sum.mean_w, step, once * b(k + 1) * a(k));
  }
  sum.mean_u /= root_u;
  sum.mean_w /= root_w;
  return sum;
}
