// Hermite coefficients a_k(μ, c) = E σ(μ + √c z) ĥ_k(z) of activations: theory/population/hermite_coefficients.py says
// where the formulas come from.
#pragma once
#include "network.h"
#include "normal.h"

constexpr int kTerms = 64;                 // of a series
constexpr int kCoefficients = kTerms + 2;  // two more serve the derivatives
constexpr double kSmallestVariance = 1e-24;
constexpr int kHalfNodes = 90;  // of tanh's trapezoidal sum over |z| ≤ 12, on each side of 0

// ĥ_{k+1}(x) from ĥ_k and ĥ_{k−1}: orthonormal under N(0, 1).
inline V next_hermite(int k, V x, V here, V before) {
  return (x * here - std::sqrt(double(k)) * before) / std::sqrt(double(k + 1));
}

// Nodes z_j = 12 j/90, j ≥ 0, of the trapezoidal sum, and 2 φ(z_j) ĥ_k(z_j) times the step (half of it at z = 0).
struct TrapezoidalRule {
  double nodes[kHalfNodes + 1];
  double weights[kCoefficients][kHalfNodes + 1];

  TrapezoidalRule() {
    const double step = 12.0 / kHalfNodes;
    for (int j = 0; j <= kHalfNodes; j++) {
      const double z = step * j;
      const double mass = std::exp(-0.5 * z * z) / std::sqrt(2 * kPi) * step * (j ? 1.0 : 0.5);
      double before = 0;
      double here = 1;
      nodes[j] = z;
      for (int k = 0; k < kCoefficients; k++) {
        weights[k][j] = mass * here;
        const double next = (z * here - std::sqrt(double(k)) * before) / std::sqrt(double(k + 1));
        before = here;
        here = next;
      }
    }
  }
  static const TrapezoidalRule& get() {
    static const TrapezoidalRule rule;
    return rule;
  }
};

// Coefficients a_0 … a_65 of a vector of units, a[k · stride].
class HermiteCoefficients {
 public:
  HermiteCoefficients(int32_t activation, double slope, bool centred)
      : activation(activation), slope(slope), centred(centred) {}

  // Whether only odd coefficients are not zero.
  bool odd() const { return centred && (activation == kTanh || activation == kErf || activation == kIdentity); }

  void write(V mean, V variance, V* a, int64_t stride) const {
    const V c = larger(variance, splat(kSmallestVariance));
    const V root = sqrt(c);
    switch (activation) {
      case kTanh: return of_tanh(mean, root, a, stride);
      case kErf: return of_erf(mean, c, a, stride, kCoefficients);
      case kGelu: return of_gelu(mean, c, root, a, stride);
      case kIdentity: return of_relu(mean, root, 1, a, stride);
      case kLeakyRelu: return of_relu(mean, root, slope, a, stride);
      default: return of_relu(mean, root, 0, a, stride);
    }
  }

 private:
  int32_t activation;
  double slope;
  bool centred;

  void of_tanh(V mean, V root, V* a, int64_t stride) const {
    const TrapezoidalRule& rule = TrapezoidalRule::get();
    V even[kHalfNodes + 1];
    V odds[kHalfNodes + 1];
    for (int j = 0; j <= kHalfNodes; j++) {
      const V right = tanh<double>(fma(root, splat(rule.nodes[j]), mean));
      const V left = centred ? -right : tanh<double>(fma(root, splat(-rule.nodes[j]), mean));
      even[j] = right + left;
      odds[j] = right - left;
    }
    for (int k = 0; k < kCoefficients; k += 2) {
      V sums[2] = {};
      for (int j = 0; j <= kHalfNodes; j++) {
        if (!centred) sums[0] = fma(even[j], splat(rule.weights[k][j]), sums[0]);
        sums[1] = fma(odds[j], splat(rule.weights[k + 1][j]), sums[1]);
      }
      a[k * stride] = sums[0];
      a[(k + 1) * stride] = sums[1];
    }
  }

  static void of_erf(V mean, V c, V* a, int64_t stride, int n) {
    const V spread = sqrt(1 + c);
    const V h = larger(smaller(mean / spread, splat(38.0)), splat(-38.0));
    const V density = normal_density(h);
    const V tail = normal_tail(h, density);
    const V share = sqrt(c) / spread;
    a[0] = h < 0 ? 2 * tail - 1 : 1 - 2 * tail;
    V before{};
    V here = 2 * density * share;
    for (int k = 1; k < n; k++) {  // here: 2 share^k φ(h) ĥ_{k−1}(−h)
      a[k * stride] = here / std::sqrt(double(k));
      const V next = share * (-h * here - std::sqrt(double(k - 1)) * share * before) / std::sqrt(double(k));
      before = here;
      here = next;
    }
  }

  // u Φ(u), from those of 2Φ(u) = 1 + erf by z ĥ_k = √(k+1) ĥ_{k+1} + √k ĥ_{k−1}
  static void of_gelu(V mean, V c, V root, V* a, int64_t stride) {
    V of_twice[kCoefficients + 1];
    of_erf(mean, c, of_twice, 1, kCoefficients + 1);
    of_twice[0] += 1;
    for (int k = 0; k < kCoefficients; k++) {
      const V below = k ? std::sqrt(double(k)) * of_twice[k - 1] : V{};
      const V beside = below + std::sqrt(double(k + 1)) * of_twice[k + 1];
      a[k * stride] = 0.5 * (mean * of_twice[k] + root * beside);
    }
  }

  static void of_relu(V mean, V root, double slope, V* a, int64_t stride) {
    const V h = larger(smaller(mean / root, splat(38.0)), splat(-38.0));
    const V density = normal_density(h);
    const V tail = normal_tail(h, density);
    const V below = h < 0 ? tail : 1 - tail;
    const double bent = 1 - slope;
    a[0] = bent * (mean * below + root * density) + slope * mean;
    a[stride] = bent * (root * below) + slope * root;
    V before{};
    V here = bent * root * density;
    for (int k = 2; k < kCoefficients; k++) {  // here: √c φ(h) ĥ_{k−2}(−h)
      a[k * stride] = here / std::sqrt(double(k * (k - 1)));
      const V next = next_hermite(k - 2, -h, here, before);
      before = here;
      here = next;
    }
  }
};
