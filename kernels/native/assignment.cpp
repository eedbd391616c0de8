// Linear assignment, one small matrix after the other.
#include "assignment.h"
#include "group.h"

struct AssignmentSpec {  // mirrored by kernels/native/structures.py
  int64_t n;
  int64_t m;
  int64_t threads;
  const double* scores;  // [n][m][m]
  int64_t* columns;      // [n][m]: the column of each row
  Monitor* monitor;
};

extern "C" int64_t lmc_assign_bytes() { return sizeof(AssignmentSpec); }

extern "C" int lmc_assign(const AssignmentSpec* spec) {
  return run_groups(spec->n, spec->threads, spec->monitor, [&](auto take) {
    Solver solver(spec->m);
    for (int64_t k; (k = take()) >= 0;) {
      const double* scores = spec->scores + k * spec->m * spec->m;
      solver.solve(scores, spec->columns + k * spec->m);
    }
  });
}
