// Population losses of two-layer networks along paths, and certain barriers: kernels/native/population.py says what is
// computed.
#include "bend.h"
#include "group.h"

struct PopulationSpec {  // mirrored by kernels/native/structures.py
  NetworkSpec net;
  NetworkSpec teacher;
  int64_t n_pairs;
  int64_t n_alphas;
  int64_t threads;
  int32_t is_double;             // T below is double, else float
  double tolerance;              // of the maxima, in units of the largest loss
  const void* params_a;          // [n_pairs][n_parameters], T
  const void* params_b;          // [n_pairs][n_parameters], T
  const double* teacher_params;  // [n_teachers][the teacher's n_parameters]
  const int64_t* teachers;       // [n_pairs]: of each pair
  const double* alphas;          // [n_alphas]
  double* losses;                // [n_pairs][n_alphas]
  double* barriers;              // [n_pairs][4][2]: value and argmax, in the order of theory's definitions
  double* errors;                // [n_pairs][2]: how far L, and L less its chord, may rise above their maxima
  Monitor* monitor;
};

namespace {

template <class T> void widen(const void* params, int64_t row, std::vector<double>& into) {
  const T* from = static_cast<const T*>(params) + row * int64_t(into.size());
  for (size_t p = 0; p < into.size(); p++) into[p] = double(from[p]);
}

void write_pair(const PopulationSpec& spec, BoundedPath& path, int64_t pair) {
  using Maximum = CertainMaximum<BoundedPath>;
  Maximum maximum(path, spec.tolerance);
  Maximum::Found found[2];
  maximum.find(found);
  const double start = maximum.loss(0);
  const double end = maximum.loss(Maximum::kGrid - 1);
  const double barriers[4][2] = {
      {found[1].value - start, found[1].place},
      {found[0].value - (start + end) / 2, found[0].place},
      {found[0].value - std::max(start, end), found[0].place},
      {maximum.loss(Maximum::kGrid / 2) - (start + end) / 2, 0.5},
  };
  std::memcpy(spec.barriers + pair * 8, barriers, sizeof barriers);
  for (int column = 0; column < 2; column++) spec.errors[pair * 2 + column] = found[column].error;
  for (int64_t k = 0; k < spec.n_alphas; k++)
    spec.losses[pair * spec.n_alphas + k] = path.evaluate<false>(spec.alphas[k]).value;
}

}  // namespace

extern "C" int64_t lmc_population_bytes() { return sizeof(PopulationSpec); }

extern "C" int lmc_population(const PopulationSpec* spec) {
  return run_groups(spec->n_pairs, spec->threads, spec->monitor, [&](auto take) {
    BoundedPath path(spec->net, spec->teacher);
    std::vector<double> a(size_t(spec->net.n_parameters()));
    std::vector<double> b(a.size());
    Tally tally{spec->monitor};
    for (int64_t pair; (pair = take()) >= 0;) {
      if (spec->is_double) {
        widen<double>(spec->params_a, pair, a);
        widen<double>(spec->params_b, pair, b);
      } else {
        widen<float>(spec->params_a, pair, a);
        widen<float>(spec->params_b, pair, b);
      }
      path.set({a.data(), b.data(), spec->teacher_params + spec->teachers[pair] * spec->teacher.n_parameters()});
      write_pair(*spec, path, pair);
      tally.add(1);
    }
  });
}
