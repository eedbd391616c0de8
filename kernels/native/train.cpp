// Training: each group of lanes runs its whole step loop in one call, its networks' state in cache from the first step to the last.
#include "group.h"
#include "samples.h"

enum Optimizer : int32_t { kSgd, kNesterov, kAdam, kAdamW };

struct TrainSpec {  // mirrored by kernels/native/__init__.py
  NetworkSpec net;
  SamplesSpec samples;
  int64_t n_networks, steps, batch_size, record_every, n_records, n_snapshots, threads;
  int32_t is_double, loss, sampling, optimizer;
  double beta_1, beta_2, eps;
  double label_smoothing, clip_norm, stop_below;  // clip_norm: infinite for none; stop_below: minus infinity for none
  const void *lr, *momentum, *weight_decay;  // [n_networks], T
  const int64_t *data_seeds, *spawn_steps, *spawn_seeds;  // [n_networks]
  const uint8_t *mask, *trainable;  // [n_networks][n_parameters] or null
  const int64_t* tied;  // [n_parameters], the first of the parameters that it is one with, or null
  const double *factors, *correction_1, *correction_2;  // [steps]
  const int64_t* snapshot_steps;  // [n_snapshots]
  void* params;  // [n_networks][n_parameters], T; initial ones in, final ones out
  void* losses;  // [n_networks][n_records], T
  void* snapshots;  // [n_snapshots][n_networks][n_parameters], T
  int64_t *diverged_at, *stopped_at;  // [n_networks]
  Monitor* monitor;
};

namespace {

template <class T, Activation A> struct Trainer {
  using V = Vec<T>;
  static constexpr int L = kLanes<T>;
  const TrainSpec& spec;
  const NetworkSpec& net;
  int64_t n_parameters;
  Aligned<T> params, gradient, first, second, moves;  // [n_parameters]: θ, ∇L, the optimizer's moments, 1 where θ may move
  Workspace<T> work;
  Aligned<T> d_out;
  Tile<T> tile;
  Pattern pattern;
  Permutation<T> permutation;
  int64_t network[L];
  int lanes = 0;
  V lr, momentum, weight_decay, loss;
  V active;  // 1, or 0 once a network has stopped
  Stream<T> stream;
  int64_t epoch = -1;

  explicit Trainer(const TrainSpec& spec)
      : spec(spec), net(spec.net), n_parameters(net.n_parameters()), params(n_parameters), gradient(n_parameters),
        first(n_parameters), second(spec.optimizer >= kAdam ? n_parameters : 0), moves(n_parameters), work(net, true),
        d_out(net.outputs() * kTile), tile(spec.samples, net.inputs(), net.outputs(), Loss(spec.loss)),
        permutation(uint32_t(std::max<int64_t>(spec.samples.n_samples, 1))) {}

  void load(int64_t group) {
    lanes = int(std::min<int64_t>(L, spec.n_networks - group * L));
    const T* row[L];
    for (int l = 0; l < L; l++) {  // lanes without a network repeat the last one and are not stored
      network[l] = group * L + std::min(l, lanes - 1);
      row[l] = static_cast<const T*>(spec.params) + network[l] * n_parameters;
      lr[l] = static_cast<const T*>(spec.lr)[network[l]];
      momentum[l] = static_cast<const T*>(spec.momentum)[network[l]];
      weight_decay[l] = static_cast<const T*>(spec.weight_decay)[network[l]];
    }
    gather<T>(row, n_parameters, 1, params);
    for (int64_t p = 0; p < n_parameters; p++) {
      first[p] = V{};
      if (spec.optimizer >= kAdam) second[p] = V{};
      if (spec.tied) params[p] = params[spec.tied[p]];
      moves[p] = splat<T>(1);
      if (spec.mask) {
        only_where(spec.mask, p);
        params[p] = moves[p] != 0 ? params[p] : V{};
      }
      if (spec.trainable) only_where(spec.trainable, p);
    }
    if (spec.mask && !net.blocks()) {
      pattern.fill(net, [&](int64_t p) {
        for (int l = 0; l < lanes; l++)
          if (spec.mask[network[l] * n_parameters + p]) return true;
        return false;
      });
      work.pattern = &pattern;
    }
    active = splat<T>(1);
    tile.set_lanes(network);
    epoch = -1;
  }

  void only_where(const uint8_t* table, int64_t p) {
    for (int l = 0; l < L; l++)
      if (!table[network[l] * n_parameters + p]) moves[p][l] = 0;
  }

  void store(void* where) const {
    for (int l = 0; l < lanes; l++) {
      T* row = static_cast<T*>(where) + network[l] * n_parameters;
      for (int64_t p = 0; p < n_parameters; p++) row[p] = params[p][l];
    }
  }

  template <int S, class In> void pass(const In& in, T scale) {
    using P = Passes<T, A>;
    const V* out = P::template forward<S, Unit<T, A>::keeps_z>(net, params, in, work);
    V value[S];
    tile.template losses<S>(LaneInputs<T>{tile.y}, out, net.outputs(), scale, value, d_out, T(spec.label_smoothing));
    V sum = value[0];
    for (int s = 1; s < S; s++) sum += value[s];
    loss += sum;
    P::template backward<S>(net, params, in, d_out, work, gradient);
  }

  // samples first … first + S − 1 of the step's batch
  template <int S> void samples(int64_t step, int64_t start, int64_t first_sample, T scale) {
    if (spec.sampling == kFull && tile.one_dataset) {
      tile.template shared_labels<S>(first_sample);
      return pass<S>(RowInputs<T>{tile.shared_rows(first_sample), net.inputs()}, scale);
    }
    if (spec.sampling == kOnline) {
      tile.template fresh<S>(stream, uint64_t(step), first_sample);
      return pass<S>(LaneInputs<T>{tile.x}, scale);
    }
    int64_t index[S][L];
    Words<T> words[4];
    for (int s = 0; s < S; s++) {
      int64_t position = first_sample + s;
      Words<T> chosen = uint32_t(position) - Words<T>{};
      if (spec.sampling == kEpoch) chosen = permutation(uint32_t(start + position));
      if (spec.sampling == kReplacementSampling) {
        if (s == 0 || position % 4 == 0) stream.block(uint32_t(position / 4), uint64_t(step), kReplacement, words);
        chosen = integers<T>(words[position % 4], uint32_t(spec.samples.n_samples));
      }
      for (int l = 0; l < L; l++) index[s][l] = chosen[l];
    }
    tile.template rows<S>(index);
    pass<S>(LaneInputs<T>{tile.x}, scale);
  }

  // mean loss and gradient of the step's batch
  void batch(int64_t step) {
    int64_t size = spec.batch_size, start = 0;
    if (spec.sampling != kFull) {
      bool changed = step == 0;
      for (int l = 0; l < L; l++) {
        int64_t n = network[l];
        bool spawned = step >= spec.spawn_steps[n];
        stream.seed(l, spawned ? spec.spawn_seeds[n] : spec.data_seeds[n]);
        changed |= step == spec.spawn_steps[n];
      }
      if (spec.sampling == kEpoch) {
        int64_t steps_per_epoch = (spec.samples.n_samples + size - 1) / size;
        start = step % steps_per_epoch * size;
        size = std::min(size, spec.samples.n_samples - start);
        if (changed || epoch != step / steps_per_epoch) permutation.set_epoch(stream, uint64_t(epoch = step / steps_per_epoch));
      }
    }
    std::memset(static_cast<void*>(gradient), 0, size_t(n_parameters) * sizeof(V));
    loss = V{};
    T scale = T(1) / T(size);
    int64_t s = 0;
    for (; s + kTile <= size; s += kTile) samples<kTile>(step, start, s, scale);
    for (; s < size; s++) samples<1>(step, start, s, scale);
    loss *= scale;
  }

  // The gradient of what may move: held parameters at 0, those that are one with the sum of theirs, clipped
  void adjust() {
    if (spec.tied) {
      for (int64_t i = 0; i < n_parameters; i++)
        if (spec.tied[i] != i) gradient[spec.tied[i]] += gradient[i];
      for (int64_t i = 0; i < n_parameters; i++) gradient[i] = gradient[spec.tied[i]];
    }
    if (spec.mask || spec.trainable)
      for (int64_t i = 0; i < n_parameters; i++) gradient[i] = moves[i] != 0 ? gradient[i] : V{};
    if (std::isinf(spec.clip_norm)) return;
    V squares{};
    for (int64_t i = 0; i < n_parameters; i++)
      if (!spec.tied || spec.tied[i] == i) squares = fma(gradient[i], gradient[i], squares);
    const V factor = T(spec.clip_norm) / (sqrt(squares) + T(1e-6));
    const V shrink = factor > 1 ? splat<T>(1) : factor;
    for (int64_t i = 0; i < n_parameters; i++) gradient[i] *= shrink;
  }

  template <int O, bool Held> void update_all(int64_t step) {
    const V rate = lr * T(spec.factors[step]), decay = weight_decay;
    const T c1 = T(spec.correction_1[step]), c2 = T(spec.correction_2[step]), b1 = T(spec.beta_1), b2 = T(spec.beta_2), eps = T(spec.eps);
    for (int64_t i = 0; i < n_parameters; i++) {
      const V before = params[i];
      V p = before, g = gradient[i];
      if constexpr (O == kAdamW) p = p * (1 - rate * decay);
      else g = fma(decay, p, g);
      if constexpr (O == kSgd || O == kNesterov) {
        V v = fma(momentum, first[i], g);
        first[i] = v;
        params[i] = fma(-rate, O == kNesterov ? fma(momentum, v, g) : v, p);
      } else {
        V m = fma(splat<T>(b1), first[i], (1 - b1) * g), v = fma(splat<T>(b2), second[i], (1 - b2) * g * g);
        first[i] = m;
        second[i] = v;
        params[i] = p - rate * c1 * m / fma(sqrt(v), splat<T>(c2), splat<T>(eps));
      }
      if constexpr (Held) params[i] = moves[i] * active != 0 ? params[i] : before;
    }
  }
  template <int O> void update(int64_t step) {
    spec.trainable || std::isfinite(spec.stop_below) ? update_all<O, true>(step) : update_all<O, false>(step);
  }

  void train(int64_t group) {
    load(group);
    int64_t bad[L], stopped[L], snapshot = 0;
    for (int l = 0; l < L; l++) bad[l] = stopped[l] = -1;
    auto snap = [&](int64_t step) {
      if (snapshot == spec.n_snapshots || spec.snapshot_steps[snapshot] != step) return;
      store(static_cast<T*>(spec.snapshots) + snapshot++ * spec.n_networks * n_parameters);
    };
    for (int64_t step = 0; step < spec.steps; step++) {
      snap(step);
      batch(step);
      auto finite = (loss - loss) == 0;
      for (int l = 0; l < L; l++)
        if (!finite[l] && bad[l] < 0) bad[l] = step;
      for (int l = 0; l < L; l++)
        if (loss[l] < spec.stop_below && stopped[l] < 0) {
          stopped[l] = step;
          active[l] = 0;
        }
      if (step % spec.record_every == 0)
        for (int l = 0; l < lanes; l++) static_cast<T*>(spec.losses)[network[l] * spec.n_records + step / spec.record_every] = loss[l];
      adjust();
      switch (spec.optimizer) {
        case kSgd: update<kSgd>(step); break;
        case kNesterov: update<kNesterov>(step); break;
        case kAdam: update<kAdam>(step); break;
        default: update<kAdamW>(step);
      }
      if (step % 64 == 63) {
        advance(spec.monitor, 64 * lanes);
        if (cancelled(spec.monitor)) return;
      }
    }
    advance(spec.monitor, spec.steps % 64 * lanes);
    snap(spec.steps);
    for (int l = 0; l < lanes; l++) {
      bool finite = true;
      for (int64_t p = 0; p < n_parameters; p++) finite &= std::isfinite(params[p][l]);
      spec.stopped_at[network[l]] = stopped[l];
      spec.diverged_at[network[l]] = bad[l] < 0 && !finite ? spec.steps : bad[l];
    }
    store(spec.params);
  }
};

template <class T> int train_all(const TrainSpec& spec) {
  const int64_t groups = (spec.n_networks + kLanes<T> - 1) / kLanes<T>;
  return with_activation(spec.net.activation, [&](auto a) {
    return run_groups(groups, spec.threads, spec.monitor, [&](auto take) {
      Trainer<T, decltype(a)::value> trainer(spec);
      for (int64_t g; (g = take()) >= 0;) trainer.train(g);
    });
  });
}

}  // namespace

extern "C" int lmc_train(const TrainSpec* spec) { return spec->is_double ? train_all<double>(*spec) : train_all<float>(*spec); }
