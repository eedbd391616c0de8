// Linear assignment, one small matrix after the other: the Hungarian method by shortest augmenting paths (Kuhn 1955; Jonker & Volgenant 1987),
// O(m³) each.
#include <cstdint>
#include <limits>
#include <vector>

#include "group.h"

struct AssignmentSpec {  // mirrored by kernels/assignment.py
  int64_t n, m, threads;
  const double* scores;  // [n][m][m]
  int64_t* columns;      // [n][m]: the column of each row
  Monitor* monitor;
};

namespace {

struct Solver {
  const int64_t m;
  std::vector<double> row_price, column_price, slack;
  std::vector<int64_t> row_of, before;  // of each column: its row, and the column before it on the shortest path; number m stands for none
  std::vector<char> done;

  explicit Solver(int64_t m) : m(m), row_price(size_t(m)), column_price(size_t(m) + 1), slack(size_t(m) + 1), row_of(size_t(m) + 1), before(size_t(m) + 1), done(size_t(m) + 1) {}

  void solve(const double* score, int64_t* columns) {
    std::fill(row_price.begin(), row_price.end(), 0.0);
    std::fill(column_price.begin(), column_price.end(), 0.0);
    std::fill(row_of.begin(), row_of.end(), -1);
    for (int64_t row = 0; row < m; row++) {  // costs are −score; column m is a place outside where the new row waits
      row_of[size_t(m)] = row;
      std::fill(slack.begin(), slack.end(), std::numeric_limits<double>::infinity());
      std::fill(done.begin(), done.end(), char(0));
      int64_t at = m;
      while (row_of[size_t(at)] >= 0) {
        done[size_t(at)] = 1;
        const int64_t i = row_of[size_t(at)];
        double least = std::numeric_limits<double>::infinity();
        int64_t next = -1;
        for (int64_t j = 0; j < m; j++) {
          if (done[size_t(j)]) continue;
          const double reduced = -score[i * m + j] - row_price[size_t(i)] - column_price[size_t(j)];
          if (reduced < slack[size_t(j)]) {
            slack[size_t(j)] = reduced;
            before[size_t(j)] = at;
          }
          if (slack[size_t(j)] < least || next < 0) {
            least = slack[size_t(j)];
            next = j;
          }
        }
        for (int64_t j = 0; j <= m; j++) {
          if (done[size_t(j)]) {
            row_price[size_t(row_of[size_t(j)])] += least;
            column_price[size_t(j)] -= least;
          } else {
            slack[size_t(j)] -= least;
          }
        }
        at = next;
      }
      while (at != m) {  // every column on the path takes the row of the one before it
        row_of[size_t(at)] = row_of[size_t(before[size_t(at)])];
        at = before[size_t(at)];
      }
    }
    for (int64_t j = 0; j < m; j++) columns[row_of[size_t(j)]] = j;
  }
};

}  // namespace

extern "C" int lmc_assign(const AssignmentSpec* spec) {
  return run_groups(spec->n, spec->threads, spec->monitor, [&](auto take) {
    Solver solver(spec->m);
    for (int64_t k; (k = take()) >= 0;) solver.solve(spec->scores + k * spec->m * spec->m, spec->columns + k * spec->m);
  });
}
