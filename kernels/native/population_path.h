// The population loss of one pair's path: theory/population/path_terms.py and bounds.py, for one pair at a time.
#pragma once
#include "units.h"

// A path L(α) at one place: the loss and its slope.
struct LossAt {
  double value;
  double rate;
};

struct PathEnds {  // parameters in double, of one pair and its teacher
  const double* a;
  const double* b;
  const double* teacher;
};

class PopulationPath {
 public:
  PopulationPath(const NetworkSpec& net, const NetworkSpec& star)
      : net(net),
        star(star),
        width(net.widths[1]),
        star_width(star.widths[1]),
        inputs(net.inputs()),
        outputs(net.outputs()),
        blocks((width + kPairLanes - 1) / kPairLanes),
        centred(!net.biases && !star.biases),
        own(formula_of(net, net, centred)),
        between(formula_of(net, star, centred)),
        of_star(formula_of(star, star, centred)),
        with_series(own == Formula::kSeries || between == Formula::kSeries || of_star == Formula::kSeries),
        units(net, centred, with_series),
        stars(star, centred, with_series),
        own_overlaps((width / 2 + 1) * blocks * 6),
        star_overlaps(star_width * blocks * 4),
        start(size_t(net.n_parameters())),
        change(start.size()) {
    for (auto* row : {&speed, &nearest, &least, &log_rate, &norm_rate, &mean_start, &mean_change})
      row->assign(size_t(units.extent), 0.0);
    bias.resize(size_t(outputs));
    star_mean.resize(size_t(outputs));
  }

  // Begins another pair.
  void set(const PathEnds& ends) {
    std::copy_n(ends.a, start.size(), start.begin());
    for (size_t p = 0; p < start.size(); p++) change[p] = ends.b[p] - ends.a[p];
    set_units();
    set_own_overlaps();
    set_teacher(ends.teacher);
  }

  // L at α, and dL/dα where rates are asked for.
  template <bool rates> LossAt evaluate(double alpha) {
    place_units(alpha);
    LossAt own_part = students_with_each_other<rates>(alpha);
    const LossAt cross = students_with_teacher<rates>(alpha);
    LossAt loss{own_part.value / 2 + star_energy - cross.value, own_part.rate / 2 - cross.rate};
    if (net.biases || star.biases) add_biases(alpha, loss);
    return loss;
  }

 protected:
  const NetworkSpec& net;
  const NetworkSpec& star;
  const int64_t width;
  const int64_t star_width;
  const int64_t inputs;
  const int64_t outputs;
  const int64_t blocks;  // vectors of units
  const bool centred;
  const Formula own;
  const Formula between;
  const Formula of_star;
  const bool with_series;
  UnitTable units;
  UnitTable stars;
  Aligned<double> own_overlaps;   // [distance][block][q₀ q₁ q₂, v₀ v₁ v₂]: of units i and i + distance
  Aligned<double> star_overlaps;  // [teacher's unit][block][r₀ r₁, v₀ v₁]
  std::vector<double> start;      // parameters at α = 0
  std::vector<double> change;
  std::vector<double> speed;    // |Δw|² of each unit
  std::vector<double> nearest;  // α* where |w|² is least
  std::vector<double> least;    // |w⊥|²
  std::vector<double> norm_rate;
  std::vector<double> log_rate;  // d log |w|²/dα
  std::vector<double> mean_start;
  std::vector<double> mean_change;
  std::vector<double> bias;  // δ at α = 0: what the output biases differ by from the teacher's
  std::vector<double> star_mean;
  double star_energy = 0;

  int64_t output_at() const { return width * (inputs + net.biases); }
  int64_t output_bias_at() const { return output_at() + outputs * width; }

  static double dot(const double* a, int64_t step_a, const double* b, int64_t step_b, int64_t n) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += a[k * step_a] * b[k * step_b];
    return sum;
  }

  void set_units() {
    for (int64_t i = 0; i < width; i++) {
      const double* w = &start[size_t(i * inputs)];
      const double* dw = &change[size_t(i * inputs)];
      const size_t u = size_t(i);
      speed[u] = dot(dw, 1, dw, 1, inputs);
      nearest[u] = speed[u] > 0 ? -dot(w, 1, dw, 1, inputs) / speed[u] : 0;
      least[u] = 0;
      for (int64_t k = 0; k < inputs; k++) {
        const double closest = w[k] + nearest[u] * dw[k];
        least[u] += closest * closest;
      }
      mean_start[u] = net.biases ? start[size_t(width * inputs + i)] : 0;
      mean_change[u] = net.biases ? change[size_t(width * inputs + i)] : 0;
    }
    for (auto* row : {&speed, &nearest, &least, &mean_start, &mean_change})
      for (int64_t i = width; i < units.extent; i++) (*row)[size_t(i)] = (*row)[size_t(i - width)];
  }

  // Pairs of units (i, i + distance), of which each pair has one distance up to width/2.
  void set_own_overlaps() {
    for (int64_t distance = 0; distance <= width / 2; distance++) {
      const int64_t n = distance && 2 * distance == width ? distance : width;
      const double times = distance ? 2 : 1;
      for (int64_t block = 0; block < blocks; block++) {
        V part[6] = {};
        for (int l = 0; l < kPairLanes; l++) {
          const int64_t first = block * kPairLanes + l;
          const int64_t i = first % width;
          const int64_t j = (i + distance) % width;
          const double weight = first < n ? times : 0;
          quadratic(&start[size_t(i * inputs)], &change[size_t(i * inputs)], &start[size_t(j * inputs)],
                    &change[size_t(j * inputs)], 1, inputs, 1, part, l);
          const int64_t v = output_at();
          quadratic(&start[size_t(v + i)], &change[size_t(v + i)], &start[size_t(v + j)], &change[size_t(v + j)], width,
                    outputs, weight, part + 3, l);
        }
        std::copy_n(part, 6, &own_overlaps[(distance * blocks + block) * 6]);
      }
    }
  }

  // Coefficients of (x + α dx)·(y + α dy) times a weight, into lane l of three vectors.
  static void quadratic(const double* x, const double* dx, const double* y, const double* dy, int64_t step, int64_t n,
                        double weight, V* into, int l) {
    into[0][l] = weight * dot(x, step, y, step, n);
    into[1][l] = weight * (dot(x, step, dy, step, n) + dot(dx, step, y, step, n));
    into[2][l] = weight * dot(dx, step, dy, step, n);
  }

  void set_teacher(const double* params) {
    const int64_t v = star_width * (inputs + star.biases);
    const double* star_bias = params + v + outputs * star_width;
    for (int64_t j = 0; j < star_width; j++) {
      const double* w = params + j * inputs;
      stars.variance[size_t(j)] = dot(w, 1, w, 1, inputs);
      stars.mean[size_t(j)] = star.biases ? params[star_width * inputs + j] : 0;
      for (int64_t block = 0; block < blocks; block++) {
        V part[4] = {};
        for (int l = 0; l < kPairLanes; l++) {
          const int64_t i = (block * kPairLanes + l) % width;
          const double weight = block * kPairLanes + l < width ? 1 : 0;
          const double* star_output = params + v + j;
          const size_t output = size_t(output_at() + i);
          part[0][l] = dot(&start[size_t(i * inputs)], 1, w, 1, inputs);
          part[1][l] = dot(&change[size_t(i * inputs)], 1, w, 1, inputs);
          part[2][l] = weight * dot(&start[output], width, star_output, star_width, outputs);
          part[3][l] = weight * dot(&change[output], width, star_output, star_width, outputs);
        }
        std::copy_n(part, 4, &star_overlaps[(j * blocks + block) * 4]);
      }
    }
    stars.fill();
    star_energy = 0;
    for (int64_t j = 0; j < star_width; j++)
      for (int64_t k = 0; k < star_width; k++) {
        const V overlap = splat(dot(params + j * inputs, 1, params + k * inputs, 1, inputs));
        const Moment moment = moment_of<false>(of_star, star, star, stars, stars, k, j, overlap);
        star_energy += 0.5 * moment.value[0] * dot(params + v + j, star_width, params + v + k, star_width, outputs);
      }
    for (int64_t o = 0; o < outputs; o++) {
      const double own_bias = net.biases ? start[size_t(output_bias_at() + o)] : 0;
      bias[size_t(o)] = own_bias - (star.biases ? star_bias[o] : 0);
      star_mean[size_t(o)] = 0;
      for (int64_t j = 0; j < star_width; j++)
        star_mean[size_t(o)] += params[v + o * star_width + j] * first_moment(star, stars, with_series, j).value[0];
    }
  }

  // E σ(u) τ(w) of a vector of units u from number i on, and w: unit j alone, or where it is the same layer a vector
  // from j on.
  template <bool rates> Moment moment_of(Formula formula, const NetworkSpec& of_u, const NetworkSpec& of_w,
                                         const UnitTable& table_u, const UnitTable& table_w, int64_t i, int64_t j,
                                         V c12) const {
    const bool vectors = &table_u == &table_w;
    const Unit1 u = table_u.from(i);
    const Unit1 w = vectors ? table_w.from(j) : table_w.only(j);
    switch (formula) {
      case Formula::kCentredLinear:
        return centred_linear<rates>(slope_below_zero(of_u), slope_below_zero(of_w), u.variance, c12, w.variance);
      case Formula::kLinear: return linear<rates>(slope_below_zero(of_u), slope_below_zero(of_w), u, w, c12);
      case Formula::kErf: return of_erf<rates>(centred, u, w, c12);
      default: break;
    }
    auto a = [&](int k) { return table_u.coefficient(k, i); };
    auto b = [&](int k) { return vectors ? table_w.coefficient(k, j) : table_w.coefficient_of_one(k, j); };
    return series<rates>(table_u.odd() && table_w.odd(), a, b, u.variance, c12, w.variance);
  }

  void place_units(double alpha) {
    for (int64_t i = 0; i < width; i++) {
      const size_t u = size_t(i);
      const double away = alpha - nearest[u];
      const double norm = least[u] + away * away * speed[u];
      units.variance[u] = norm;
      norm_rate[u] = 2 * away * speed[u];
      log_rate[u] = norm > 0 ? norm_rate[u] / norm : 0;
      units.mean[u] = mean_start[u] + alpha * mean_change[u];
    }
    for (int64_t i = width; i < units.extent; i++) log_rate[size_t(i)] = log_rate[size_t(i - width)];
    units.fill();
  }

  template <bool rates> LossAt students_with_each_other(double alpha) {
    V value{};
    V rate{};
    for (int64_t distance = 0; distance <= width / 2; distance++)
      for (int64_t block = 0; block < blocks; block++) {
        const V* part = &own_overlaps[(distance * blocks + block) * 6];
        const int64_t i = block * kPairLanes;
        const int64_t j = i + distance;
        // a unit's own variance, with which an erf of large weights correlates by 1 to less than rounding
        const bool of_one = own == Formula::kErf && distance == 0;
        const V c12 = of_one ? at(&units.variance[size_t(i)]) : part[0] + alpha * (part[1] + alpha * part[2]);
        const V weight = part[3] + alpha * (part[4] + alpha * part[5]);
        const Moment m = moment_of<rates>(own, net, net, units, units, i, j, c12);
        value = fma(m.value, weight, value);
        if (!rates) continue;
        V moved = m.c12 * (part[1] + 2 * alpha * part[2]);
        moved += m.log_u * at(&log_rate[size_t(i)]) + m.log_w * at(&log_rate[size_t(j)]);
        moved += m.mean_u * at(&mean_change[size_t(i)]) + m.mean_w * at(&mean_change[size_t(j)]);
        rate += m.value * (part[4] + 2 * alpha * part[5]) + moved * weight;
      }
    return {sum_of(value), sum_of(rate)};
  }

  template <bool rates> LossAt students_with_teacher(double alpha) {
    V value{};
    V rate{};
    for (int64_t j = 0; j < star_width; j++)
      for (int64_t block = 0; block < blocks; block++) {
        const V* part = &star_overlaps[(j * blocks + block) * 4];
        const int64_t i = block * kPairLanes;
        const V weight = part[2] + alpha * part[3];
        const Moment m = moment_of<rates>(between, net, star, units, stars, i, j, part[0] + alpha * part[1]);
        value = fma(m.value, weight, value);
        if (!rates) continue;
        V moved = m.c12 * part[1] + m.log_u * at(&log_rate[size_t(i)]);
        moved += m.mean_u * at(&mean_change[size_t(i)]);
        rate += m.value * part[3] + moved * weight;
      }
    return {sum_of(value), sum_of(rate)};
  }

  // ½‖δ‖² + δ·(V e − A e*): what the output biases add.
  void add_biases(double alpha, LossAt& loss) const {
    for (int64_t o = 0; o < outputs; o++) {
      const double gap_rate = net.biases ? change[size_t(output_bias_at() + o)] : 0;
      const double gap = bias[size_t(o)] + alpha * gap_rate;
      double surplus = -star_mean[size_t(o)];
      double surplus_rate = 0;
      for (int64_t i = 0; i < width; i += kPairLanes) {
        const FirstMoment e = first_moment(net, units, with_series, i);
        const int64_t row = output_at() + o * width;
        for (int l = 0; l < kPairLanes && i + l < width; l++) {
          const size_t u = size_t(i + l);
          const double dv = change[size_t(row) + u];
          const double v = start[size_t(row) + u] + alpha * dv;
          // by the heat equation ∂e/∂Q_ii = ½ ∂²e/∂m²
          const double e_rate = e.by_mean[l] * mean_change[u] + e.by_mean_twice[l] * norm_rate[u] / 2;
          surplus += v * e.value[l];
          surplus_rate += dv * e.value[l] + v * e_rate;
        }
      }
      loss.value += gap * (gap / 2 + surplus);
      loss.rate += gap_rate * (gap + surplus) + gap * surplus_rate;
    }
  }
};
