// Weight matching of pairs of networks: kernels/native/matching.py says what is computed.
#include "assignment.h"
#include "group.h"

struct MatchingSpec {  // mirrored by kernels/native/structures.py
  NetworkSpec net;
  int64_t n_pairs;
  int64_t most_sweeps;
  int64_t threads;
  int32_t is_double;     // T below is double, else float
  int32_t signs;         // whether units may change their sign too
  double rounding;       // a gain below this share of the score is none
  const void* params_a;  // [n_pairs][n_parameters], T
  const void* params_b;  // [n_pairs][n_parameters], T
  void* matched;         // [n_pairs][n_parameters], T: params_b with its units in their new order
  int64_t* orders;       // [n_pairs][hidden units of all layers]
  double* flips;         // [n_pairs][hidden units of all layers]
  Monitor* monitor;
};

namespace {

// The hidden units of one layer: their places in the parameters, and in `orders` and `flips`.
struct Units {
  int64_t count;
  int64_t fan_in;
  int64_t weight;  // [count][fan_in]
  int64_t bias;    // [count], −1 for none
  int64_t above;   // [fan_out_above][count]
  int64_t fan_out_above;
  int64_t first;  // of `orders`
};

// Puts the units of a layer in another order, with other signs: new unit i is old unit order[i] times flip[i]. from and
// to differ.
template <class T> void reorder(const Units& units, const int64_t* order, const double* flip, const T* from, T* to) {
  const int64_t m = units.count;
  for (int64_t i = 0; i < m; i++) {
    const T sign = T(flip[i]);
    const T* weights = from + units.weight + order[i] * units.fan_in;
    for (int64_t k = 0; k < units.fan_in; k++) to[units.weight + i * units.fan_in + k] = weights[k] * sign;
    if (units.bias >= 0) to[units.bias + i] = from[units.bias + order[i]] * sign;
  }
  for (int64_t o = 0; o < units.fan_out_above; o++)
    for (int64_t i = 0; i < m; i++) to[units.above + o * m + i] = from[units.above + o * m + order[i]] * T(flip[i]);
}

// Σ a_p b_p, a vector of sums at a time.
double overlap(const std::vector<double>& a, const std::vector<double>& b) {
  using V = Vec<double>;
  constexpr size_t L = size_t(kLanes<double>);
  V sums{};
  size_t p = 0;
  for (; p + L <= a.size(); p += L) {
    V left;
    V right;
    std::memcpy(&left, &a[p], sizeof left);
    std::memcpy(&right, &b[p], sizeof right);
    sums = fma(left, right, sums);
  }
  double sum = 0;
  for (; p < a.size(); p++) sum += a[p] * b[p];
  for (size_t l = 0; l < L; l++) sum += sums[l];
  return sum;
}

// Matches one pair after the other.
struct Matcher {
  const MatchingSpec& spec;
  const int64_t n_parameters;
  std::vector<Units> layers;
  std::vector<std::vector<int64_t>> groups;  // hidden layers that have one permutation between them
  std::vector<Solver> solvers;               // of each group
  int64_t n_units = 0;
  std::vector<double> a;
  std::vector<double> current;  // B as it was brought near A so far
  std::vector<double> moved;
  std::vector<double> before;   // of a reordering of several layers
  std::vector<double> columns;  // [fan_in][units]: B's weights
  std::vector<double> part;     // [units][units]: a term of the scores
  std::vector<double> scores;   // [units][units]
  std::vector<double> sizes;    // |scores|
  std::vector<int64_t> order;
  std::vector<double> flip;
  std::vector<int64_t> old_order;
  std::vector<double> old_flip;

  explicit Matcher(const MatchingSpec& spec)
      : spec(spec), n_parameters(spec.net.n_parameters()), a(size_t(n_parameters)), current(a), moved(a), before(a) {
    const NetworkSpec& net = spec.net;
    int64_t offset = 0;
    int64_t widest = 0;
    int64_t largest = 0;
    for (int64_t l = 0; l + 1 < net.n_layers; l++) {
      const int64_t fan_in = net.widths[l];
      const int64_t count = net.widths[l + 1];
      const int64_t above = offset + net.layer_size(l);
      layers.push_back(
          {count, fan_in, offset, net.biases ? offset + count * fan_in : -1, above, net.widths[l + 2], n_units});
      n_units += count;
      offset = above;
      widest = std::max(widest, count);
      largest = std::max(largest, fan_in * count);
      if (net.skips(l)) {
        groups.back().push_back(l);
      } else {
        groups.push_back({l});
        solvers.emplace_back(count);
      }
    }
    columns.resize(size_t(largest));
    for (auto* matrix : {&part, &scores, &sizes}) matrix->resize(size_t(widest * widest));
    order.resize(size_t(widest));
    flip.resize(size_t(widest));
    old_order.resize(size_t(widest));
    old_flip.resize(size_t(widest));
  }

  // scores [i][j] += Σ_k left[i][k] right[k][j], the sum first.
  void add_products(int64_t m, int64_t n, const double* left, int64_t left_row, int64_t left_column,
                    const double* right) {
    for (int64_t i = 0; i < m; i++) {
      double* sum = &part[size_t(i * m)];
      std::fill(sum, sum + m, 0.0);
      for (int64_t k = 0; k < n; k++) {
        const double weight = left[i * left_row + k * left_column];
        for (int64_t j = 0; j < m; j++) sum[j] += weight * right[k * m + j];
      }
      for (int64_t j = 0; j < m; j++) scores[size_t(i * m + j)] += sum[j];
    }
  }

  // Adds the overlap of unit i of A with unit j of B, of their weights on both sides.
  void add_scores(const Units& units) {
    const int64_t m = units.count;
    for (int64_t j = 0; j < m; j++)
      for (int64_t k = 0; k < units.fan_in; k++)
        columns[size_t(k * m + j)] = current[size_t(units.weight + j * units.fan_in + k)];
    add_products(m, units.fan_in, &a[size_t(units.weight)], units.fan_in, 1, columns.data());
    add_products(m, units.fan_out_above, &a[size_t(units.above)], 1, m, &current[size_t(units.above)]);
    if (units.bias >= 0) add_products(m, 1, &a[size_t(units.bias)], 1, 1, &current[size_t(units.bias)]);
  }

  // The order of B's units of a group with the largest sum of scores, and the signs of these.
  void assign(size_t group) {
    const int64_t m = layers[size_t(groups[group][0])].count;
    std::fill(scores.begin(), scores.begin() + m * m, 0.0);
    for (int64_t l : groups[group]) add_scores(layers[size_t(l)]);
    const double* best = scores.data();
    if (spec.signs) {
      for (int64_t i = 0; i < m * m; i++) sizes[size_t(i)] = std::fabs(scores[size_t(i)]);
      best = sizes.data();
    }
    solvers[group].solve(best, order.data());
    for (int64_t i = 0; i < m; i++)
      flip[size_t(i)] = spec.signs && scores[size_t(i * m + order[size_t(i)])] < 0 ? -1.0 : 1.0;
  }

  template <class T> void match(int64_t pair) {
    const T* b = static_cast<const T*>(spec.params_b) + pair * n_parameters;
    int64_t* orders = spec.orders + pair * n_units;
    double* flips = spec.flips + pair * n_units;
    for (int64_t p = 0; p < n_parameters; p++) {
      a[size_t(p)] = static_cast<const T*>(spec.params_a)[pair * n_parameters + p];
      current[size_t(p)] = b[p];
    }
    for (const Units& units : layers)
      for (int64_t i = 0; i < units.count; i++) {
        orders[units.first + i] = i;
        flips[units.first + i] = 1;
      }
    const double least = spec.rounding * std::sqrt(overlap(a, a)) * std::sqrt(overlap(current, current));
    const bool exact = layers.size() == 1;  // one layer alone: nothing is left to gain after it
    for (int64_t sweep = 0; sweep < (exact ? 1 : spec.most_sweeps); sweep++) {
      bool gained = false;
      for (size_t group = 0; group < groups.size(); group++) {
        assign(group);
        moved = current;
        for (int64_t l : groups[group]) {
          if (l != groups[group][0]) before = moved;
          reorder(layers[size_t(l)], order.data(), flip.data(), l == groups[group][0] ? current.data() : before.data(),
                  moved.data());
        }
        if (!(overlap(a, moved) - overlap(a, current) > least)) continue;
        gained = true;
        std::swap(current, moved);
        for (int64_t l : groups[group]) follow(layers[size_t(l)], orders, flips);
      }
      if (!gained) break;
    }
    write(b, orders, flips, static_cast<T*>(spec.matched) + pair * n_parameters);
  }

  // Composes what a layer's units went through so far with the last step.
  void follow(const Units& units, int64_t* orders, double* flips) {
    std::copy_n(orders + units.first, units.count, old_order.begin());
    std::copy_n(flips + units.first, units.count, old_flip.begin());
    for (int64_t i = 0; i < units.count; i++) {
      const size_t from = size_t(order[size_t(i)]);
      orders[units.first + i] = old_order[from];
      flips[units.first + i] = old_flip[from] * flip[size_t(i)];
    }
  }

  // B's own numbers in their new order: not `current`, in which a float has become a double.
  template <class T> void write(const T* b, const int64_t* orders, const double* flips, T* to) {
    std::copy_n(b, n_parameters, to);
    std::vector<T> from;
    for (const Units& units : layers) {
      if (&units != &layers[0]) from.assign(to, to + n_parameters);
      reorder(units, orders + units.first, flips + units.first, &units == &layers[0] ? b : from.data(), to);
    }
  }
};

}  // namespace

extern "C" int64_t lmc_match_bytes() { return sizeof(MatchingSpec); }

extern "C" int lmc_match(const MatchingSpec* spec) {
  return run_groups(spec->n_pairs, spec->threads, spec->monitor, [&](auto take) {
    Matcher matcher(*spec);
    Tally tally{spec->monitor};
    for (int64_t pair; (pair = take()) >= 0;) {
      spec->is_double ? matcher.match<double>(pair) : matcher.match<float>(pair);
      tally.add(1);
    }
  });
}
