// SPDX-License-Identifier: GPL-3.0-or-later
// Network namespaces for tests. Nothing of them is on disk: a namespace lives as long as the
// descriptor held here, so the kernel removes it, its interfaces, rules and queues, however the
// test ends (destructor, exit, SIGINT, SIGKILL). There is no cleaning up that could be missed.
#pragma once

#include <chrono>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/support/process.h"

namespace cs::test {

class Netns {
 public:
  // A fresh one: lo is up, IPv6 addresses need no duplicate address detection, nothing is
  // forwarded, no router is listened to. Fails without CAP_SYS_ADMIN.
  static Result<Netns> create();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // Names it for other programs, for as long as this process and object live.
  [[nodiscard]] std::string path() const;

  // Runs a command inside to its end.
  Result<Outcome> command(std::vector<std::string> argv,
                          std::chrono::milliseconds limit = std::chrono::seconds(10)) const;
  // The same; any exit code but 0 is an error that tells what it printed.
  Result<void> must(std::vector<std::string> argv) const;
  // Starts a command inside.
  Result<Process> start(std::vector<std::string> argv) const;

  // Calls f() inside, on a thread made for it, and returns what f() returns. A socket opened there
  // belongs to the namespace for good, whoever uses it.
  template <class F>
  auto run(F&& f) const {
    return std::async(std::launch::async,
                      [this, &f] {
                        enter();
                        return std::forward<F>(f)();
                      })
        .get();
  }

  Result<void> write_sysctl(const std::string& name, const std::string& value) const;

 private:
  explicit Netns(UniqueFd fd) : fd_(std::move(fd)) {}
  // Moves the calling thread. It has nothing to report: panics.
  void enter() const;

  UniqueFd fd_;
};

// A cable between two namespaces.
struct CableEnd {
  const Netns& netns;
  std::string interface;
  std::vector<std::string> addresses;  // with prefix length, IPv4 and IPv6
};
// Both ends are up, with their addresses usable at once.
Result<void> connect(const CableEnd& left, const CableEnd& right);

}  // namespace cs::test
