// Training: each group of lanes runs its whole step loop in one call, its networks' state in cache from the first step
// to the last.
#pragma once
#include "factored.h"
#include "optimizers.h"

namespace {

// Trains one group of kLanes<T> networks after the other; network k of a group is lane k of every vector.
template <class T, Activation A> struct Trainer {
  using V = Vec<T>;
  using P = Passes<T, A>;
  using F = Factored<T, A>;
  static constexpr int L = kLanes<T>;
  const TrainSpec& spec;
  const NetworkSpec& net;
  int64_t n_parameters;
  int64_t samples_at_once;  // until it looks whether to stop: whole tiles
  int64_t steps_told;       // to the monitor at a time
  bool factored;        // whether the gradient is computed by factored.h
  Aligned<T> params;    // [n_parameters]
  Aligned<T> gradient;  // [n_parameters], of the step's mean loss
  Aligned<T> first;     // [n_parameters], SGD's velocity or Adam's first moment
  Aligned<T> second;    // [n_parameters], Adam's second moment
  Aligned<T> moves;     // [n_parameters], 1 where a parameter may move, else 0
  Workspace<T> work;
  Aligned<T> d_out;  // [output][sample]
  Tile<T> tile;
  Pattern pattern;
  Permutation<T> permutation;
  int64_t network[L];  // of each lane
  int lanes = 0;       // that hold a network of their own
  V lr;
  V momentum;
  bool plain;  // whether all momenta are 0
  V weight_decay;
  V loss;    // mean over the step's batch
  V active;  // 1, or 0 once a network has stopped
  Stream<T> stream;
  int64_t epoch = -1;  // that `permutation` is of

  explicit Trainer(const TrainSpec& spec)
      : spec(spec),
        net(spec.net),
        n_parameters(net.n_parameters()),
        samples_at_once(samples_between_looks(n_parameters) / kTile * kTile + kTile),
        steps_told(std::clamp<int64_t>(samples_at_once / std::max<int64_t>(spec.batch_size, 1), 1, 64)),
        factored(F::fits(net)),
        params(n_parameters),
        gradient(n_parameters),
        first(n_parameters),
        second(spec.optimizer >= kAdam ? n_parameters : 0),
        moves(n_parameters),
        work(net, true),
        d_out(net.outputs() * kTile),
        tile(spec.samples, net.inputs(), net.outputs(), Loss(spec.loss)),
        permutation(uint32_t(std::max<int64_t>(spec.samples.n_samples, 1))) {}

  // Takes the networks of a group, at their initial parameters.
  void load(int64_t group) {
    lanes = int(std::min<int64_t>(L, spec.n_networks - group * L));
    const T* row[L];
    for (int l = 0; l < L; l++) {  // lanes without a network repeat the last one and are not stored
      network[l] = group * L + std::min(l, lanes - 1);
      row[l] = static_cast<const T*>(spec.initial) + network[l] * n_parameters;
      lr[l] = static_cast<const T*>(spec.lr)[network[l]];
      momentum[l] = static_cast<const T*>(spec.momentum)[network[l]];
      weight_decay[l] = static_cast<const T*>(spec.weight_decay)[network[l]];
    }
    plain = !lanes_of<T>(momentum != 0);
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

  // Holds parameter p where `table` has a 0.
  void only_where(const uint8_t* table, int64_t p) {
    for (int l = 0; l < L; l++)
      if (!table[network[l] * n_parameters + p]) moves[p][l] = 0;
  }

  // Writes the parameters to rows of `table` [n_networks][n_parameters].
  void store(void* table) const {
    T* row[L];
    for (int l = 0; l < L; l++) row[l] = static_cast<T*>(table) + network[l] * n_parameters;
    scatter<T>(params, n_parameters, row, lanes);
  }

  // Adds a tile's losses to `loss`, and its gradient times `scale` to `gradient`.
  template <int S, class In, class Labels> void pass(const In& in, const Labels& labels, T scale) {
    if constexpr (kDegree<A> > 0)
      if (factored && !work.sparse(0) && !work.sparse(1))
        return F::template tile<S>(net, params, in, labels, scale, work, gradient, loss);
    const V* out = P::template forward<S, Unit<T, A>::keeps_z>(net, params, in, work);
    V value[S];
    tile.template losses<S>(labels, out, net.outputs(), scale, value, d_out, T(spec.label_smoothing));
    V sum = value[0];
    for (int s = 1; s < S; s++) sum += value[s];
    loss += sum;
    if constexpr (kDegree<A> > 0)
      if (factored) return F::template backward<S>(net, in, d_out, work, gradient);
    P::template backward<S>(net, params, in, d_out, work, gradient);
  }

  // Passes samples first_sample … first_sample + S − 1 of the step's batch, which begins at position `start` of its
  // epoch.
  template <int S> void samples(int64_t step, int64_t start, int64_t first_sample, T scale) {
    if (spec.sampling == kFull && tile.one_dataset) {
      const RowInputs<T> in{tile.shared_rows(first_sample), net.inputs()};
      if (spec.loss == kMse) return pass<S>(in, RowInputs<T>{tile.shared_targets(first_sample), net.outputs()}, scale);
      tile.template shared_labels<S>(first_sample);
      return pass<S>(in, LaneInputs<T>{tile.y}, scale);
    }
    if (spec.sampling == kOnline) {
      tile.template fresh<S>(stream, uint64_t(step), first_sample);
      return pass<S>(LaneInputs<T>{tile.x}, LaneInputs<T>{tile.y}, scale);
    }
    int64_t index[S][L];
    Words<T> words[4];
    for (int s = 0; s < S; s++) {
      int64_t position = first_sample + s;
      Words<T> chosen = uint32_t(position) - Words<T>{};
      if (spec.sampling == kEpoch) chosen = permutation(uint32_t(start + position));
      if (spec.sampling == kReplacement) {
        const bool next_block = s == 0 || position % 4 == 0;
        if (next_block) stream.block(uint32_t(position / 4), uint64_t(step), Purpose::kReplacement, words);
        chosen = integers<T>(words[position % 4], uint32_t(spec.samples.n_samples));
      }
      for (int l = 0; l < L; l++) index[s][l] = chosen[l];
    }
    tile.template rows<S>(index);
    pass<S>(LaneInputs<T>{tile.x}, LaneInputs<T>{tile.y}, scale);
  }

  // Computes the mean loss of the step's batch and its gradient; false if it was told to stop meanwhile.
  bool batch(int64_t step) {
    int64_t size = spec.batch_size;
    int64_t start = 0;
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
        const int64_t current = step / steps_per_epoch;
        if (changed || epoch != current) permutation.set_epoch(stream, uint64_t(current));
        epoch = current;
      }
    }
    std::memset(static_cast<void*>(gradient), 0, size_t(n_parameters) * sizeof(V));
    loss = V{};
    T scale = T(1) / T(size);
    for (int64_t s = 0; s < size;) {
      const int64_t next = std::min(size, s + samples_at_once);
      for (; s + kTile <= next; s += kTile) samples<kTile>(step, start, s, scale);
      for (; s < next; s++) samples<1>(step, start, s, scale);
      if (cancelled(spec.monitor)) return false;
    }
    if constexpr (kDegree<A> > 0)
      if (factored) F::finish(net, params, gradient);
    loss *= scale;
    return true;
  }

  // Turns the gradient into that of what may move: tied parameters get the sum over their group, held ones 0, and the
  // whole is clipped.
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

  void update(int64_t step) {
    optimizer_step<T>(spec, step, n_parameters,
                      {params, gradient, first, second, moves, lr, momentum, weight_decay, active, plain});
  }

  // Trains the networks of a group from the first step to the last, and writes what the call returns of them.
  void train(int64_t group) {
    load(group);
    int64_t diverged[L];  // first step whose loss was not finite, −1 for none
    int64_t stopped[L];   // first step whose loss was below stop_below, −1 for none
    const bool stops = std::isfinite(spec.stop_below);
    for (int l = 0; l < L; l++) {
      diverged[l] = -1;
      stopped[l] = -1;
    }
    int64_t snapshot = 0;  // the next one
    auto keep_snapshot = [&](int64_t step) {
      if (snapshot == spec.n_snapshots || spec.snapshot_steps[snapshot] != step) return;
      store(static_cast<T*>(spec.snapshots) + snapshot * spec.n_networks * n_parameters);
      snapshot++;
    };
    for (int64_t step = 0; step < spec.steps; step++) {
      keep_snapshot(step);
      if (!batch(step)) return;
      const IntVec<T> finite = (loss - loss) == 0;
      if (lanes_of<T>(~finite))
        for (int l = 0; l < L; l++)
          if (!finite[l] && diverged[l] < 0) diverged[l] = step;
      if (stops)
        for (int l = 0; l < L; l++)
          if (loss[l] < spec.stop_below && stopped[l] < 0) {
            stopped[l] = step;
            active[l] = 0;
          }
      if (step % spec.record_every == 0) {
        T* record = static_cast<T*>(spec.losses) + step / spec.record_every;
        for (int l = 0; l < lanes; l++) record[network[l] * spec.n_records] = loss[l];
      }
      adjust();
      update(step);
      if (step % steps_told == steps_told - 1) advance(spec.monitor, steps_told * lanes);
    }
    advance(spec.monitor, spec.steps % steps_told * lanes);
    keep_snapshot(spec.steps);
    IntVec<T> finite = ~IntVec<T>{};
    for (int64_t p = 0; p < n_parameters; p++) finite &= (params[p] - params[p]) == 0;
    for (int l = 0; l < lanes; l++) {
      spec.stopped_at[network[l]] = stopped[l];
      spec.diverged_at[network[l]] = diverged[l] < 0 && !finite[l] ? spec.steps : diverged[l];
    }
    store(spec.params);
  }
};

}  // namespace

template <class T> int train_all(const TrainSpec& spec) {
  const int64_t groups = (spec.n_networks + kLanes<T> - 1) / kLanes<T>;
  return with_activation(spec.net.activation, [&](auto a) {
    return run_groups(groups, spec.threads, spec.monitor, [&](auto take) {
      Trainer<T, decltype(a)::value> trainer(spec);
      for (int64_t g; (g = take()) >= 0;) trainer.train(g);
    });
  });
}
