// Linear assignment of one small matrix: the Hungarian method by shortest augmenting paths (Kuhn 1955; Jonker &
// Volgenant 1987), O(m³), a vector of columns at a time.
#pragma once
#include <limits>

#include "spec.h"

// Rows and columns have prices, a row's plus a column's at most the cost (−score) of their place. Rows are added one by
// one: each takes the cheapest path of places, at prices, that ends in a free column, and the rows on that path move
// along it.
class Solver {
 public:
  explicit Solver(int64_t m)
      : m(m),
        blocks((m + L - 1) / L),
        column_price(blocks),
        row_price(blocks),
        slack(blocks),
        open(blocks),
        done(size_t(blocks)),
        row_of(size_t(m) + 1),
        previous(size_t(blocks * L)) {}

  // columns [m]: of each row, for one matrix of scores [m][m]; of equally good columns the first.
  void solve(const double* score, int64_t* columns) {
    clear(column_price);
    clear(row_price);
    std::fill(row_of.begin(), row_of.end(), -1);
    for (int64_t row = 0; row < m; row++) add(score, row);
    for (int64_t j = 0; j < m; j++) columns[row_of[size_t(j)]] = j;
  }

 private:
  using V = Vec<double>;
  using I = IntVec<double>;
  static constexpr int L = kLanes<double>;
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const int64_t m;
  const int64_t blocks;  // vectors of columns
  Aligned<double> column_price;
  Aligned<double> row_price;  // of the row that a column has
  Aligned<double> slack;      // of each column: the least cost, less prices, of a path to it
  Aligned<double> open;       // the same of columns that are not done, infinite for others
  std::vector<I> done;        // −1 where the path to a column is known to be the cheapest, else 0
  std::vector<int64_t>
      row_of;  // of each column: its row, −1 for none; column m is one outside, where the new row waits
  std::vector<int64_t> previous;  // of each column: the one before it on that path

  void clear(Aligned<double>& vectors) const { std::fill_n(&vectors[0], blocks, V{}); }
  static double& lane(Aligned<double>& vectors, int64_t j) { return reinterpret_cast<double*>(&vectors[0])[j]; }

  void add(const double* score, int64_t row) {
    row_of[size_t(m)] = row;
    double price = 0;  // of the new row
    for (int64_t b = 0; b < blocks; b++) {
      slack[b] = splat<double>(kInfinity);
      for (int l = 0; l < L; l++) done[size_t(b)][l] = b * L + l < m ? 0 : -1;
    }
    int64_t column = m;
    while (row_of[size_t(column)] >= 0) {
      if (column < m) reinterpret_cast<int64_t*>(done.data())[column] = -1;
      const double* scores = score + row_of[size_t(column)] * m;
      const double own = column < m ? lane(row_price, column) : price;
      const double least = shorten(scores, own, column);
      const int64_t next = first_open(least);
      price += least;
      for (int64_t b = 0; b < blocks; b++) {
        const V to_fixed = done[size_t(b)] ? splat<double>(least) : V{};
        const V to_open = done[size_t(b)] ? V{} : splat<double>(least);
        row_price[b] += to_fixed;
        column_price[b] -= to_fixed;
        slack[b] -= to_open;
      }
      column = next;
    }
    while (column != m) {  // every column on the path takes the row of the one before it
      const int64_t before = previous[size_t(column)];
      row_of[size_t(column)] = row_of[size_t(before)];
      lane(row_price, column) = before < m ? lane(row_price, before) : price;
      column = before;
    }
  }

  // Shortens the paths to columns that are not done by those through `column`, whose row has the price `own`; returns
  // the shortest's slack.
  double shorten(const double* scores, double own, int64_t column) {
    V best = splat<double>(kInfinity);
    auto in_block = [&](int64_t b, int64_t columns) __attribute__((always_inline)) {
      V cost{};
      std::memcpy(&cost, scores + b * L, sizeof(double) * size_t(columns));
      const V reduced = -cost - own - column_price[b];
      const I shorter = (reduced < slack[b]) & ~done[size_t(b)];
      slack[b] = shorter ? reduced : slack[b];
      I from;
      std::memcpy(&from, &previous[size_t(b * L)], sizeof from);
      from = shorter ? column - I{} : from;
      std::memcpy(&previous[size_t(b * L)], &from, sizeof from);
      open[b] = done[size_t(b)] ? splat<double>(kInfinity) : slack[b];
      best = open[b] < best ? open[b] : best;
    };
    for (int64_t b = 0; b < m / L; b++) in_block(b, L);
    if (m % L) in_block(m / L, m % L);
    return smallest<double>(best);
  }

  // The first column that is not done and whose slack is `least`.
  int64_t first_open(double least) const {
    for (int64_t b = 0; b < blocks; b++)
      if (const uint32_t here = lanes_of<double>((open[b] == least) & ~done[size_t(b)]))
        return b * L + __builtin_ctz(here);
    return m;  // none has a slack that is a number; scores are finite
  }
};
