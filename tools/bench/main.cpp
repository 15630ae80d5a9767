// SPDX-License-Identifier: GPL-3.0-or-later
// nfq-bench: what signing and verifying every packet costs on this machine.
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>

#include "tools/bench/report.h"

namespace cs::bench {

namespace {

// nft and iptables live there, and PATH often does not say so. No thread runs yet.
void add_sbin_to_path() {
  const char* path = std::getenv("PATH");
  const std::string longer =
      std::string(path != nullptr ? path : "/usr/bin:/bin") + ":/usr/sbin:/sbin";
  ::setenv("PATH", longer.c_str(), 1);
}

// A disk that is full is no success.
Result<void> print(const std::string& text) {
  std::cout << text << std::flush;
  if (!std::cout) return Error(ErrorKind::io, "printing the results");
  return {};
}

Result<void> write_picture(const std::string& file, const Results& results) {
  std::ofstream out(file);
  out << picture_of(results) << std::flush;
  if (!out) return from_errno(errno, "writing " + file);
  return {};
}

Result<void> measure(const Options& options) {
  if (::geteuid() != 0) {
    return Error(ErrorKind::denied, "making network namespaces and queues needs root")
        .with_hint("run it with sudo; it touches nothing but namespaces of its own");
  }
  add_sbin_to_path();
  CS_TRY(const Results results, run_all(options));
  CS_CHECK(print(options.json ? json_of(options, results) : table_of(options, results)));
  if (!options.plot.empty()) return write_picture(options.plot, results);
  return {};
}

int run(int argc, char** argv) {
  int exit_code = 0;
  const auto options = read_options(argc, argv, exit_code);
  if (!options) return exit_code;
  const auto measured = measure(*options);
  if (measured.ok()) return 0;
  std::cerr << "nfq-bench: " << measured.error().message() << '\n';
  return 1;
}

}  // namespace

}  // namespace cs::bench

int main(int argc, char** argv) {
  try {
    return cs::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "nfq-bench: " << error.what() << '\n';
    return 1;
  }
}
