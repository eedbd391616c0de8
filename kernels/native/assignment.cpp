// Linear assignment, one small matrix after the other: the Hungarian method by shortest augmenting paths (Kuhn 1955; Jonker & Volgenant
// 1987), O(m³) each.
#include <cstdint>
#include <limits>
#include <vector>

#include "group.h"

struct AssignmentSpec {  // mirrored by kernels/native/structures.py
  int64_t n;
  int64_t m;
  int64_t threads;
  const double* scores;  // [n][m][m]
  int64_t* columns;      // [n][m]: the column of each row
  Monitor* monitor;
};

namespace {

// Rows and columns have prices, a row's plus a column's at most the cost (−score) of their place. Rows are added one by one: each takes
// the cheapest path of places, at prices, that ends in a free column, and the rows on that path move along it.
struct Solver {
  const int64_t m;
  std::vector<double> row_price;
  std::vector<double> column_price;
  std::vector<double> slack;       // of each column: the least cost, less prices, of a path to it
  std::vector<int64_t> row_of;     // of each column: its row, −1 for none; column m is one outside, where the new row waits
  std::vector<int64_t> previous;   // of each column: the one before it on that path
  std::vector<char> done;          // of each column: whether that path is known to be the cheapest

  explicit Solver(int64_t m)
      : m(m),
        row_price(size_t(m)),
        column_price(size_t(m) + 1),
        slack(size_t(m) + 1),
        row_of(size_t(m) + 1),
        previous(size_t(m) + 1),
        done(size_t(m) + 1) {}

  // columns [m]: of each row, for one matrix of scores [m][m].
  void solve(const double* score, int64_t* columns) {
    std::fill(row_price.begin(), row_price.end(), 0.0);
    std::fill(column_price.begin(), column_price.end(), 0.0);
    std::fill(row_of.begin(), row_of.end(), -1);
    for (int64_t row = 0; row < m; row++) {
      row_of[size_t(m)] = row;
      std::fill(slack.begin(), slack.end(), std::numeric_limits<double>::infinity());
      std::fill(done.begin(), done.end(), char(0));
      int64_t column = m;
      while (row_of[size_t(column)] >= 0) {
        done[size_t(column)] = 1;
        const int64_t i = row_of[size_t(column)];
        double least = std::numeric_limits<double>::infinity();
        int64_t next = -1;
        for (int64_t j = 0; j < m; j++) {
          if (done[size_t(j)]) continue;
          const double reduced = -score[i * m + j] - row_price[size_t(i)] - column_price[size_t(j)];
          if (reduced < slack[size_t(j)]) {
            slack[size_t(j)] = reduced;
            previous[size_t(j)] = column;
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
        column = next;
      }
      while (column != m) {  // every column on the path takes the row of the one before it
        row_of[size_t(column)] = row_of[size_t(previous[size_t(column)])];
        column = previous[size_t(column)];
      }
    }
    for (int64_t j = 0; j < m; j++) columns[row_of[size_t(j)]] = j;
  }
};

}  // namespace

extern "C" int lmc_assign(const AssignmentSpec* spec) {
  return run_groups(spec->n, spec->threads, spec->monitor, [&](auto take) {
    Solver solver(spec->m);
    for (int64_t k; (k = take()) >= 0;) {
      const double* scores = spec->scores + k * spec->m * spec->m;
      solver.solve(scores, spec->columns + k * spec->m);
    }
  });
}
