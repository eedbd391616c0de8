// Runs groups of lanes over threads, with progress that another thread may read and a flag by which it may stop them.
#pragma once
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "network.h"

struct Monitor {  // mirrored by kernels/native/__init__.py
  int64_t done;  // read and written atomically
  int32_t cancel;
};
inline void advance(Monitor* m, int64_t by) { __atomic_fetch_add(&m->done, by, __ATOMIC_RELAXED); }
inline bool cancelled(const Monitor* m) { return __atomic_load_n(&m->cancel, __ATOMIC_RELAXED) != 0; }

// work(next) is called on every thread; next() gives the numbers 0 … n − 1, each to one thread, and −1 when none is left.
// Returns 0, or 1 when memory ran out.
template <class Work> int run_groups(int64_t n, int64_t threads, Monitor* monitor, const Work& work) {
  std::atomic<int64_t> next{0};
  std::atomic<int> failed{0};
  auto take = [&]() -> int64_t {
    int64_t i = next.fetch_add(1);
    return i < n && !cancelled(monitor) && !failed ? i : -1;
  };
  auto body = [&] {
    try {
      work(take);
    } catch (const std::bad_alloc&) {
      failed = 1;
    }
  };
  std::vector<std::thread> others;
  for (int64_t i = 1; i < std::min(threads, n); i++) others.emplace_back(body);
  body();
  for (auto& t : others) t.join();
  return failed;
}
