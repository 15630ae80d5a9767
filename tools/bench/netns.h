// SPDX-License-Identifier: GPL-3.0-or-later
// A network namespace nobody else sees. Nothing of it is on disk: it lives as long as the
// descriptor held here, so the kernel removes it with its interfaces, rules and queues however the
// program ends.
#pragma once

#include <future>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cs::bench {

class Netns {
 public:
  // Fails without CAP_SYS_ADMIN.
  static Result<Netns> create();

  // Names it for other programs, as long as this process and object live.
  [[nodiscard]] std::string path() const;

  // Calls f() inside, on a thread made for it. A socket opened there belongs to the namespace for
  // good, whoever uses it.
  template <class F>
  auto run(F&& f) const {
    return std::async(std::launch::async,
                      [this, &f] {
                        enter();
                        return std::forward<F>(f)();
                      })
        .get();
  }

  // Runs a program inside, with `input` as its standard input, and returns what it printed. Any
  // exit code but 0 is an error that tells what it printed.
  [[nodiscard]] Result<std::string> command(const std::vector<std::string>& argv,
                                            const std::string& input = {}) const;
  [[nodiscard]] Result<std::string> read_file(const std::string& path) const;
  Result<void> write_file(const std::string& path, const std::string& text) const;

 private:
  explicit Netns(UniqueFd fd) : fd_(std::move(fd)) {}
  void enter() const;

  UniqueFd fd_;
};

}  // namespace cs::bench
