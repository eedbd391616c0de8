// Losses along paths: a lane is one (pair, alpha), θ(α) = (1 − α) θ_A + α θ_B. Sums over samples are kept in double.
#pragma once
#include <algorithm>
#include <utility>

#include "paths.h"

namespace {

// Alphas that share a load of the pre-activations: the sums of 2 alphas × 8 samples fit 32 registers.
constexpr int kRounds = kRegisters == 32 ? 2 : 1;

// A lane belongs to one pair and takes the alphas part, part + parts, part + 2·parts, … in turn: its samples are drawn,
// and the first layer's pre-activations at both ends computed, once for all of these. A lane's arithmetic does not
// depend on `parts`.
template <class T, Activation A> struct Evaluator {
  using V = Vec<T>;
  using D = DoubleVec<T>;
  using P = Passes<T, A>;
  static constexpr int L = kLanes<T>;
  struct Sums {
    V shift;    // the first sample's loss: moments are taken about it, so that a small variance survives a large mean
    D sum;      // of the losses less `shift`
    D squares;  // of these
    D cubes;
    D wrong;  // samples misclassified, NaN once a loss is
  };
  const PathSpec& spec;
  const NetworkSpec& net;
  const int64_t n_parameters;
  const int64_t n_first;         // parameters of the first layer
  const int64_t parts;           // lanes that share the alphas of a pair
  const int64_t rounds;          // alphas that a lane takes
  const int64_t units;           // of the first layer
  const int64_t tiles_of_block;  // at most: their pre-activations stay in the first-level cache
  const int64_t n_labels;        // vectors of a tile's labels
  Aligned<T> params_a;           // [n_parameters]
  Aligned<T> params_b;           // [n_parameters]
  Aligned<T> upper;              // [round][n_parameters - n_first], θ(α) above the first layer
  Aligned<T> alphas;             // [round]
  int64_t alphas_of[L];          // the part of each lane that `alphas` holds
  std::vector<End> at_end;       // [round]
  Aligned<T> z_a;                // [tile][unit][sample], the first layer's pre-activations at α = 0
  Aligned<T> z_b;                // [tile][unit][sample], at α = 1
  const bool one_output;         // of two layers: outputs at several alphas are computed at a time
  Aligned<T> change;             // z_b − z_a, where there is one output
  Aligned<T> labels;             // [tile][output][sample]
  Workspace<T> work;
  Tile<T> tile;
  Stream<T> stream;
  std::unique_ptr<Sums[]> sums;  // [round]
  Tally tally;

  Evaluator(const PathSpec& spec, int64_t parts)
      : spec(spec),
        net(spec.net),
        n_parameters(net.n_parameters()),
        n_first(net.layer_size(0)),
        parts(parts),
        rounds((spec.n_alphas + parts - 1) / parts),
        units(net.widths[1]),
        tiles_of_block(std::clamp<int64_t>((1 << 14) / (2 * units * kTile * int64_t(sizeof(V))), 1, 16)),
        n_labels(net.outputs() * kTile),
        params_a(n_parameters),
        params_b(n_parameters),
        upper(rounds * (n_parameters - n_first)),
        alphas(rounds),
        at_end(size_t(rounds)),
        z_a(tiles_of_block * units * kTile),
        z_b(tiles_of_block * units * kTile),
        one_output(net.n_layers == 2 && net.outputs() == 1 && !net.blocks()),
        change(one_output ? tiles_of_block * units * kTile : 0),
        labels(tiles_of_block * n_labels),
        work(net, false),
        tile(spec.samples, net.inputs(), net.outputs(), Loss(spec.loss)),
        sums(new Sums[size_t(rounds)]),
        tally{spec.monitor} {
    std::fill(alphas_of, alphas_of + L, -1);
  }

  // Adds a tile's losses `value` at one round's alphas to its sums.
  template <int S>
  __attribute__((always_inline)) void add_losses(const V (&value)[S], int64_t round, bool first_tile) {
    Sums& total = sums[size_t(round)];
    const V shift = first_tile ? value[0] : total.shift;
    V first{};
    V second{};
    V third{};
#pragma GCC unroll 8
    for (int s = 0; s < S; s++) {
      const V centred = value[s] - shift;
      first += centred;
      const V square = centred * centred;
      second += square;
      third = fma(square, centred, third);
    }
    total.shift = shift;
    total.sum += __builtin_convertvector(first, D);
    total.squares += __builtin_convertvector(second, D);
    total.cubes += __builtin_convertvector(third, D);
  }

  // The same from the outputs out [output][sample] and the labels y, and counts the samples that are misclassified.
  template <int S, class Labels> void add(const V* out, const Labels& y, int64_t round, bool first_tile) {
    V value[S];
    tile.template losses<S>(y, out, net.outputs(), T(1), value, nullptr);
    add_losses<S>(value, round, first_tile);
    if (spec.loss == kCrossEntropy)
      for (int s = 0; s < S; s++) {
        V number = Tile<T>::template largest<S>(out + s, net.outputs());
        V miss = number != y.template load<S>(0, s) ? splat<T>(1) : V{};
        miss = value[s] == value[s] ? miss : value[s];  // no class is the largest of outputs without order
        sums[size_t(round)].wrong += __builtin_convertvector(miss, D);
      }
  }

  // Evaluates `count` tiles of S samples, from sample `first` on, at every round's alphas.
  template <int S> void block(int64_t first, int64_t count) {
    const bool table = !spec.samples.has_teacher;
    const bool shared = table && tile.one_dataset;     // all lanes read the same rows
    const bool targets = shared && spec.loss == kMse;  // labels are read from the table itself
    for (int64_t t = 0; t < count; t++) {
      const int64_t start = first + t * S;
      if (!table) {
        tile.template fresh<S>(stream, 0, start);
      } else if (!shared) {
        int64_t index[S][L];
        for (int s = 0; s < S; s++)
          for (int l = 0; l < L; l++) index[s][l] = start + s;
        tile.template rows<S>(index);
      } else if (!targets) {
        tile.template shared_labels<S>(start);
      }
      for (auto [params, z] : {std::pair{&params_a, &z_a}, std::pair{&params_b, &z_b}}) {
        V* z_tile = *z + t * units * S;
        if (shared) {
          P::template first_layer<S>(net, *params, RowInputs<T>{tile.shared_rows(start), net.inputs()}, z_tile);
        } else {
          P::template first_layer<S>(net, *params, LaneInputs<T>{tile.x}, z_tile);
        }
      }
      for (int64_t i = t * units * S; one_output && i < (t + 1) * units * S; i++) change[i] = z_b[i] - z_a[i];
      if (!targets) {
        V* label = labels + t * n_labels;
        std::memcpy(static_cast<void*>(label), static_cast<const void*>(tile.y), size_t(n_labels) * sizeof(V));
      }
    }
    for (int64_t round = 0, taken; round < rounds; round += taken) {
      const End end = at_end[size_t(round)];
      const bool together = one_output && round + kRounds <= rounds && !any_at_end(round, kRounds);
      taken = together ? kRounds : 1;
      for (int64_t t = 0; t < count; t++) {
        const int64_t start = first + t * S;
        auto add_with = [&](const auto& y) {
          if (together) {
            add_rounds<S, kRounds, kNoLane>(t, y, round, start == 0);
          } else if (one_output && end == kAllLanes) {
            add_rounds<S, 1, kAllLanes>(t, y, round, start == 0);
          } else if (one_output) {
            add_rounds<S, 1, kSomeLanes>(t, y, round, start == 0);
          } else {
            const V* a = z_a + t * units * S;
            const V* b = z_b + t * units * S;
            add<S>(P::template between<S>(net, alphas[round], a, b, theta(round), work), y, round, start == 0);
          }
        };
        if (targets) {
          add_with(RowInputs<T>{tile.shared_targets(start), net.outputs()});
        } else {
          add_with(LaneInputs<T>{labels + t * n_labels});
        }
      }
    }
  }

  // Adds the losses of tile t of the block at R rounds' alphas, of networks with one output.
  template <int S, int R, End E, class Labels>
  void add_rounds(int64_t t, const Labels& y, int64_t round, bool first_tile) {
    const int64_t at = t * units * S;
    V out[R][S];
    P::template one_output<S, R, E>(net, alphas + round, z_a + at, change + at, z_b + at, theta(round), out);
    for (int r = 0; r < R; r++) {
      V value[S];
      Tile<T>::template squared_errors<S>(y, out[r], 1, T(1), value, nullptr);
      add_losses<S>(value, round + r, first_tile);
    }
  }

  bool any_at_end(int64_t round, int64_t count) const {
    const auto from = at_end.begin() + round;
    return std::any_of(from, from + count, [](End end) { return end != kNoLane; });
  }

  // Parameters above the first layer at one round's alphas.
  const V* theta(int64_t round) const { return upper + round * (n_parameters - n_first); }

  // Gathers both ends of every lane, and makes θ(α) of every round above the first layer.
  void interpolate(const int64_t (&pair)[L], const int64_t (&part)[L]) {
    const T* a[L];
    const T* b[L];
    for (int l = 0; l < L; l++) {
      a[l] = static_cast<const T*>(spec.params_a) + pair[l] * n_parameters;
      b[l] = static_cast<const T*>(spec.params_b) + pair[l] * n_parameters;
    }
    gather<T>(a, n_parameters, 1, params_a);
    gather<T>(b, n_parameters, 1, params_b);
    if (!std::equal(part, part + L, alphas_of)) choose_alphas(part);
    const int64_t n = n_parameters - n_first;
    for (int64_t round = 0; round < rounds; round++) {
      const V alpha = alphas[round];
      for (int64_t p = 0; p < n; p++) {
        const V from_a = (1 - alpha) * params_a[n_first + p];
        upper[round * n + p] = fma(alpha, params_b[n_first + p], from_a);
      }
    }
  }

  // Fills in the alphas of every round and lane, and where they are 1.
  void choose_alphas(const int64_t (&part)[L]) {
    std::copy(part, part + L, alphas_of);
    for (int64_t round = 0; round < rounds; round++) {
      int ends = 0;
      for (int l = 0; l < L; l++) {
        const T value = T(spec.alphas[std::min(part[l] + round * parts, spec.n_alphas - 1)]);
        alphas[round][l] = value;
        ends += value == 1;
      }
      at_end[size_t(round)] = ends == 0 ? kNoLane : ends == L ? kAllLanes : kSomeLanes;
    }
  }

  // Asks for the memory where this group's moments will be written and the next group's ends lie: the first lines of
  // each row, after which the machine asks by itself. (Not inlined, it would be taken for a function without effects.)
  __attribute__((always_inline)) void fetch(int lanes, const int64_t (&pair)[L]) const {
    auto ask = [](const auto* table, int64_t row, int64_t n, auto to_write) __attribute__((always_inline)) {
      constexpr int64_t line = 64 / sizeof *table;
      for (int64_t i = 0; i < std::min(n, 16 * line); i += line)
        __builtin_prefetch(table + row * n + i, decltype(to_write)::value);
    };
    const int64_t ahead = pair[lanes - 1] - pair[0] + 1;
    for (int l = 0; l < lanes; l++) {
      for (const double* moments : {spec.mean, spec.standard_error, spec.skewness})
        ask(moments, pair[l], spec.n_alphas, std::true_type{});
      const int64_t next = std::min(pair[l] + ahead, spec.n_pairs - 1);
      for (const void* params : {spec.params_a, spec.params_b})
        ask(static_cast<const T*>(params), next, n_parameters, std::false_type{});
    }
  }

  // Evaluates the lanes of a group at all of their alphas, and writes their moments.
  void evaluate(int64_t group) {
    const int lanes = int(std::min<int64_t>(L, spec.n_pairs * parts - group * L));
    int64_t pair[L];
    int64_t part[L];
    pair[0] = group * L / parts;
    part[0] = group * L % parts;
    for (int l = 1; l < L; l++) {  // lanes past the last repeat it
      const bool next = l < lanes;
      const bool wraps = next && part[l - 1] + 1 == parts;
      pair[l] = pair[l - 1] + wraps;
      part[l] = wraps ? 0 : part[l - 1] + next;
    }
    if (spec.samples.has_teacher)
      for (int l = 0; l < L; l++) stream.seed(l, spec.seeds[pair[l]]);
    interpolate(pair, part);
    tile.set_lanes(pair);
    fetch(lanes, pair);
    const int64_t n = spec.samples.n_samples;
    std::fill(&sums[0], &sums[0] + rounds, Sums{});
    int64_t s = 0;
    while (s + kTile <= n) {
      const int64_t count = std::min(tiles_of_block, (n - s) / kTile);
      block<kTile>(s, count);
      s += count * kTile;
      if (cancelled(spec.monitor)) return;
    }
    for (; s < n; s++) block<1>(s, 1);
    for (int64_t round = 0; round < rounds; round++) write(round, lanes, pair, part);
    tally.add(lanes * rounds);
  }

  // Writes the moments of one round's losses, of the lanes that hold an alpha.
  void write(int64_t round, int lanes, const int64_t (&pair)[L], const int64_t (&part)[L]) const {
    const int64_t n = spec.samples.n_samples;
    const double share = 1 / double(n);
    const double error_of_mean = n > 1 ? 1 / std::sqrt(double(n - 1)) : 0;
    const Sums& from = sums[size_t(round)];
    // plain arrays: GCC takes comparisons of vectors wider than a register apart
    alignas(64) double loss[L];
    alignas(64) double standard_error[L];
    alignas(64) double skewness[L];
    for (int l = 0; l < L; l++) {
      const double mean = from.sum[l] * share;
      const double square = from.squares[l] * share;
      const double spread = square - mean * mean;
      const double third = from.cubes[l] * share - 3 * mean * square + 2 * mean * mean * mean;
      const double variance = spread < 0 ? 0 : spread;
      const double deviation = std::sqrt(variance);
      const double cube = variance * deviation;
      loss[l] = double(from.shift[l]) + mean;
      standard_error[l] = deviation * error_of_mean;
      skewness[l] = third / (cube > 0 ? cube : 1) * (cube > 0 ? 1 : 0);
    }
    for (int l = 0; l < lanes; l++) {
      const int64_t column = part[l] + round * parts;
      if (column >= spec.n_alphas) continue;
      const int64_t item = pair[l] * spec.n_alphas + column;
      spec.mean[item] = loss[l];
      spec.standard_error[item] = standard_error[l];
      spec.skewness[item] = skewness[l];
      if (spec.loss == kCrossEntropy) spec.error[item] = from.wrong[l] / double(n);
    }
  }
};

}  // namespace

template <class T> int evaluate_all(const PathSpec& spec) {
  constexpr int64_t L = kLanes<T>;
  const int64_t busy = 4 * L * spec.threads;  // lanes that keep every thread at work
  const int64_t upper = spec.net.n_parameters() - spec.net.layer_size(0);
  const int64_t bytes = std::max<int64_t>(upper, 1) * int64_t(sizeof(Vec<T>));
  const int64_t rounds = std::clamp<int64_t>((1 << 19) / bytes, 1, spec.n_alphas);  // whose parameters fit the cache
  const int64_t parts_of_cache = (spec.n_alphas + rounds - 1) / rounds;
  const int64_t parts_of_threads = std::min(spec.n_alphas, (busy + spec.n_pairs - 1) / spec.n_pairs);
  const int64_t parts = std::max(parts_of_cache, parts_of_threads);
  const int64_t groups = (spec.n_pairs * parts + L - 1) / L;
  return with_activation(spec.net.activation, [&](auto a) {
    return run_groups(groups, spec.threads, spec.monitor, [&](auto take) {
      Evaluator<T, decltype(a)::value> evaluator(spec, parts);
      for (int64_t g; (g = take()) >= 0;) evaluator.evaluate(g);
    });
  });
}
