// All units of a layer at one place of a path, in vectors that may begin at any unit.
#pragma once
#include "moments.h"

// Which formula a moment has.
enum class Formula { kCentredLinear, kLinear, kErf, kSeries };

// What is piecewise linear has a slope below 0: relu 0, the identity 1.
inline bool is_linear(int32_t activation) {
  return activation == kRelu || activation == kLeakyRelu || activation == kIdentity;
}
inline double slope_below_zero(const NetworkSpec& net) {
  return net.activation == kRelu ? 0.0 : (net.activation == kIdentity ? 1.0 : net.negative_slope);
}
inline Formula formula_of(const NetworkSpec& u, const NetworkSpec& w, bool centred) {
  if (is_linear(u.activation) && is_linear(w.activation)) return centred ? Formula::kCentredLinear : Formula::kLinear;
  return u.activation == kErf && w.activation == kErf ? Formula::kErf : Formula::kSeries;
}

// Units 0 … n − 1, and again from 0 on, so that a vector may begin at any of 0 … 2 n − 1.
class UnitTable {
 public:
  const int64_t n;
  const int64_t extent;  // numbers in a row
  std::vector<double> mean;
  std::vector<double> variance;

  // with_series: some moment has no closed form.
  UnitTable(const NetworkSpec& net, bool centred, bool with_series)
      : n(net.widths[1]),
        extent((2 * n + 2 * kPairLanes - 1) / kPairLanes * kPairLanes),
        mean(size_t(extent)),
        variance(size_t(extent)),
        erf(net.activation == kErf),
        closed(!centred && (is_linear(net.activation) || erf)),
        rows(closed ? 4 : 0),
        parts(rows * extent / kPairLanes),
        coefficients(net.activation, slope_below_zero(net), centred),
        table(with_series ? kCoefficients * extent / kPairLanes : 0),
        with_series(with_series) {}

  bool odd() const { return coefficients.odd(); }

  // Everything else, from means and variances of the first n.
  void fill() {
    repeat(mean.data());
    repeat(variance.data());
    const int64_t stride = extent / kPairLanes;
    for (int64_t i = 0; i < n && closed; i += kPairLanes) {
      const int64_t block = i / kPairLanes;
      const V c = at(&variance[size_t(i)]);
      const V spread = sqrt(erf ? 1 + c : c);
      const V h = standardised(at(&mean[size_t(i)]), spread);
      const V density = normal_density(h);
      const V values[4] = {spread, h, density, normal_tail(h, density)};
      for (int row = 0; row < 4; row++) parts[row * stride + block] = values[row];
    }
    for (int64_t row = 0; row < rows; row++) repeat(numbers(parts) + row * extent);
    if (!with_series) return;
    for (int64_t i = 0; i < n; i += kPairLanes)
      coefficients.write(at(&mean[size_t(i)]), at(&variance[size_t(i)]), &table[i / kPairLanes], stride);
    for (int64_t k = 0; k < kCoefficients; k++) repeat(numbers(table) + k * extent);
  }

  // A vector of units from number i on.
  Unit1 from(int64_t i) const {
    return make([&](const double* row) { return at(row + i); });
  }
  // One unit, in every lane.
  Unit1 only(int64_t i) const {
    return make([&](const double* row) { return splat(row[i]); });
  }
  V coefficient(int k, int64_t i) const { return at(numbers(table) + k * extent + i); }
  V coefficient_of_one(int k, int64_t i) const { return splat(numbers(table)[k * extent + i]); }

 private:
  const bool erf;
  const bool closed;
  const int64_t rows;
  Aligned<double> parts;  // [spread, h, density, tail][extent]
  HermiteCoefficients coefficients;
  Aligned<double> table;  // [kCoefficients][extent]
  const bool with_series;

  static double* numbers(const Aligned<double>& vectors) { return reinterpret_cast<double*>(vectors.data.get()); }
  void repeat(double* row) const {
    for (int64_t i = n; i < extent; i++) row[i] = row[i - n];
  }
  template <class Read> Unit1 make(const Read& read) const {
    Unit1 unit{};
    unit.mean = read(mean.data());
    unit.variance = read(variance.data());
    if (!closed) return unit;
    const double* part = numbers(parts);
    unit.spread = read(part);
    unit.h = read(part + extent);
    unit.density = read(part + 2 * extent);
    unit.tail = read(part + 3 * extent);
    return unit;
  }
};

// E σ(u), and its first and second derivative by the mean.
struct FirstMoment {
  V value;
  V by_mean;
  V by_mean_twice;
};
inline FirstMoment first_moment(const NetworkSpec& net, const UnitTable& units, bool with_series, int64_t i) {
  const V mean = at(&units.mean[size_t(i)]);
  const V variance = at(&units.variance[size_t(i)]);
  if (with_series) {
    const V root = sqrt(larger(variance, splat(kSmallestVariance)));
    return {units.coefficient(0, i), units.coefficient(1, i) / root,
            1.41421356237309504880 * units.coefficient(2, i) / (root * root)};
  }
  if (net.activation == kErf) {
    const V spread = sqrt(1 + variance);
    const V h = standardised(mean, spread);
    const V density = 2 * normal_density(h) / spread;
    const V tail = normal_tail(h, 0.5 * density * spread);
    return {h < 0 ? 2 * tail - 1 : 1 - 2 * tail, density, -h / spread * density};
  }
  const double slope = slope_below_zero(net);
  const V spread = sqrt(variance);
  const V h = standardised(mean, spread);
  const V density = normal_density(h);
  const V tail = normal_tail(h, density);
  const V below = h < 0 ? tail : 1 - tail;
  const V relu = mean * below + spread * density;
  return {slope * mean + (1 - slope) * relu, slope + (1 - slope) * below,
          (1 - slope) * (spread > 0 ? density / spread : V{})};
}
