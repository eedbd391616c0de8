// Exact losses and barriers of paths on finite data: kernels/native/piecewise.py says what is computed.
//
// On a path of two-layer networks a sample's output is a quadratic in α between breakpoints, where a unit's
// pre-activation z + α Δz changes sign. All samples' breakpoints are visited in the order of α: at each, one sample's
// residual r becomes r + j, and ½ mean r² gains j (2r + j)/2n, a quartic. So the loss is known on every piece, and a
// piece is searched for a maximum only where its slope and curvature allow one above all breakpoints.
#include "group.h"

struct PiecewiseSpec {  // mirrored by kernels/native/structures.py
  NetworkSpec net;      // two layers, whose activation is described by negative_slope alone
  int64_t n_pairs;
  int64_t n_samples;  // of one set
  int64_t n_alphas;
  int64_t threads;
  int32_t is_double;     // T below is double, else float
  const void* params_a;  // [n_pairs][n_parameters], T
  const void* params_b;  // [n_pairs][n_parameters], T
  const double* x;       // [n_sets][n_samples][n_inputs]
  const double* y;       // [n_sets][n_samples][n_outputs]
  const int64_t* sets;   // [n_pairs][2]: the loss is over the samples of both, or of one where they are equal
  const double* alphas;  // [n_alphas], in [0, 1]
  double* losses;        // [n_pairs][n_alphas]
  double* barriers;      // [n_pairs][4][2]: value and argmax, in the order of theory's definitions
  int64_t* n_pieces;     // [n_pairs]
  Monitor* monitor;
};

namespace {

struct Place {
  double alpha;
  int64_t event;  // sample · width + unit
};

// A polynomial of degree 4 in α: ascending coefficients.
struct Quartic {
  double c[5];
  double operator()(double t) const { return c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * c[4]))); }

  // The coefficients in t = α − start.
  Quartic around(double start) const {
    Quartic local = *this;
    for (int low = 0; low < 4; low++)  // repeated synthetic division
      for (int k = 3; k >= low; k--) local.c[k] += start * local.c[k + 1];
    return local;
  }
};

struct Top {
  double value;
  double place;
};

// The root of d(t) = d₀ + d₁ t + d₂ t² + d₃ t³ in [left, right], on which it is monotone; an end where it has no sign
// change. Newton's step where it stays inside the bracket, else bisection.
double root_between(const double (&d)[4], double left, double right) {
  auto value = [&](double t) { return d[0] + t * (d[1] + t * (d[2] + t * d[3])); };
  const double at_left = value(left);
  const double at_right = value(right);
  if (std::signbit(at_left) == std::signbit(at_right)) return std::fabs(at_left) < std::fabs(at_right) ? left : right;
  const bool rises = at_left < at_right;
  double t = (left + right) / 2;
  for (int step = 0; step < 60; step++) {  // as theory's: only a multiple root, near which d is flat, is left at 1e−10
    const double here = value(t);
    ((here > 0) == rises ? right : left) = t;
    const double newton = t - here / (d[1] + t * (2 * d[2] + t * 3 * d[3]));
    const double next = newton >= left && newton <= right ? newton : (left + right) / 2;
    const double moved = std::fabs(next - t);
    t = next;
    if (moved <= 2e-16) break;
  }
  return t;
}

// The maximum over [0, width] of a quartic in t, and its place: between the extrema of its derivative, which are roots
// of a quadratic, each root of the derivative is alone.
Top highest(const Quartic& p, double width) {
  const double d[4] = {p.c[1], 2 * p.c[2], 3 * p.c[3], 4 * p.c[4]};
  const double discriminant = d[2] * d[2] - 3 * d[3] * d[1];
  double cuts[4] = {0, width, width, width};
  int n_cuts = 1;
  if (discriminant > 0) {  // roots of d₁ + 2 d₂ t + 3 d₃ t², without cancellation
    const double q = -(d[2] + std::copysign(std::sqrt(discriminant), d[2]));
    double first = q / (3 * d[3]);
    double second = d[1] / q;
    if (second < first) std::swap(first, second);
    for (double cut : {first, second})
      if (cut > 0 && cut < width) cuts[n_cuts++] = cut;
  }
  Top top{p(0), 0};
  auto consider = [&](double t) {
    const double value = p(t);
    if (value > top.value) top = {value, t};
  };
  for (int piece = 0; piece < n_cuts; piece++)
    consider(root_between(d, cuts[piece], piece + 1 < n_cuts ? cuts[piece + 1] : width));
  consider(width);
  return top;
}

// Ascending by α. Bins of equal width take most of the work: a sort of so many numbers would be most of the time.
class BinSort {
 public:
  void sort(std::vector<Place>& places) {
    const size_t n = places.size();
    if (n < 2) return;
    const double bins = double(n);
    first.assign(n + 1, 0);
    for (const Place& place : places) first[bin(place, bins) + 1]++;
    for (size_t b = 0; b < n; b++) first[b + 1] += first[b];
    sorted.resize(n);
    next.assign(first.begin(), first.end() - 1);
    for (const Place& place : places) sorted[next[bin(place, bins)]++] = place;
    for (size_t b = 0; b < n; b++)
      if (first[b + 1] - first[b] > 1) sort_bin(&sorted[first[b]], first[b + 1] - first[b]);
    std::swap(places, sorted);
  }

 private:
  std::vector<size_t> first;  // of each bin
  std::vector<size_t> next;
  std::vector<Place> sorted;

  static size_t bin(const Place& place, double bins) {  // also of what is no number
    return size_t(std::min(bins - 1, std::max(0.0, place.alpha * bins)));
  }

  static void sort_bin(Place* places, size_t n) {
    if (n > 16) {
      std::stable_sort(places, places + n, [](const Place& a, const Place& b) { return a.alpha < b.alpha; });
      return;
    }
    for (size_t i = 1; i < n; i++) {
      const Place place = places[i];
      size_t j = i;
      for (; j > 0 && place.alpha < places[j - 1].alpha; j--) places[j] = places[j - 1];
      places[j] = place;
    }
  }
};

// Sweeps one pair after the other.
class Sweeper {
 public:
  explicit Sweeper(const PiecewiseSpec& spec)
      : spec(spec),
        inputs(spec.net.inputs()),
        width(spec.net.widths[1]),
        outputs(spec.net.outputs()),
        n_parameters(spec.net.n_parameters()),
        a(size_t(n_parameters)),
        change(size_t(n_parameters)),
        columns(size_t(2 * inputs * width)),
        z(size_t(2 * spec.n_samples * width)),
        dz(z.size()),
        z_end(size_t(width)),
        residuals(size_t(2 * spec.n_samples * outputs)) {}

  template <class T> void pair(int64_t number) {
    const T* from_a = static_cast<const T*>(spec.params_a) + number * n_parameters;
    const T* from_b = static_cast<const T*>(spec.params_b) + number * n_parameters;
    for (int64_t p = 0; p < n_parameters; p++) {
      a[size_t(p)] = double(from_a[p]);
      change[size_t(p)] = double(from_b[p]) - a[size_t(p)];
    }
    transpose_first_layer(from_a, from_b);
    const int64_t* sets = spec.sets + 2 * number;
    n_samples = 0;
    places.clear();
    add_samples(sets[0], from_b);
    if (sets[1] != sets[0]) add_samples(sets[1], from_b);
    sorter.sort(places);
    sweep();
    spec.n_pieces[number] = int64_t(pieces.size());
    write(spec.losses + number * spec.n_alphas, spec.barriers + number * 8);
  }

 private:
  struct Residual {  // of one output of one sample: 1, α, α²
    double c[3];
  };
  const PiecewiseSpec& spec;
  const int64_t inputs;
  const int64_t width;
  const int64_t outputs;
  const int64_t n_parameters;
  int64_t n_samples = 0;            // of this pair
  std::vector<double> a;            // parameters at α = 0
  std::vector<double> change;       // and by how much they change
  std::vector<double> columns;      // [2][inputs][width]: first-layer weights of both ends
  std::vector<double> z;            // [samples][width]: pre-activations at α = 0
  std::vector<double> dz;           // [samples][width]: and by how much they change
  std::vector<double> z_end;        // [width]
  std::vector<Residual> residuals;  // [samples][outputs], as far as the sweep has come
  std::vector<Place> places;        // breakpoints
  BinSort sorter;
  std::vector<double> starts;   // of pieces, ascending
  std::vector<Quartic> pieces;  // in powers of α
  std::vector<double> values;   // of pieces at their starts
  std::vector<double> rates;    // their slopes there

  int64_t output_layer() const { return width * (inputs + spec.net.biases); }
  double output_weight(const std::vector<double>& of, int64_t o, int64_t i) const {
    return of[size_t(output_layer() + o * width + i)];
  }

  template <class T> void transpose_first_layer(const T* from_a, const T* from_b) {
    for (int64_t k = 0; k < inputs; k++)
      for (int64_t i = 0; i < width; i++) {
        columns[size_t(k * width + i)] = double(from_a[i * inputs + k]);
        columns[size_t((inputs + k) * width + i)] = double(from_b[i * inputs + k]);
      }
  }

  // Pre-activations of the samples of a set, their residuals right of α = 0, and their breakpoints.
  template <class T> void add_samples(int64_t set, const T* from_b) {
    const double slope = spec.net.negative_slope;
    for (int64_t s = 0; s < spec.n_samples; s++, n_samples++) {
      const double* x = spec.x + (set * spec.n_samples + s) * inputs;
      const double* y = spec.y + (set * spec.n_samples + s) * outputs;
      double* start = &z[size_t(n_samples * width)];
      double* rise = &dz[size_t(n_samples * width)];
      for (int64_t i = 0; i < width; i++) {
        start[i] = spec.net.biases ? a[size_t(width * inputs + i)] : 0.0;
        z_end[size_t(i)] = spec.net.biases ? double(from_b[width * inputs + i]) : 0.0;
      }
      for (int64_t k = 0; k < inputs; k++) {
        const double* of_a = &columns[size_t(k * width)];
        const double* of_b = &columns[size_t((inputs + k) * width)];
        for (int64_t i = 0; i < width; i++) {
          start[i] += x[k] * of_a[i];
          z_end[size_t(i)] += x[k] * of_b[i];
        }
      }
      for (int64_t i = 0; i < width; i++) {
        const double end = z_end[size_t(i)];
        rise[i] = end - start[i];
        if ((start[i] < 0) != (end < 0) && start[i] != 0 && end != 0 && slope != 1)
          places.push_back({start[i] / -rise[i], n_samples * width + i});
      }
      for (int64_t o = 0; o < outputs; o++) residuals[size_t(n_samples * outputs + o)] = residual(start, rise, o, y[o]);
    }
  }

  Residual residual(const double* start, const double* rise, int64_t o, double y) const {
    const double slope = spec.net.negative_slope;
    Residual r{{-y, 0, 0}};
    for (int64_t i = 0; i < width; i++) {
      const double gain = start[i] > 0 || (start[i] == 0 && rise[i] > 0) ? 1.0 : slope;
      const double v = output_weight(a, o, i);
      const double dv = output_weight(change, o, i);
      const double h = gain * start[i];
      const double dh = gain * rise[i];
      r.c[0] += h * v;
      r.c[1] += dh * v + h * dv;
      r.c[2] += dh * dv;
    }
    if (spec.net.biases) {
      r.c[0] += a[size_t(output_layer() + outputs * width + o)];
      r.c[1] += change[size_t(output_layer() + outputs * width + o)];
    }
    return r;
  }

  // The loss on every piece, from the first on.
  void sweep() {
    const double slope = spec.net.negative_slope;
    const double share = 0.5 / double(n_samples);
    double total[5] = {};  // 2 n L
    for (int64_t k = 0; k < n_samples * outputs; k++) {
      const double* r = residuals[size_t(k)].c;
      for (int p = 0; p < 3; p++)
        for (int q = 0; q < 3; q++) total[p + q] += r[p] * r[q];
    }
    starts.resize(places.size() + 1);
    pieces.resize(places.size() + 1);
    starts[0] = 0;
    for (int p = 0; p < 5; p++) pieces[0].c[p] = share * total[p];
    for (size_t k = 0; k < places.size(); k++) {
      const int64_t event = places[k].event;
      const int64_t sample = event / width;
      const int64_t unit = event % width;
      const double start = std::fabs(z[size_t(event)]) * (slope - 1);
      const double rise = std::fabs(dz[size_t(event)]) * (1 - slope);
      for (int64_t o = 0; o < outputs; o++) {
        const double v = output_weight(a, o, unit);
        const double dv = output_weight(change, o, unit);
        const double jump[3] = {start * v, rise * v + start * dv, rise * dv};
        double* r = residuals[size_t(sample * outputs + o)].c;
        double before_and_after[3];
        for (int p = 0; p < 3; p++) {
          before_and_after[p] = 2 * r[p] + jump[p];
          r[p] += jump[p];
        }
        for (int p = 0; p < 3; p++)
          for (int q = 0; q < 3; q++) total[p + q] += jump[p] * before_and_after[q];
      }
      starts[k + 1] = places[k].alpha;
      for (int p = 0; p < 5; p++) pieces[k + 1].c[p] = share * total[p];
    }
  }

  double loss(double alpha) const {
    const auto after = std::upper_bound(starts.begin(), starts.end(), alpha);
    return pieces[size_t(after - starts.begin()) - 1](alpha);
  }

  void write(double* losses, double* barriers) {
    for (int64_t k = 0; k < spec.n_alphas; k++) losses[k] = loss(spec.alphas[k]);
    values.resize(pieces.size());
    rates.resize(pieces.size());
    for (size_t k = 0; k < pieces.size(); k++) {
      const double* c = pieces[k].c;
      const double t = starts[k];
      values[k] = pieces[k](t);
      rates[k] = c[1] + t * (2 * c[2] + t * (3 * c[3] + t * 4 * c[4]));
    }
    const double start = loss(0);
    const double end = loss(1);
    const Top above_chord = maximum(end - start);
    const Top level = maximum(0);
    const double found[4][2] = {
        {above_chord.value - start, above_chord.place},
        {level.value - (start + end) / 2, level.place},
        {level.value - std::max(start, end), level.place},
        {loss(0.5) - (start + end) / 2, 0.5},
    };
    std::memcpy(barriers, found, sizeof found);
  }

  // The maximum of L(α) − tilt·α over [0, 1], and its place: the first of several.
  Top maximum(double tilt) const {
    Top top{values[0], 0};
    auto consider = [&](double value, double place) {
      if (value > top.value || (value == top.value && place < top.place)) top = {value, place};
    };
    for (size_t k = 0; k < pieces.size(); k++) consider(values[k] - tilt * starts[k], starts[k]);
    consider(pieces.back()(1) - tilt, 1);
    for (size_t k = 0; k < pieces.size(); k++) {
      const double width = (k + 1 < pieces.size() ? starts[k + 1] : 1.0) - starts[k];
      const double* c = pieces[k].c;
      const double t = starts[k];
      // |p″| on the piece: p(t + w) ≤ p(t) + w p′(t)₊ + ½ w² sup |p″|
      const double third = std::fabs(6 * c[3] + t * 24 * c[4]) + width * std::fabs(12 * c[4]);
      const double curvature = std::fabs(2 * c[2] + t * (6 * c[3] + t * 12 * c[4])) + width * third;
      const double rise = std::max(rates[k] - tilt, 0.0) + width * curvature / 2;
      if (!(values[k] - tilt * t + width * rise > top.value)) continue;
      Quartic local = pieces[k].around(t);
      local.c[0] -= tilt * t;
      local.c[1] -= tilt;
      const Top inside = highest(local, width);
      consider(inside.value, t + inside.place);
    }
    return top;
  }
};

}  // namespace

extern "C" int64_t lmc_piecewise_bytes() { return sizeof(PiecewiseSpec); }

extern "C" int lmc_piecewise(const PiecewiseSpec* spec) {
  return run_groups(spec->n_pairs, spec->threads, spec->monitor, [&](auto take) {
    Sweeper sweeper(*spec);
    Tally tally{spec->monitor};
    for (int64_t pair; (pair = take()) >= 0;) {
      spec->is_double ? sweeper.pair<double>(pair) : sweeper.pair<float>(pair);
      tally.add(1);
    }
  });
}
