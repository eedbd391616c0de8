// The maximum over [0, 1] of a curve that is known with its slope and with bounds of how far it bends:
// theory/curves/smooth_curve.py says how, and why it is certain.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

// Bounds on a piece: sup |L′|, sup (−L″)₊ of the part without kinks, and how far L′ falls at kinks.
struct Bend {
  double slope;
  double curvature;
  double kinks;
};

// Coefficients of the cubic with these values and slopes at t = 0 and 1.
struct Cubic {
  double value;
  double slope;
  double square;
  double cubic;
  Cubic(double value_0, double value_1, double slope_0, double slope_1)
      : value(value_0),
        slope(slope_0),
        square(3 * (value_1 - value_0) - 2 * slope_0 - slope_1),
        cubic(slope_0 + slope_1 - 2 * (value_1 - value_0)) {}
  double operator()(double t) const { return value + t * (slope + t * (square + t * cubic)); }

  // Where in [0, 1] it is largest.
  double top() const {
    const double end = (*this)(1) > value ? 1.0 : 0.0;
    // of the two roots of its slope that where it falls, without cancellation
    const double root = std::sqrt(std::max(square * square - 3 * cubic * slope, 0.0));
    const double t = square <= 0 ? slope / (root - square) : -(square + root) / (3 * cubic);
    if (!(t > 0 && t < 1)) return end;
    return (*this)(t) >= std::max(value, (*this)(1)) ? t : end;
  }
};

// Path: evaluate<rates>(α) gives value and rate, bend(left, right, loss_left, loss_right) bounds between them.
template <class Path> class CertainMaximum {
 public:
  static constexpr int kGrid = 33;
  struct Found {
    double value;
    double place;
    double error;  // how far the curve may lie above value anywhere
  };

  explicit CertainMaximum(Path& path, double tolerance) : path(path), tolerance(tolerance) {}

  double loss(int grid_point) const { return losses[grid_point]; }

  // Of L and of L − (L(1) − L(0)) α.
  void find(Found (&found)[2]) {
    size = 0;
    for (int k = 0; k < kGrid; k++) {
      const auto here = path.template evaluate<true>(place(k));
      losses[k] = here.value;
      rates[k] = here.rate;
      size = std::max(size, std::fabs(here.value));
    }
    tilts[0] = 0;
    tilts[1] = losses[kGrid - 1] - losses[0];
    for (int column = 0; column < 2; column++) found[column] = climbed(tilts[column]);
    rule_out(found);
  }

 private:
  static constexpr int kMostClimbs = 12;
  static constexpr int kMostEvaluations = 1024;
  struct Point {
    double alpha;
    double value;
    double rate;
  };
  struct Piece {
    double left;
    double right;
    double loss_left;
    double loss_right;
  };
  Path& path;
  const double tolerance;
  double losses[kGrid];
  double rates[kGrid];
  double tilts[2];
  double size;  // the largest |L| on the grid
  std::vector<Piece> pieces;
  std::vector<Piece> following;

  static double place(int k) { return double(k) / (kGrid - 1); }

  Point grid_point(int k, double tilt) const { return {place(k), losses[k] - tilt * place(k), rates[k] - tilt}; }

  Point point(double alpha, double tilt) {
    const auto here = path.template evaluate<true>(alpha);
    return {alpha, here.value - tilt * alpha, here.rate - tilt};
  }

  // The best of the grid, and of the hill that cubics between its points show highest.
  Found climbed(double tilt) {
    constexpr double step = 1.0 / (kGrid - 1);
    Found best{-std::numeric_limits<double>::infinity(), 0, 0};
    double highest = best.value;
    int chosen = 0;
    for (int k = 0; k < kGrid; k++) {
      const Point left = grid_point(k, tilt);
      if (left.value > best.value) best = {left.value, left.alpha, 0};
      if (k + 1 == kGrid) break;
      const Point right = grid_point(k + 1, tilt);
      const Cubic cubic(left.value, right.value, step * left.rate, step * right.rate);
      const double top = cubic(cubic.top());
      if (top > highest) {
        highest = top;
        chosen = k;
      }
    }
    climb(grid_point(chosen, tilt), grid_point(chosen + 1, tilt), tilt, best);
    return best;
  }

  // Raises best to the top between two points. Each step keeps a top inside: the curve rises at the left end, and falls
  // at the right end or that end is where it was.
  void climb(Point left, Point right, double tilt, Found& best) {
    auto step_to_top = [&] {
      const double width = right.alpha - left.alpha;
      return width * Cubic(left.value, right.value, width * left.rate, width * right.rate).top();
    };
    double trial = left.alpha + step_to_top();
    for (int k = 0; k < kMostClimbs; k++) {
      const Point here = point(trial, tilt);
      if (here.value > best.value) best = {here.value, here.alpha, 0};
      (here.rate > 0 ? left : right) = here;
      const double width = right.alpha - left.alpha;
      const double step = step_to_top();
      trial = left.alpha + (step > 0 && step < width ? step : width / 2);
      if (!(std::fabs(here.rate * (trial - here.alpha)) > 1e-15 * size)) break;
    }
  }

  // An upper bound of L − tilt·α on a piece.
  static double highest(const Piece& piece, const Bend& bend, double tilt) {
    const double width = piece.right - piece.left;
    const double left = piece.loss_left - tilt * piece.left;
    const double right = piece.loss_right - tilt * piece.right;
    const double middle = (left + right) / 2;
    const double rise = right - left;
    // since L″ ≥ −curvature, L + ½ curvature α² lies below its chord; L′ falls by at most `kinks`, wherever they are
    const double arch = width * width * bend.curvature / 2 + width * bend.kinks;
    const double bent = arch > std::fabs(rise) ? middle + arch / 4 + rise * rise / (4 * arch) : std::max(left, right);
    const double steep = middle + width * (bend.slope + std::fabs(tilt)) / 2;
    return std::fmin(bent, steep);
  }

  // Quarters pieces until none can rise above the best values by more than the tolerance; these are raised where one
  // does, and a new hill is climbed.
  void rule_out(Found (&found)[2]) {
    const Found of_grid[2] = {found[0], found[1]};
    double ceiling[2] = {found[0].value, found[1].value};
    double reach[2] = {1, 1};
    int evaluated = 0;
    pieces.clear();
    for (int k = 0; k + 1 < kGrid; k++) pieces.push_back({place(k), place(k + 1), losses[k], losses[k + 1]});
    while (!pieces.empty()) {
      following.clear();
      for (const Piece& piece : pieces) {
        const Bend bend = path.bend(piece.left, piece.right, piece.loss_left, piece.loss_right);
        const double tops[2] = {highest(piece, bend, tilts[0]), highest(piece, bend, tilts[1])};
        const double slack = tolerance * size;
        const bool may_be_higher = tops[0] > found[0].value + slack || tops[1] > found[1].value + slack;
        if (!may_be_higher || evaluated + 3 > kMostEvaluations || piece.right - piece.left <= 1e-15) {
          for (int column = 0; column < 2; column++) ceiling[column] = std::max(ceiling[column], tops[column]);
          continue;
        }
        evaluated += 3;
        quarter(piece, found, reach);
      }
      std::swap(pieces, following);
    }
    for (int column = 0; column < 2; column++) {
      Found& best = found[column];
      if (best.value > of_grid[column].value) {
        const double tilt = tilts[column];
        const Point left = point(std::max(best.place - reach[column], 0.0), tilt);
        const Point right = point(std::min(best.place + reach[column], 1.0), tilt);
        climb(left, right, tilt, best);
      }
      best.error = std::max(ceiling[column] - best.value, 0.0);
    }
  }

  void quarter(const Piece& piece, Found (&found)[2], double (&reach)[2]) {
    const double width = (piece.right - piece.left) / 4;
    Piece part = piece;
    for (int k = 1; k <= 4; k++) {
      part.right = k < 4 ? piece.left + k * width : piece.right;
      part.loss_right = k < 4 ? path.template evaluate<false>(part.right).value : piece.loss_right;
      for (int column = 0; column < 2 && k < 4; column++) {
        const double value = part.loss_right - tilts[column] * part.right;
        if (value > found[column].value) {
          found[column] = {value, part.right, 0};
          reach[column] = width;
        }
      }
      following.push_back(part);
      part.left = part.right;
      part.loss_left = part.loss_right;
    }
  }
};
