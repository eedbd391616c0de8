// How far a population loss can bend between two places of its path: theory/population/bounds.py derives the bounds.
#pragma once
#include "certain_maximum.h"
#include "population_path.h"

class BoundedPath : public PopulationPath {
 public:
  BoundedPath(const NetworkSpec& net, const NetworkSpec& star)
      : PopulationPath(net, star),
        row(blocks * kPairLanes),
        own_suprema(suprema_of(net, centred)),
        star_suprema(suprema_of(star, centred)),
        outputs_start(size_t(outputs * row)),
        outputs_change(outputs_start.size()),
        output_rates(size_t(row)),
        steps(size_t(row)),
        bottoms(size_t(row)) {}

  void set(const PathEnds& ends) {
    PopulationPath::set(ends);
    for (int64_t o = 0; o < outputs; o++)
      for (int64_t i = 0; i < width; i++) {
        outputs_start[size_t(o * row + i)] = start[size_t(output_at() + o * width + i)];
        outputs_change[size_t(o * row + i)] = change[size_t(output_at() + o * width + i)];
      }
    for (int64_t i = 0; i < width; i++) {
      output_rates[size_t(i)] =
          std::sqrt(dot(&outputs_change[size_t(i)], row, &outputs_change[size_t(i)], row, outputs));
      steps[size_t(i)] = std::sqrt(speed[size_t(i)]);
      bottoms[size_t(i)] = std::sqrt(least[size_t(i)]);
    }
    bias_rate = 0;
    for (int64_t o = 0; o < outputs && net.biases; o++) {
      const double rate = change[size_t(output_bias_at() + o)];
      bias_rate += rate * rate;
    }
    bias_rate = std::sqrt(bias_rate);
    set_teacher_norms(ends.teacher);
  }

  // Bounds on the piece from left to right, at whose ends the loss is loss_left and loss_right.
  Bend bend(double left, double right, double loss_left, double loss_right) const {
    const double length = right - left;
    const bool kinked = is_linear(net.activation) && slope_below_zero(net) != 1;
    V f_rate{};
    V f_rate_twice{};
    V own_norms{};
    V own_growth{};
    for (int64_t i = 0; i < row; i += kPairLanes) {
      const Sizes sizes = sizes_of(i, left, right);
      const V size = value_norm(own_suprema, sizes.mean, sizes.root);
      const V mean_rate = absolute<double>(at(&mean_change[size_t(i)]));
      const V step = at(&steps[size_t(i)]);
      const V by_rate = own_suprema.slope * (mean_rate + step);
      const V speed_4 = mean_rate + kFourthMoment * step;
      const V output_rate = at(&output_rates[size_t(i)]);
      f_rate += output_rate * size + sizes.output * by_rate;
      f_rate_twice += 2 * output_rate * by_rate + sizes.output * (own_suprema.curvature * speed_4 * speed_4);
      own_norms += sizes.output * size;
      own_growth += sizes.output * (own_suprema.slope * sizes.root);
    }
    const double rate = sum_of(f_rate) + bias_rate;
    const double ends = std::sqrt(2 * std::max(loss_left, 0.0)) + std::sqrt(2 * std::max(loss_right, 0.0));
    const double residual = (ends + length * rate) / 2;
    Bend found{residual * rate, residual * sum_of(f_rate_twice), 0};
    if (!kinked) return found;
    const double still = sum_of(own_norms) + star_norm + std::max(gap(left), gap(right));
    const double growth = sum_of(own_growth) + star_growth;
    V kinks{};
    for (int64_t i = 0; i < row; i += kPairLanes) {
      const Sizes sizes = sizes_of(i, left, right);
      const V falls = centred ? falls_centred(i, left, right, sizes, still)
                              : length * density_of_kinks(i, left, right, sizes, still, growth);
      kinks += sizes.output > 0 ? sizes.output * falls : V{};
    }
    found.kinks = std::fabs(1 - slope_below_zero(net)) * sum_of(kinks);
    return found;
  }

 private:
  static constexpr double kFourthMoment = 1.31607401295249246;  // (E z⁴)^¼ = 3^¼
  struct Suprema {                                              // of |σ|, |σ′| and |σ″|, kinks left out
    double value;
    double slope;
    double curvature;
  };
  struct Sizes {  // on a piece: the larger of both ends
    V mean;
    V root;
    V output;
    V norm_left;
    V norm_right;
    V mean_left;
    V mean_right;
  };
  const int64_t row;  // units, filled up to whole vectors
  const Suprema own_suprema;
  const Suprema star_suprema;
  std::vector<double> outputs_start;   // [outputs][row], zero where there is no unit
  std::vector<double> outputs_change;  // [outputs][row]
  std::vector<double> output_rates;    // |Δv|
  std::vector<double> steps;           // |Δw|
  std::vector<double> bottoms;         // |w⊥|
  double bias_rate = 0;
  double star_norm = 0;    // of the teacher: the sum of its units' norms times their output weights
  double star_growth = 0;  // and by how much it grows with their means, in standard deviations

  static Suprema suprema_of(const NetworkSpec& of, bool centred) {
    constexpr double infinite = std::numeric_limits<double>::infinity();
    if (is_linear(of.activation)) {
      const double slope = slope_below_zero(of);
      // at zero means u and −u are alike: E σ(u)² = ½ (1 + s²) E u²
      return {infinite, centred ? std::sqrt((1 + slope * slope) / 2) : std::max(1.0, std::fabs(slope)), 0};
    }
    if (of.activation == kErf) return {1, 0.79788456080286535588, 0.48394144903828669956};
    if (of.activation == kTanh) return {1, 1, 0.76980035891950101944};
    return {infinite, 1.12890414518516006, 0.79788456080286535588};  // gelu′ = Φ + uφ is largest at √2
  }

  static V value_norm(const Suprema& of, V mean, V root) { return smaller(splat(of.value), of.slope * (mean + root)); }

  Sizes sizes_of(int64_t i, double left, double right) const {
    const V speeds = at(&speed[size_t(i)]);
    const V nearests = at(&nearest[size_t(i)]);
    const V leasts = at(&least[size_t(i)]);
    const V means = at(&mean_start[size_t(i)]);
    const V mean_rates = at(&mean_change[size_t(i)]);
    Sizes sizes;
    sizes.norm_left = sqrt(leasts + (left - nearests) * (left - nearests) * speeds);
    sizes.norm_right = sqrt(leasts + (right - nearests) * (right - nearests) * speeds);
    sizes.root = larger(sizes.norm_left, sizes.norm_right);
    sizes.mean_left = means + left * mean_rates;
    sizes.mean_right = means + right * mean_rates;
    sizes.mean = larger(absolute<double>(sizes.mean_left), absolute<double>(sizes.mean_right));
    V squares_left{};
    V squares_right{};
    for (int64_t o = 0; o < outputs; o++) {
      const V v = at(&outputs_start[size_t(o * row + i)]);
      const V dv = at(&outputs_change[size_t(o * row + i)]);
      squares_left += (v + left * dv) * (v + left * dv);
      squares_right += (v + right * dv) * (v + right * dv);
    }
    sizes.output = sqrt(larger(squares_left, squares_right));
    return sizes;
  }

  double gap(double alpha) const {
    double squares = 0;
    for (int64_t o = 0; o < outputs; o++) {
      const double rate = net.biases ? change[size_t(output_bias_at() + o)] : 0;
      const double difference = bias[size_t(o)] + alpha * rate;
      squares += difference * difference;
    }
    return std::sqrt(squares);
  }

  void set_teacher_norms(const double* params) {
    const double* output = params + star_width * (inputs + star.biases);
    star_norm = star_growth = 0;
    for (int64_t j = 0; j < star_width; j++) {
      const double weight = std::sqrt(dot(output + j, star_width, output + j, star_width, outputs));
      const double root = std::sqrt(stars.variance[size_t(j)]);
      const double norm = star_suprema.slope * (std::fabs(stars.mean[size_t(j)]) + root);
      star_norm += weight * std::min(star_suprema.value, norm);
      star_growth += weight * star_suprema.slope * root;
    }
  }

  // How far L′ falls because of each unit's kink, over κ |v|: |Δw| sin φ is the integral of |w⊥|² |Δw|²/|w|³.
  V falls_centred(int64_t i, double left, double right, const Sizes& sizes, double still) const {
    const V step = at(&steps[size_t(i)]);
    const V nearests = at(&nearest[size_t(i)]);
    auto sine = [&](double end, V norm) {
      const V away = end - nearests;
      const V sign = away > 0 ? splat(1.0) : (away < 0 ? splat(-1.0) : V{});
      return norm > 0 ? step * away / norm : sign;
    };
    const V turned = sine(right, sizes.norm_right) - sine(left, sizes.norm_left);
    return std::sqrt(3 / (2 * kPi)) * step * turned * still;
  }

  // sup p_u(0) √E[u′⁴ | u = 0] √E[|r|² | u = 0] for units with means: φ(k)/√c times a cubic in k = |μ|/√c, whose every
  // term k^n φ(k) is largest at √n.
  V density_of_kinks(int64_t i, double left, double right, const Sizes& sizes, double still, double growth) const {
    const V step = at(&steps[size_t(i)]);
    const V speeds = at(&speed[size_t(i)]);
    const V nearests = at(&nearest[size_t(i)]);
    const V mean_rate = absolute<double>(at(&mean_change[size_t(i)]));
    const V away = larger(smaller(nearests, splat(right)), splat(left)) - nearests;
    const V closest = sqrt(at(&least[size_t(i)]) + away * away * speeds);
    const V bottom = at(&bottoms[size_t(i)]);
    const I crosses = sizes.mean_left * sizes.mean_right <= 0;
    const V least_mean = crosses ? V{} : smaller(absolute<double>(sizes.mean_left), absolute<double>(sizes.mean_right));
    const V lowest = sizes.root > 0 ? least_mean / sizes.root : V{};
    const V highest = closest > 0 ? sizes.mean / closest : lowest;
    const V share = closest > 0 ? bottom / closest : splat(1.0);
    const V base = mean_rate + kFourthMoment * step * smaller(splat(1.0), share);
    const V square[3] = {base * base, 2 * base * step, step * step};
    const V cubic[4] = {square[0] * still, square[1] * still + square[0] * growth,
                        square[2] * still + square[1] * growth, square[2] * growth};
    V total{};
    for (int n = 0; n < 4; n++) {
      const V place = larger(smaller(splat(std::sqrt(double(n))), highest), lowest);
      V term = cubic[n] * exp<double>(-0.5 * place * place);
      for (int power = 0; power < n; power++) term *= place;
      total += term;
    }
    const V density = total / (std::sqrt(2 * kPi) * closest);
    const I unmoved = (mean_rate == 0) & (step == 0);
    const I constant = (sizes.root == 0) & (least_mean > 0);
    const V bound = closest > 0 ? density : splat(std::numeric_limits<double>::infinity());
    return (unmoved | constant) ? V{} : bound;
  }
};
