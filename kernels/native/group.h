// Runs groups of lanes over threads, with progress that another thread may read and a flag by which it may stop them.
#pragma once
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>
#ifdef __linux__
#include <sched.h>
#endif

#include "network.h"

struct Monitor {   // mirrored by kernels/native/structures.py
  int64_t done;    // read and written atomically
  int32_t cancel;  // set by another thread: stop
};
inline void advance(Monitor* m, int64_t by) { __atomic_fetch_add(&m->done, by, __ATOMIC_RELAXED); }
inline bool cancelled(const Monitor* m) { return __atomic_load_n(&m->cancel, __ATOMIC_RELAXED) != 0; }

// How many samples of a network of this size a thread trains on before it looks whether to stop: milliseconds' work.
inline int64_t samples_between_looks(int64_t n_parameters) {
  constexpr int64_t kMultiplyAdds = 1 << 24;  // of vectors, forward and backward
  return std::max<int64_t>(kMultiplyAdds / (3 * n_parameters), 1);
}

// A thread's own count of what it has done, told to the monitor now and then: a shared counter costs a cache miss each
// time.
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

// Moves this thread to processor number `index` of those it may run on, and leaves it free to be moved again. Threads
// that start while the processor of their parent is still busy begin on one processor otherwise, and a short call is
// over before they are spread.
inline void spread([[maybe_unused]] int64_t index) {
#ifdef __linux__
  cpu_set_t all;
  cpu_set_t one;
  if (sched_getaffinity(0, sizeof all, &all)) return;
  int64_t left = index % CPU_COUNT(&all);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &all) || left--) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (!sched_setaffinity(0, sizeof one, &one)) sched_setaffinity(0, sizeof all, &all);
    return;
  }
#endif
}

// Calls work(take) on every thread; take() gives the numbers 0 … n − 1, each to one thread, a few neighbours at a time,
// and −1 when none is left. Returns 0, or 1 when memory ran out.
template <class Work> int run_groups(int64_t n, int64_t threads, Monitor* monitor, const Work& work) {
  std::atomic<int64_t> next{0};
  std::atomic<int> failed{0};
  const int64_t span = std::clamp<int64_t>(n / (threads * 16), 1, 64);
  auto body = [&](int64_t thread) {
    if (threads > 1) spread(thread);
    int64_t i = 0;
    int64_t stop = 0;
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
  try {
    for (int64_t i = 1; i < std::min(threads, n); i++) others.emplace_back(body, i);
  } catch (const std::exception&) {  // there is no room for more threads: those that run take all groups
  }
  body(0);
  for (auto& t : others) t.join();
  return failed;
}
