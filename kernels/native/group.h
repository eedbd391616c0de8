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

// A thread's own count of what it has done, told to the monitor now and then: a shared counter costs a cache miss each time.
struct Tally {
  Monitor* monitor;
  int64_t pending = 0;
  void add(int64_t n) {
    pending += n;
    if (pending >= 4096) flush();
  }
  void flush() {
    advance(monitor, pending);
    pending = 0;
  }
  ~Tally() { flush(); }
};

// work(next) is called on every thread; next() gives the numbers 0 … n − 1, each to one thread, a few neighbours at a time, and −1 when
// none is left. Returns 0, or 1 when memory ran out.
template <class Work> int run_groups(int64_t n, int64_t threads, Monitor* monitor, const Work& work) {
  std::atomic<int64_t> next{0};
  std::atomic<int> failed{0};
  const int64_t span = std::clamp<int64_t>(n / (threads * 16), 1, 64);
  auto body = [&] {
    int64_t i = 0, stop = 0;
    auto take = [&]() -> int64_t {
      if (i == stop) {
        if (cancelled(monitor) || failed) return -1;
        i = next.fetch_add(span);
        stop = std::min(i + span, n);
      }
      return i < n ? i++ : -1;
    };
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
