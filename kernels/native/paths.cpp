// Losses along paths: a lane is one (pair, alpha), θ(α) = (1 − α) θ_A + α θ_B. Sums over samples are kept in double.
#include "group.h"
#include "samples.h"

struct PathSpec {  // mirrored by kernels/native/__init__.py
  NetworkSpec net;
  SamplesSpec samples;
  int64_t n_pairs, n_alphas, threads;
  int32_t is_double, loss;
  const void *params_a, *params_b;  // [n_pairs][n_parameters], T
  const double* alphas;
  const int64_t* seeds;  // [n_pairs]
  double *mean, *standard_error, *skewness, *error;  // [n_pairs][n_alphas]
  Monitor* monitor;
};

namespace {

constexpr int kBlock = 16;  // tiles of samples that are kept while the alphas take their turns

// A lane belongs to one pair and takes the alphas part, part + parts, part + 2·parts, … With a table of samples every lane has one alpha
// (parts = n_alphas). Fresh inputs cost more than a small network's forward pass: there a lane takes many alphas, so that they are drawn
// once for all of these. A lane's arithmetic is the same either way.
template <class T, Activation A> struct Evaluator {
  using V = Vec<T>;
  using D = DoubleVec<T>;
  static constexpr int L = kLanes<T>;
  struct Sums {
    V shift;  // the first sample's loss: moments are taken about it, so that a small variance survives a large mean
    D sum, squares, cubes, wrong;
  };
  const PathSpec& spec;
  const NetworkSpec& net;
  const int64_t n_parameters, parts, rounds;
  Aligned<T> params;  // [round][n_parameters]
  Aligned<T> alphas;  // [round]
  Workspace<T> work;
  std::vector<std::unique_ptr<Tile<T>>> tiles;
  Stream<T> stream;
  std::unique_ptr<Sums[]> sums;
  Tally tally;

  Evaluator(const PathSpec& spec, int64_t parts)
      : spec(spec), net(spec.net), n_parameters(net.n_parameters()), parts(parts), rounds((spec.n_alphas + parts - 1) / parts),
        params(rounds * n_parameters), alphas(rounds), work(net, false), sums(new Sums[size_t(rounds)]), tally{spec.monitor} {
    for (int i = 0; i < (rounds > 1 ? kBlock : 1); i++)
      tiles.emplace_back(new Tile<T>(spec.samples, net.inputs(), net.outputs(), Loss(spec.loss)));
  }

  template <int S, class In> void pass(const In& in, const Tile<T>& tile, int64_t round, bool first_tile) {
    const V* out = Passes<T, A>::template outputs<S>(net, params + round * n_parameters, in, work);
    V value[S];
    tile.template losses<S>(out, net.outputs(), T(1), value, nullptr);
    Sums& to = sums[size_t(round)];
    if (first_tile) to = Sums{value[0], D{}, D{}, D{}, D{}};
    V first{}, second{}, third{};
    for (int s = 0; s < S; s++) {
      const V centred = value[s] - to.shift;
      first += centred;
      const V square = centred * centred;
      second += square;
      third = fma(square, centred, third);
    }
    to.sum += __builtin_convertvector(first, D);
    to.squares += __builtin_convertvector(second, D);
    to.cubes += __builtin_convertvector(third, D);
    if (spec.loss == kCrossEntropy)
      for (int s = 0; s < S; s++) {
        V number = Tile<T>::template largest<S>(out + s, net.outputs());
        V miss = number != tile.y[s] ? splat<T>(1) : V{};
        to.wrong += __builtin_convertvector(miss, D);
      }
  }

  // samples first … first + count·S − 1, through every round
  template <int S> void block(int64_t first, int64_t count) {
    const bool table = !spec.samples.has_teacher, shared = table && tiles[0]->one_dataset;
    for (int64_t t = 0; t < count; t++) {
      const int64_t start = first + t * S;
      if (!table) tiles[size_t(t)]->template fresh<S>(stream, 0, start);
      else if (shared) tiles[size_t(t)]->template shared_labels<S>(start);
      else {
        int64_t index[S][L];
        for (int s = 0; s < S; s++)
          for (int l = 0; l < L; l++) index[s][l] = start + s;
        tiles[size_t(t)]->template rows<S>(index);
      }
    }
    for (int64_t round = 0; round < rounds; round++)
      for (int64_t t = 0; t < count; t++) {
        const Tile<T>& tile = *tiles[size_t(t)];
        const int64_t start = first + t * S;
        if (shared) pass<S>(RowInputs<T>{tile.shared_rows(start), net.inputs()}, tile, round, start == 0);
        else pass<S>(LaneInputs<T>{tile.x}, tile, round, start == 0);
      }
  }

  // θ(α) of every lane and round; most often one or two runs of lanes share a pair
  void interpolate(const int64_t (&pair)[L], const int64_t (&part)[L]) {
    int n_runs = 0;
    IntVec<T> later[L];  // lanes from the run's first on
    const T *a[L], *b[L];
    for (int l = 0; l < L; l++) {
      if (l && pair[l] == pair[l - 1]) continue;
      for (int k = 0; k < L; k++) later[n_runs][k] = k >= l ? -1 : 0;
      a[n_runs] = static_cast<const T*>(spec.params_a) + pair[l] * n_parameters;
      b[n_runs++] = static_cast<const T*>(spec.params_b) + pair[l] * n_parameters;
    }
    for (int64_t round = 0; round < rounds; round++)
      for (int l = 0; l < L; l++) alphas[round][l] = T(spec.alphas[std::min(part[l] + round * parts, spec.n_alphas - 1)]);
    const V* const alpha = alphas;
    V* const theta = params;
    const int64_t n = n_parameters, n_rounds = rounds;
    for (int64_t p = 0; p < n; p++) {
      V start = splat<T>(a[0][p]), end = splat<T>(b[0][p]);
      for (int r = 1; r < n_runs; r++) {
        start = later[r] ? splat<T>(a[r][p]) : start;
        end = later[r] ? splat<T>(b[r][p]) : end;
      }
      for (int64_t round = 0; round < n_rounds; round++) theta[round * n + p] = fma(alpha[round], end, (1 - alpha[round]) * start);
    }
  }

  void evaluate(int64_t group) {
    const int lanes = int(std::min<int64_t>(L, spec.n_pairs * parts - group * L));
    int64_t pair[L], part[L];
    for (int l = 0; l < L; l++) {
      const int64_t item = group * L + std::min(l, lanes - 1);
      pair[l] = item / parts;
      part[l] = item % parts;
      stream.seed(l, spec.seeds[pair[l]]);
    }
    interpolate(pair, part);
    for (auto& tile : tiles) tile->set_lanes(pair);
    const int64_t n = spec.samples.n_samples, most = int64_t(tiles.size());
    int64_t s = 0;
    while (s + kTile <= n) {
      const int64_t count = std::min(most, (n - s) / kTile);
      block<kTile>(s, count);
      s += count * kTile;
      if (s % 4096 == 0 && cancelled(spec.monitor)) return;
    }
    for (; s < n; s++) block<1>(s, 1);
    const double share = 1 / double(n), error_of_mean = n > 1 ? 1 / std::sqrt(double(n - 1)) : 0;
    for (int64_t round = 0; round < rounds; round++) {
      const Sums& from = sums[size_t(round)];
      const D mean = from.sum * share, square = from.squares * share, spread = square - mean * mean;
      const D third = from.cubes * share - 3 * mean * square + 2 * mean * mean * mean;
      for (int l = 0; l < lanes; l++) {
        const int64_t column = part[l] + round * parts, item = pair[l] * spec.n_alphas + column;
        if (column >= spec.n_alphas) continue;
        const double deviation = spread[l] < 0 ? 0 : std::sqrt(spread[l]);
        spec.mean[item] = double(from.shift[l]) + mean[l];
        spec.standard_error[item] = deviation * error_of_mean;
        spec.skewness[item] = spread[l] > 0 ? third[l] / (spread[l] * deviation) : 0;
        spec.error[item] = spec.loss == kCrossEntropy ? from.wrong[l] / double(n) : 0;
      }
    }
    tally.add(lanes * rounds);
  }
};

template <class T> int evaluate_all(const PathSpec& spec) {
  constexpr int64_t L = kLanes<T>;
  const int64_t busy = 4 * L * spec.threads;  // lanes that keep every thread at work
  const int64_t parts = spec.samples.has_teacher ? std::min(spec.n_alphas, (busy + spec.n_pairs - 1) / spec.n_pairs) : spec.n_alphas;
  const int64_t groups = (spec.n_pairs * parts + L - 1) / L;
  return with_activation(spec.net.activation, [&](auto a) {
    return run_groups(groups, spec.threads, spec.monitor, [&](auto take) {
      Evaluator<T, decltype(a)::value> evaluator(spec, parts);
      for (int64_t g; (g = take()) >= 0;) evaluator.evaluate(g);
    });
  });
}

}  // namespace

extern "C" int lmc_path_losses(const PathSpec* spec) { return spec->is_double ? evaluate_all<double>(*spec) : evaluate_all<float>(*spec); }
